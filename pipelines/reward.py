"""Stage `reward`: train a reward model on comparisons, or normalise the true score of the mock experiment."""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from preflab import cli

if TYPE_CHECKING:
    from preflab.records.tracking import Record, Silent
    from preflab.settings.stages import RewardStage


def main() -> None:
    """`python -m pipelines.reward params/reward/ID.yaml --queries … --model … --out …`, see `--help`."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.reward", description=__doc__)
    parser.add_argument("params", type=Path, help="settings of this instance")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the stage prepare")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model, the reference")
    parser.add_argument("--comparisons", type=Path, required=True, help="folder of the stage comparisons")
    parser.add_argument("--out", type=Path, required=True, help="folder for the reward model")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file for the metrics")
    parser.add_argument("--curve", type=Path, required=True, help="CSV file, a row per training step")
    parser.add_argument("--run", type=Path, help="JSON file for the run record")
    args = parser.parse_args()
    from preflab import files
    from preflab.machine import parallel
    from preflab.records import tracking
    from preflab.settings.load import load

    parallel.launch("pipelines.reward")
    cfg = load("reward", args.params)
    inputs = {"queries": args.queries, "model": args.model, "comparisons": args.comparisons}
    with parallel.joined(), tracking.stage("reward", args.run, args.params, inputs) as record:
        metrics, curve = run(cfg, args, record)
        if parallel.rank():
            return
        files.write_json(args.metrics, metrics)
        files.write_csv(args.curve, curve, ["step", "loss", "accuracy", "lr"])
        record.summary(metrics)


def run(
    cfg: "RewardStage", args: argparse.Namespace, record: "Record | Silent"
) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Write the reward to `--out`; returns its metrics and training curve."""
    from preflab import comparisons
    from preflab.comparisons import synthetic
    from preflab.errors import PreflabError
    from preflab.machine import parallel
    from preflab.models import reward_model
    from preflab.sampling import reference
    from preflab.training import scoring, shared_network
    from preflab.training.reward import evaluate, train

    ref = reference.load(cfg.runtime, cfg.task, args.queries, args.model)
    if cfg.direct:
        scorer = synthetic.load_calibration(args.comparisons).scorer
        known = scoring.normalize_true_score(cfg, ref.lm, args.queries, ref.tokenizer, ref.queries, ref.layout, scorer)
        if parallel.rank() == 0:
            scoring.save_true_score(args.out, args.model, known.gain, known.bias, scorer)
        return {"direct": 1, "gain": known.gain, "bias": known.bias}, []
    labels = comparisons.read(args.comparisons / "train.parquet")
    if cfg.initial.num > len(labels):
        raise PreflabError(
            f"{args.comparisons}/train.parquet: holds {len(labels)} comparisons, "
            f"labels {cfg.initial.name} needs {cfg.initial.num}; raise comparisons.num, "
            "or with labels of people take fewer: another `labels`, a smaller scale, or fewer comparisons.heldout"
        )
    language = partial(shared_network.language_loss, reference=ref.lm, task=cfg.task, layout=ref.layout)
    training = train(
        ref.lm, labels[: cfg.initial.num], ref.queries, cfg.task, cfg.reward, ref.layout, cfg.seed, "reward",
        added_loss=language if cfg.reward.shared else None,
    )  # fmt: skip
    for row in training.curve:
        record.metrics({k: v for k, v in row.items() if k != "step"}, step=int(row["step"]))
    if parallel.rank() == 0:
        reward_model.save(training.model, args.out, args.model)
    held_out = comparisons.read(args.comparisons / "heldout.parquet")
    figures = evaluate(training.model, held_out, ref.layout.pad_id, ref.queries.device)
    last = training.curve[-max(len(training.curve) // 5, 1) :]
    return {
        "heldout_accuracy": figures.accuracy,
        "heldout_accuracy_se": figures.accuracy_se,
        "heldout_loss": figures.loss,
        "expected_calibration_error": figures.ece,
        "train_loss": sum(row["loss"] for row in last) / len(last),
        "gain": training.model.gain.item(),
        "bias": training.model.bias.item(),
        "num_train": cfg.initial.num,
    }, training.curve


if __name__ == "__main__":
    cli.main(main)
