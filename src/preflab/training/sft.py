"""Supervised fine-tuning: the paper's baseline on reference summaries, and its ρ for the style tasks, on passages.

Paper: one epoch, dropout 0.1, a learning rate that falls to 0 along half a cosine, the best of 8 initial rates by
validation loss.  The release has no code for it; batches and Adam are ours.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from preflab.errors import PreflabError
from preflab.machine import checkpoint, runtime
from preflab.models import causal_lm
from preflab.settings.method import SftSettings
from preflab.settings.stages import SftStage
from preflab.training import optim
from preflab.training.sft_examples import Data, Examples


class SftResult(NamedTuple):
    """`best`: index of the best of `rates`, rows of lr, train_loss and validation_loss; `curve`: a row per step.

    Losses in nats per token; `base_loss`: validation loss before the first step.
    """

    best: int
    base_loss: float
    rates: list[dict[str, float]]
    curve: list[dict[str, float]]


def token_losses(lm: Any, examples: Examples, rows: Tensor, pad_id: int) -> Tensor:
    """−log p, at temperature 1, of every token that counts in the examples `rows`: `[tokens]`."""
    tokens = examples.tokens[rows]
    tokens = tokens[:, : int((tokens != pad_id).sum(1).max())].to(lm.device)
    counts = torch.arange(tokens.shape[1]) >= examples.begin[rows, None]
    chosen = (counts.to(lm.device) & (tokens != pad_id))[:, 1:]
    hidden = causal_lm.hidden_states(lm.base_model, tokens, pad_id)[:, :-1]
    return -causal_lm.logprobs_from_hidden(lm, hidden[chosen][None], tokens[:, 1:][chosen][None], 1.0)[0]


def validate(lm: Any, examples: Examples, batch_size: int, pad_id: int) -> float:
    """Mean loss per token, without dropout."""
    lm.eval()

    @torch.no_grad()
    def losses(rows: Tensor) -> Tensor:
        return token_losses(lm, examples, rows, pad_id)

    by_length = (examples.tokens != pad_id).sum(1).argsort(stable=True)  # so that batches have few pads
    return torch.cat(list(runtime.side_by_side(losses, by_length.split(batch_size)))).double().mean().item()


def learning_rates(sft: SftSettings) -> list[float]:
    """`lrs` initial rates at equal ratios, from `lr_low` to `lr_high`."""
    steps = max(sft.lrs - 1, 1)
    return [sft.lr_low * (sft.lr_high / sft.lr_low) ** (i / steps) for i in range(sft.lrs)]


def cosine(peak: float, done: int, total: int) -> float:
    """The rate of the step after `done` finished ones of `total`: half a cosine from `peak` to 0."""
    return peak * (1 + math.cos(math.pi * done / total)) / 2


def set_dropout(lm: Any, share: float) -> None:
    """The share that every dropout of the model zeroes in training.

    GPT-2 has it after embeddings, attention and each block's two parts; Llama in its attention only.  Raises
    PreflabError if the model has none and `share` is not 0.
    """
    dropouts = 0
    for module in lm.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
            dropouts += 1
        elif "attention_dropout" in vars(module):
            module.attention_dropout = share
            dropouts += 1
    if share and not dropouts:
        raise PreflabError(f"sft.dropout={share}: {type(lm).__name__} has no dropout; set sft.dropout=0")


def train(
    lm: Any, data: Data, cfg: SftStage, pad_id: int, folder: Path, log: Callable[[dict[str, float], int], None]
) -> SftResult:
    """Train `lm` at each initial rate and leave in it the weights of the best one, in eval mode.

    Every rate starts from the weights that `lm` has at the start, with the same batches and dropout.  Resumes from
    checkpoints in `folder`.  Raises PreflabError if a loss is not finite, or the model has no dropout.
    """
    sft = cfg.sft
    rates = learning_rates(sft)
    order = _batches(len(data.train.tokens), cfg)
    steps = len(order)
    set_dropout(lm, sft.dropout)
    start = _copy("start", lm)
    base_loss = validate(lm, data.validation, sft.batch_size, pad_id)
    done, best, tested, curve = 0, checkpoint.Tensors(), list[dict[str, float]](), list[dict[str, float]]()
    optimizer = optim.build(sft.adam, lm.parameters(), rates[0], sft.adam_eps)
    saved = checkpoint.load(folder)
    if saved is not None:
        done, tested, curve = saved.step, saved.state["rates"], saved.state["curve"]
        best = {name: weight for name, weight in saved.tensors.items() if name.startswith("best.")}
        checkpoint.restore_module("model", lm, saved.tensors)
        checkpoint.unpack("optimizer", optimizer, saved.tensors)
    keep = checkpoint.Every(seconds=60)
    with runtime.progress(len(rates) * steps, "fine-tuning", done=done) as bar:
        while done < len(rates) * steps:
            # step 1: with each rate, begin again from the weights given
            number, step = divmod(done, steps)
            if step == 0:
                checkpoint.restore_module("start", lm, start)
                optimizer = optim.build(sft.adam, lm.parameters(), rates[number], sft.adam_eps)
            # step 2: one update on the next batch
            lr = cosine(rates[number], step, steps)
            for group in optimizer.param_groups:
                group["lr"] = lr
            lm.train()
            torch.manual_seed(runtime.seed_for(cfg.seed, "sft", "dropout", step))
            loss = token_losses(lm, data.train, order[step], pad_id).mean()
            row = {"rate": number + 1, "step": step, "lr": lr, "loss": _finite(loss.item(), rates[number], step, steps)}
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            curve.append(row)
            log({"lr": lr, "loss": row["loss"]}, done)
            bar.update()
            # step 3: after the last batch, validate, and keep the weights if they are the best so far
            if done % steps == 0:
                validation = _finite(validate(lm, data.validation, sft.batch_size, pad_id), rates[number], step, steps)
                if all(validation < other["validation_loss"] for other in tested):
                    best = _copy("best", lm)
                last = [row["loss"] for row in curve[-max(steps // 5, 1) :]]
                mean = sum(last) / len(last)
                tested.append({"lr": rates[number], "train_loss": mean, "validation_loss": validation})
                log({"validation_loss": validation}, done)
            # step 4: now and then, keep a checkpoint
            if done % steps == 0 or keep.due():
                tensors = checkpoint.tensors_of("model", lm) | best | checkpoint.pack("optimizer", optimizer)
                checkpoint.save(folder, done, tensors, {"rates": tested, "curve": curve})
    checkpoint.restore_module("best", lm, best)
    lm.eval()
    losses = [row["validation_loss"] for row in tested]
    return SftResult(losses.index(min(losses)), base_loss, tested, curve)


def _batches(count: int, cfg: SftStage) -> list[Tensor]:
    """Row numbers of every step: a permutation for each epoch, whose last batch may be smaller."""
    orders = (
        torch.randperm(count, generator=runtime.generator("cpu", cfg.seed, "sft", "order", epoch))
        for epoch in range(cfg.sft.epochs)
    )
    return [rows for order in orders for rows in order.split(cfg.sft.batch_size)]


def _finite(loss: float, rate: float, step: int, steps: int) -> float:
    if not math.isfinite(loss):
        raise PreflabError(
            f"sft.lr_high: the loss is {loss} at step {step} of {steps} with the initial rate {rate:.3g}; lower it"
        )
    return loss


def _copy(prefix: str, lm: Any) -> checkpoint.Tensors:
    """The weights as `prefix.name`, on the CPU, where they take no memory of the accelerator."""
    return {name: weight.detach().cpu().clone() for name, weight in checkpoint.tensors_of(prefix, lm).items()}
