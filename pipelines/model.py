"""Stage `model`: put one base model (weights, config, tokenizer) into the folder OUT."""

import argparse
from contextlib import nullcontext
from pathlib import Path

from preflab import cli


def main() -> None:
    """`python -m pipelines.model params/model/ID.yaml --out models/base/ID`."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.model", description=__doc__)
    parser.add_argument("params", type=Path, help="settings of this instance")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model's files")
    parser.add_argument("--run", type=Path, help="JSON file for the run record; without it nothing is recorded")
    args = parser.parse_args()
    from preflab.models import sources
    from preflab.records import tracking
    from preflab.settings.load import load

    cfg = load("model", args.params)
    with tracking.stage("model", args.run, args.params) if args.run else nullcontext():
        sources.build(cfg.model, args.out)


if __name__ == "__main__":
    cli.main(main)
