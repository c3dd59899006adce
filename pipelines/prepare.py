"""Stage `prepare`: cut queries from disjoint documents and train the two sentiment classifiers."""

import argparse
from pathlib import Path

from preflab import cli


def main() -> None:
    """`python -m pipelines.prepare params/prepare/ID.yaml --corpus … --model … --out … --metrics … --run …`."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.prepare", description=__doc__)
    parser.add_argument("params", type=Path, help="settings of this instance")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of the fetched corpus")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model (its tokenizer is used)")
    parser.add_argument("--out", type=Path, required=True, help="folder for queries and classifiers")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file for the metrics")
    parser.add_argument("--run", type=Path, help="JSON file for the run record")
    args = parser.parse_args()
    from preflab import config, files, prepare, tracking

    cfg = config.load("prepare", args.params)
    with tracking.stage("prepare", args.run, args.params, {"corpus": args.corpus, "model": args.model}) as record:
        metrics = prepare.run(cfg, args.corpus, args.model, args.out)
        files.write_json(args.metrics, metrics)
        record.summary(metrics)


if __name__ == "__main__":
    cli.main(main)
