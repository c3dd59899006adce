"""The reward model: best-of-n loss, normalisation on reference samples, one epoch of training, held-out accuracy.

Paper §2.1; released train_reward.py and rewards.py.  A separate network that starts from the reference, with a random
scalar head; it reads query and (truncated) response, and its score is `gain · head(last real token) + bias`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from preflab.comparisons import Comparison
from preflab.errors import PreflabError
from preflab.machine import parallel, runtime
from preflab.models import causal_lm
from preflab.models.reward_model import RewardModel, initial
from preflab.sampling import rollout
from preflab.sampling.prompt import Prompt
from preflab.settings.method import RewardSettings, TaskSettings
from preflab.training import optim


class Batch(NamedTuple):
    """Comparisons as tensors: left-padded queries `[batch, query]`, samples `[batch, n, response]`, best `[batch]`."""

    queries: Tensor
    samples: Tensor
    best: Tensor


class Training(NamedTuple):
    """The trained model and a row per step: step, loss, accuracy, lr."""

    model: RewardModel
    curve: list[dict[str, float]]


def batch_of(rows: Sequence[Comparison], pad_id: int, device: torch.device) -> Batch:
    """Comparisons as tensors on `device`."""
    queries = causal_lm.left_pad(torch.tensor([c.query for c in rows], device=device), pad_id)
    return Batch(
        queries,
        torch.tensor([c.samples for c in rows], device=device),
        torch.tensor([c.best for c in rows], device=device),
    )


def loss_of(scores: Tensor, best: Tensor) -> Tensor:
    """−E log( e^{r_b} / Σᵢ e^{rᵢ} ) of scores `[batch, n]` (paper §2.1, equation 1)."""
    return nn.functional.cross_entropy(scores, best)


def gain_and_bias(scores: Tensor) -> tuple[float, float]:
    """1/std and −mean/std of `scores`, which give them mean 0 and (population) standard deviation 1.

    Raises PreflabError if all scores are equal.
    """
    std = scores.std(correction=0).item()
    if not std > 0:
        raise PreflabError(
            f"reward: all {scores.numel()} scores on reference samples are {scores[0].item()}; nothing to normalise"
        )
    return 1 / std, -scores.mean().item() / std


Scores = Callable[[Tensor, Tensor], Tensor]


def reference_scores(
    score: Scores,
    reference: Any,
    queries: Tensor,
    task: TaskSettings,
    cfg: RewardSettings,
    prompt: Prompt,
    tags: tuple[object, ...],
) -> Tensor:
    """Scores `[normalize_samples]` of untruncated reference responses (released train_reward.py:162-219).

    `queries`: left-padded train queries `[rows, query]`; `tags`: what seeds their order and the sampling.
    """
    order = torch.randperm(len(queries), generator=runtime.generator("cpu", *tags, "normalize"))
    order = order.repeat(-(-cfg.normalize_samples // len(queries)))[: cfg.normalize_samples].to(queries.device)

    @torch.no_grad()
    def sample_and_score(job: tuple[int, Tensor]) -> Tensor:
        part, chunk = job
        uniform = rollout.random_numbers(len(chunk), task.response_length, queries.device, *tags, "normalize", part)
        sampled = rollout.sample(reference, prompt.inputs(queries[chunk]), uniform, task.temperature, prompt.pad_id)
        return score(queries[chunk], sampled.responses)

    jobs = list(enumerate(order.split(cfg.rollout_batch)))
    return torch.cat(list(runtime.side_by_side(sample_and_score, jobs)))


@torch.no_grad()
def normalize(
    model: RewardModel,
    reference: Any,
    queries: Tensor,
    task: TaskSettings,
    cfg: RewardSettings,
    prompt: Prompt,
    tags: tuple[object, ...],
) -> None:
    """Set gain and bias so that reference samples score mean 0, standard deviation 1.

    Raises PreflabError if all of them score alike.
    """
    model.gain.fill_(1.0)
    model.bias.fill_(0.0)

    def score(q: Tensor, r: Tensor) -> Tensor:
        return model(torch.cat([q, r], 1), prompt.pad_id)

    gain, bias = gain_and_bias(reference_scores(score, reference, queries, task, cfg, prompt, tags))
    model.gain.fill_(gain)
    model.bias.fill_(bias)


def train(
    reference: Any,
    labels: Sequence[Comparison],
    queries: Tensor,
    task: TaskSettings,
    cfg: RewardSettings,
    prompt: Prompt,
    seed: int,
    start: Any = None,
    added_loss: Callable[[RewardModel, Tensor, Tensor], Tensor] | None = None,
) -> Training:
    """Train a reward model from the reference (or from `start`) for `epochs` over `labels`; normalise before and after.

    `queries`: left-padded train queries `[rows, query]` for the normalisation.  The last batch may be smaller (online
    runs).  `seed`: that of the cell; all reward models of a cell have the same random head and order of labels.
    `added_loss`: a further loss of the model on a batch's queries and chosen samples.
    Raises PreflabError if the loss is not finite.
    """
    tags = (seed, "reward")
    parallel.require_equal_shares(cfg.batch_size, "reward.batch_size")
    device = reference.device
    # step 1: a copy of the reference with a random head, normalised on its samples
    model = initial(start or reference, seed)
    if cfg.normalize_before:
        normalize(model, reference, queries, task, cfg, prompt, (*tags, "before"))
    optimizer = optim.build(cfg.adam, model.parameters(), cfg.lr, cfg.adam_eps)
    data = batch_of(labels, prompt.pad_id, device)
    # step 2: the batches of every epoch, each a shuffle of the labels
    chunks = []
    for epoch in range(cfg.epochs):
        shuffle = runtime.generator("cpu", *tags, "order", *([epoch] if epoch else []))
        chunks += torch.randperm(len(labels), generator=shuffle).to(device).split(cfg.batch_size)
    curve = []
    with runtime.progress(len(chunks), "reward model") as bar:
        for step, chunk in enumerate(chunks):
            # step 3: the loss of this rank's share of the batch
            lr = optim.set_lr(optimizer, cfg.lr, step, len(chunks))
            share = parallel.share(chunk)
            loss = right = torch.zeros((), device=device)
            if len(share):  # a rank may have no part of a short last batch
                scores = model.compare(data.queries[share], data.samples[share], prompt.pad_id)
                loss = loss_of(scores, data.best[share]) * (len(share) / len(chunk))
                if added_loss:
                    chosen = data.samples[share, data.best[share]]
                    loss = loss + added_loss(model, data.queries[share], chosen) * (len(share) / len(chunk))
                right = (scores.argmax(1) == data.best[share]).float().sum() / len(chunk)
            value, accuracy = parallel.total(torch.stack([loss.detach(), right])).tolist()
            if not math.isfinite(value):
                raise PreflabError(
                    f"reward.lr={cfg.lr}: the loss is {value} at step {step} of {len(chunks)}; lower the learning rate"
                )
            # step 4: one update with the gradients of all ranks
            optimizer.zero_grad()
            if len(share):
                loss.backward()
            parallel.sum_gradients(model.parameters())
            optimizer.step()
            curve.append({"step": step, "loss": value, "accuracy": accuracy, "lr": lr})
            bar.update()
    # step 5: normalise again, as training has moved the scores
    if cfg.normalize_after:
        normalize(model, reference, queries, task, cfg, prompt, (*tags, "after"))
    return Training(model, curve)


class HeldOut(NamedTuple):
    """Held-out figures; `ece`: expected calibration error of the chosen sample's probability, 10 equal bins.

    `right` `[comparisons]`: whether the model prefers the sample that the labeller chose.
    """

    accuracy: float
    accuracy_se: float
    loss: float
    ece: float
    right: list[bool]


def evaluate(model: RewardModel, labels: Sequence[Comparison], pad_id: int, device: torch.device) -> HeldOut:
    """How often the model prefers the labeller's choice, and how well its probabilities are calibrated (ours).

    Calibration uses the normalised scores, as PPO does, although the loss was trained at gain 1.
    """
    data = batch_of(labels, pad_id, device)

    @torch.no_grad()
    def score(rows: Tensor) -> Tensor:
        return model.compare(data.queries[rows], data.samples[rows], pad_id)

    chunks = torch.arange(len(labels), device=device).split(32)
    scores = torch.cat(list(runtime.side_by_side(score, chunks)))
    p, favourite = scores.softmax(1).max(1)
    right = (favourite == data.best).float()
    accuracy = right.mean().item()
    bins = (p * 10).long().clamp(max=9)
    ece = sum(
        (bins == b).float().mean().item() * abs(right[bins == b].mean().item() - p[bins == b].mean().item())
        for b in bins.unique().tolist()
    )
    error = math.sqrt(accuracy * (1 - accuracy) / len(right))
    return HeldOut(accuracy, error, loss_of(scores, data.best).item(), ece, right.bool().tolist())
