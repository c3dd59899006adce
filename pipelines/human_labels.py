"""Stage `human_labels`: read a file of people's labels, count what it holds, and write it down in one schema."""

import argparse
from pathlib import Path

from preflab import cli


def main() -> None:
    """`python -m pipelines.human_labels params/human_labels/ID.yaml --out data/human_labels/ID --metrics …`, see `--help`."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.human_labels", description=__doc__)
    parser.add_argument("params", type=Path, help="settings of this instance")
    parser.add_argument("--out", type=Path, required=True, help="folder for labels.parquet")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file for what was found")
    parser.add_argument("--run", type=Path, help="JSON file for the run record")
    args = parser.parse_args()
    from preflab import files
    from preflab.records import tracking
    from preflab.settings.load import load
    from preflab.stages import human_labels as human_labels_stages

    cfg = load("human_labels", args.params)
    with tracking.stage("human_labels", args.run, args.params) as record:
        found = human_labels_stages.run(cfg.human_labels, args.out)
        files.write_json(args.metrics, found)
        record.summary({"rows": found["summary"]["rows"], "rejected": found["rejected"]})


if __name__ == "__main__":
    cli.main(main)
