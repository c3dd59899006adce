"""Stage `model`: put one base model (weights, config, tokenizer) into the folder OUT."""

import argparse
from pathlib import Path

from preflab import cli


def main() -> None:
    """`python -m pipelines.model params/model/ID.yaml --out models/base/ID`."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.model", description=__doc__)
    parser.add_argument("params", type=Path, help="settings of this instance")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model's files")
    args = parser.parse_args()
    from preflab import base_model, config

    base_model.build(config.load("model", args.params).model, args.out)


if __name__ == "__main__":
    cli.main(main)
