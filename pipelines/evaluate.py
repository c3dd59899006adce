"""Stages zero_shot, evaluate, supervised, best_of_n, text: responses to held-out queries, scored by everybody."""

import argparse
from pathlib import Path

from preflab import cli


def main() -> None:
    """`python -m pipelines.evaluate params/evaluate/ID.yaml --queries … --model … --out …`, see `--help`."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.evaluate", description=__doc__)
    parser.add_argument("params", type=Path, help="settings of this instance")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the stage prepare")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model, the reference")
    parser.add_argument("--comparisons", type=Path, help="folder of the stage comparisons, for zero_shot")
    parser.add_argument("--policy", type=Path, help="folder of the stage ppo or sft; without it, the reference")
    parser.add_argument("--reward", type=Path, help="folder of the reward that trained it, or picks the best of n")
    parser.add_argument("--reference", type=Path, help="samples of the stage zero_shot, to compare with")
    parser.add_argument("--out", type=Path, required=True, help="folder for the samples")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file for the metrics")
    parser.add_argument("--run", type=Path, help="JSON file for the run record")
    args = parser.parse_args()
    from preflab import files
    from preflab.grid import kinds
    from preflab.records import tracking
    from preflab.settings.load import load
    from preflab.stages import evaluate

    if not (args.reference or args.comparisons):
        parser.error("one of --comparisons and --reference is needed: the labeller's scale is in there")
    kind = kinds.kind_of(args.params, "evaluate")
    cfg = load(kind, args.params)
    names = ("queries", "model", "comparisons", "policy", "reward", "reference")
    inputs = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    with tracking.stage(kind, args.run, args.params, inputs) as record:
        metrics = evaluate.run(
            cfg,
            args.queries,
            args.model,
            args.reference or args.comparisons,
            args.out,
            args.policy,
            args.reward,
            args.reference,
        )
        files.write_json(args.metrics, metrics)
        record.summary(metrics)


if __name__ == "__main__":
    cli.main(main)
