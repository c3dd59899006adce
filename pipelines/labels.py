"""Stage `labels`: read a file of people's labels, count what it holds, and write it down in one schema."""

import argparse
from pathlib import Path

from preflab import cli


def main() -> None:
    """`python -m pipelines.labels params/labels/ID.yaml --out data/labels/ID --metrics …`, see `--help`."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.labels", description=__doc__)
    parser.add_argument("params", type=Path, help="settings of this instance")
    parser.add_argument("--out", type=Path, required=True, help="folder for labels.parquet")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file for what was found")
    parser.add_argument("--run", type=Path, help="JSON file for the run record")
    args = parser.parse_args()
    from preflab import config, files, tracking
    from preflab.comparisons import bring

    cfg = config.load("labels", args.params)
    with tracking.stage("labels", args.run, args.params) as record:
        found = bring.run(cfg.labels, args.out)
        files.write_json(args.metrics, found)
        record.summary({"rows": found["summary"]["rows"], "rejected": found["rejected"]})


if __name__ == "__main__":
    cli.main(main)
