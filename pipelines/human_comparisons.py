"""Stage `human_comparisons`, in place of `comparisons`: people's labels as comparisons in the tokens of a cell's model."""

import argparse
from pathlib import Path

from preflab import cli


def main() -> None:
    """`python -m pipelines.human_comparisons params/human_comparisons/ID.yaml --labels … --queries … --model … --out …`, see `--help`."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.human_comparisons", description=__doc__)
    parser.add_argument("params", type=Path, help="settings of this instance")
    parser.add_argument("--labels", type=Path, required=True, help="folder of the stage human_labels")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the stage prepare")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model, the reference")
    parser.add_argument("--out", type=Path, required=True, help="folder for the comparisons")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file for the metrics")
    parser.add_argument("--run", type=Path, help="JSON file for the run record")
    args = parser.parse_args()
    from preflab import files
    from preflab.records import tracking
    from preflab.settings.load import load
    from preflab.stages import human_comparisons as human_comparisons_stages

    cfg = load("human_comparisons", args.params)
    inputs = {"labels": args.labels, "queries": args.queries, "model": args.model}
    with tracking.stage("human_comparisons", args.run, args.params, inputs) as record:
        metrics = human_comparisons_stages.run(cfg, args.labels, args.queries, args.model, args.out)
        files.write_json(args.metrics, metrics)
        record.summary(metrics)


if __name__ == "__main__":
    cli.main(main)
