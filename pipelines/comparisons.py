"""Stage `comparisons`: four reference samples to each query, and the labeller's choice among them."""

import argparse
from pathlib import Path

from preflab import cli


def main() -> None:
    """`python -m pipelines.comparisons params/comparisons/ID.yaml --queries … --model … --out …`, see `--help`."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.comparisons", description=__doc__)
    parser.add_argument("params", type=Path, help="settings of this instance")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the stage prepare")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model, the reference")
    parser.add_argument("--out", type=Path, required=True, help="folder for the comparisons")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file for the metrics")
    parser.add_argument("--run", type=Path, help="JSON file for the run record")
    args = parser.parse_args()
    from preflab import files
    from preflab.records import tracking
    from preflab.settings.load import load
    from preflab.stages import comparisons as comparisons_stages

    cfg = load("comparisons", args.params)
    with tracking.stage("comparisons", args.run, args.params, {"queries": args.queries, "model": args.model}) as record:
        metrics = comparisons_stages.run(cfg, args.queries, args.model, args.out)
        files.write_json(args.metrics, metrics)
        record.summary(metrics)


if __name__ == "__main__":
    cli.main(main)
