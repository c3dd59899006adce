"""Stage `sft`: fine-tune a base model on reference responses or, where there are none, on the corpus' passages."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab import cli

if TYPE_CHECKING:
    from preflab.records.tracking import Record, Silent
    from preflab.settings.stages import SftStage


def main() -> None:
    """`python -m pipelines.sft params/sft/ID.yaml --queries … --model … --out …`, see `--help`."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.sft", description=__doc__)
    parser.add_argument("params", type=Path, help="settings of this instance")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the stage prepare")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--out", type=Path, required=True, help="folder for the fine-tuned model")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file for the metrics")
    parser.add_argument("--curve", type=Path, required=True, help="CSV file, a row per initial rate and training step")
    parser.add_argument("--run", type=Path, help="JSON file for the run record")
    args = parser.parse_args()
    from preflab import files
    from preflab.machine import checkpoint
    from preflab.records import tracking
    from preflab.settings.load import load

    cfg = load("sft", args.params)
    inputs = {"queries": args.queries, "model": args.model}
    with tracking.stage("sft", args.run, args.params, inputs) as record:
        folder = checkpoint.folder_for(f"sft-{args.params.stem}", args.params, *inputs.values())
        metrics, curve = run(cfg, args, folder, record)
        files.write_json(args.metrics, metrics)
        files.write_csv(args.curve, curve, ["rate", "step", "lr", "loss"])
        record.summary(metrics)
        checkpoint.remove(folder)


def run(
    cfg: "SftStage", args: argparse.Namespace, folder: Path, record: "Record | Silent"
) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Write the model to `--out`; returns its metrics and training curve."""
    from preflab.machine import runtime
    from preflab.models import causal_lm
    from preflab.sampling import prompt
    from preflab.training import sft, sft_examples

    device = runtime.start(cfg.runtime.threads, cfg.runtime.precision)
    tokenizer, pad_id = causal_lm.load_tokenizer(args.model), causal_lm.pad_id(args.model)
    shape, context = prompt.of(cfg.task, tokenizer, pad_id), causal_lm.context_length(args.model)
    data = sft_examples.load(cfg, args.queries, tokenizer, pad_id, context, shape.prefix, shape.suffix)
    lm = causal_lm.load_causal_lm(args.model, device)
    result = sft.train(lm, data, cfg, pad_id, folder, record.metrics)
    causal_lm.save_policy(causal_lm.Policy(lm), args.out, args.model)
    best = result.rates[result.best]
    return {
        "lr": best["lr"],
        "train_loss": best["train_loss"],
        "validation_loss": best["validation_loss"],
        "base_validation_loss": result.base_loss,
        "num_train": len(data.train.tokens),
        "num_validation": len(data.validation.tokens),
        "references": int(data.paired),
        "references_cut": data.train.cut,
        "steps": len(result.curve) // len(result.rates),
        "rates": {str(number): row for number, row in enumerate(result.rates, start=1)},
    }, result.curve


if __name__ == "__main__":
    cli.main(main)
