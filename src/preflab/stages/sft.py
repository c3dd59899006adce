"""Stage `sft`: fine-tune a base model on reference responses or, for a corpus without them, on its passages."""

from pathlib import Path

from preflab.machine import runtime
from preflab.models import causal_lm
from preflab.sampling.prompt import prompt_of
from preflab.settings.stages import SftStage
from preflab.stages import Log, Result
from preflab.training import sft, sft_examples

COLUMNS = ["rate", "step", "lr", "loss"]


def run(cfg: SftStage, *, queries: Path, model: Path, out: Path, log: Log, work: Path) -> Result:
    """Write the model of the best rate to `out`, as a folder that transformers loads.

    Raises PreflabError if the examples are refused (training/sft_examples.py), or a loss is not finite.
    """
    device = runtime.start(cfg.runtime.threads, cfg.runtime.precision)
    tokenizer, pad_id = causal_lm.load_tokenizer(model), causal_lm.pad_id(model)
    prompt, context = prompt_of(cfg.task, tokenizer, pad_id), causal_lm.context_length(model)
    data = sft_examples.load(cfg, queries, tokenizer, pad_id, context, prompt.prefix, prompt.suffix)
    lm = causal_lm.load_causal_lm(model, device)
    result = sft.train(lm, data, cfg, pad_id, work, log.metrics)
    causal_lm.save_policy(causal_lm.Policy(lm), out, model)
    best = result.rates[result.best]
    metrics = {
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
    }
    return Result(metrics, result.curve)
