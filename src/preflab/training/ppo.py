"""PPO as the paper runs it (§2.2; released train_policy.py): the arithmetic as pure functions, then one long loop.

Per-token KL penalty against the reference on every response token, the score on the last one; rewards whitened without
moving their mean; GAE; clipped policy and value losses; an adaptive (or fixed) KL coefficient.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from preflab.errors import PreflabError
from preflab.machine import checkpoint, parallel, runtime
from preflab.models import causal_lm
from preflab.sampling import rollout
from preflab.sampling.prompt import Prompt
from preflab.settings.method import AdaptiveKLSettings, PolicySettings
from preflab.settings.stages import PpoStage
from preflab.training import optim
from preflab.training.batches import query_batches


class Reward(Protocol):
    """What the policy is trained on: scores `[batch]` of left-padded queries and truncated responses."""

    def __call__(self, queries: Tensor, responses: Tensor) -> Tensor: ...


# --- arithmetic -------------------------------------------------------------------------------------------------------


def whiten(x: Tensor, shift_mean: bool) -> Tensor:
    """(x − mean)/√(var + 1e-8) over all entries, biased variance; the mean is added back unless `shift_mean`.

    Released utils/core.py:336-341.
    """
    mean = x.mean()
    white = (x - mean) * torch.rsqrt(x.var(correction=0) + 1e-8)
    return white if shift_mean else white + mean


def token_rewards(logprobs: Tensor, reference_logprobs: Tensor, score: Tensor, kl_coef: float) -> Tensor:
    """`[batch, response]`: −β(log π − log ρ) at every token, plus the score at the last (train_policy.py:149-154)."""
    rewards = -kl_coef * (logprobs - reference_logprobs)
    rewards[:, -1] += score
    return rewards


class Advantages(NamedTuple):
    """Both `[batch, response]`; `returns` are advantages + values, before any whitening."""

    advantages: Tensor
    returns: Tensor


def gae(rewards: Tensor, values: Tensor, gamma: float, lam: float) -> Advantages:
    """Generalised advantages: δ_t = r_t + γV_{t+1} − V_t, A_t = δ_t + γλA_{t+1}, with V = 0 after the last token."""
    following = torch.zeros_like(rewards[:, 0])
    next_value = torch.zeros_like(rewards[:, 0])
    columns = []
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        following = delta + gamma * lam * following
        next_value = values[:, t]
        columns.append(following)
    advantages = torch.stack(columns[::-1], 1)
    return Advantages(advantages, advantages + values)


class Losses(NamedTuple):
    """`total` = policy + vf_coef · value; the rest is for the log."""

    total: Tensor
    policy: Tensor
    value: Tensor
    approxkl: Tensor
    clipfrac: Tensor


def losses(
    logprobs: Tensor,
    values: Tensor,
    old_logprobs: Tensor,
    old_values: Tensor,
    advantages: Tensor,
    returns: Tensor,
    cliprange: float,
    cliprange_value: float,
    vf_coef: float,
) -> Losses:
    """Clipped PPO losses, means over all tokens without a mask (train_policy.py:343-371). All `[batch, response]`."""
    clipped_values = old_values + (values - old_values).clamp(-cliprange_value, cliprange_value)
    value = 0.5 * torch.maximum((values - returns) ** 2, (clipped_values - returns) ** 2).mean()
    ratio = (logprobs - old_logprobs).exp()
    unclipped = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - cliprange, 1 + cliprange)
    policy = torch.maximum(unclipped, clipped).mean()
    with torch.no_grad():
        approxkl = 0.5 * ((logprobs - old_logprobs) ** 2).mean()
        clipfrac = (clipped > unclipped).float().mean()
    return Losses(policy + vf_coef * value, policy, value, approxkl, clipfrac)


def next_kl_coef(kl_coef: float, kl: float, batch_size: int, adaptive: AdaptiveKLSettings | None) -> float:
    """β·(1 + clip(KL/target − 1, ±0.2)·batch/horizon); unchanged without `adaptive` (train_policy.py:105-124)."""
    if adaptive is None:
        return kl_coef
    error = min(max(kl / adaptive.target - 1, -0.2), 0.2)
    return kl_coef * (1 + error * batch_size / adaptive.horizon)


def steered(ppo: PolicySettings, kl: float, entropy: float) -> float:
    """What the controller compares with its target, in nats per response.

    The controller raises β when this exceeds the target.  For an entropy bonus β must rise when the entropy is too low,
    so it gets target + (target − entropy).
    """
    if ppo.penalty == "kl" or ppo.adaptive_kl is None:
        return kl
    return 2 * ppo.adaptive_kl.target - entropy


# --- the loop ---------------------------------------------------------------------------------------------------------


def _no_labels(_update: int, _policy: causal_lm.Policy) -> dict[str, float]:
    return {}


class Sample(NamedTuple):
    """One episode to show: its query `[query]` and truncated response `[response]`, their score and KL in nats."""

    query: Tensor
    response: Tensor
    score: float
    kl: float


class Hooks(NamedTuple):
    """Functions that a run calls.

    `reward()`: the reward in force; `true_score`: the labeller's score of the same responses, for the curve alone.
    `before_update(update, policy)` collects labels online; `log(row, update)` records; `show(samples, update)` shows
    two episodes at `SHOWN` updates of a run.  `save_state`, `load_state`: what else a checkpoint must hold.
    `added_loss(step)`: a further loss of each gradient step, by its number in the run.
    """

    reward: Callable[[], Reward]
    true_score: Reward
    before_update: Callable[[int, causal_lm.Policy], dict[str, float]] = _no_labels
    log: Callable[[dict[str, float], int], None] = lambda _row, _update: None
    show: Callable[[list[Sample], int], None] = lambda _samples, _update: None
    save_state: Callable[[], tuple[checkpoint.Tensors, dict[str, Any]]] = lambda: ({}, {})
    load_state: Callable[[checkpoint.Tensors, dict[str, Any]], None] = lambda _tensors, _state: None
    added_loss: Callable[[int], Tensor] | None = None


class Episodes(NamedTuple):
    """Rollouts with what PPO needs of them: `tokens` `[batch, query + response]`; `score`, `true_score`, `ended`
    `[batch]`; the rest `[batch, response]`.
    """

    tokens: Tensor
    logprobs: Tensor
    reference_logprobs: Tensor
    values: Tensor
    entropy: Tensor
    score: Tensor
    true_score: Tensor
    ended: Tensor


@torch.no_grad()
def score(
    cfg: PpoStage,
    reference: Any,
    reward: Reward,
    true_score: Reward,
    ro: rollout.Rollout,
    queries: Tensor,
    prompt: Prompt,
) -> Episodes:
    """Score rollouts to `queries`, sampled with a value head, by reference, reward and true score.

    Where the end-token rule is not met, the score is `task.penalty`.
    """
    assert ro.values is not None
    assert ro.entropy is not None
    task = cfg.task
    truncated, ended = prompt.truncate(ro.responses), prompt.ended(ro.responses)
    return Episodes(
        ro.tokens,
        ro.logprobs,
        causal_lm.response_logprobs(reference, ro.tokens, task.response_length, task.temperature, prompt.pad_id),
        ro.values,
        ro.entropy,
        torch.where(ended, reward(queries, truncated), task.penalty),
        true_score(queries, truncated),
        ended,
    )


class PpoResult(NamedTuple):
    """The trained policy and one row per update."""

    policy: causal_lm.Policy
    curve: list[dict[str, float]]


SHOWN = 10  # ours: times in a run that samples are shown


def shows_samples(update: int, updates: int) -> bool:
    """Whether `update`, from 0, shows samples: the last of each tenth of a run, all of a run of up to ten."""
    return (update + 1) * SHOWN // updates > update * SHOWN // updates


def train(
    cfg: PpoStage,
    reference: Any,
    policy: causal_lm.Policy,
    queries: Tensor,
    prompt: Prompt,
    hooks: Hooks,
    folder: Path,
) -> PpoResult:
    """Train `policy` against the frozen `reference` on left-padded train `queries` `[rows, query]`.

    With torchrun every rank calls this and gets the same policy (machine/parallel.py).  Resumes from a checkpoint in
    `folder`.  Raises PreflabError if a loss or KL is not finite; the last good checkpoint stays.
    """
    ppo = cfg.policy
    parallel.require_equal_shares(ppo.batch_size // ppo.nminibatches, "policy.batch_size / policy.nminibatches")
    updates = ppo.episodes // ppo.batch_size
    optimizer = optim.build(ppo.adam, policy.parameters(), ppo.lr, ppo.adam_eps)
    kl_coef, first, curve = ppo.kl_coef, 0, []
    if saved := checkpoint.load(folder):
        first, kl_coef, curve = saved.step, saved.state["kl_coef"], saved.state["curve"]
        checkpoint.restore_module("policy", policy, saved.tensors)
        checkpoint.unpack("optimizer", optimizer, saved.tensors)
        hooks.load_state(saved.tensors, saved.state["hooks"])
    clock = checkpoint.Every(seconds=15)
    with runtime.progress(updates, "ppo", unit="update", done=first) as bar:
        for update in range(first, updates):
            # step 1: online, collect the labels that are due and train the reward model again
            lr = optim.set_lr(optimizer, ppo.lr, update, updates)
            labels = hooks.before_update(update, policy)
            # step 2: sample a response to each query of the batch, and score it
            rows = torch.tensor(query_batches(len(queries), ppo.batch_size, cfg.seed, update), device=queries.device)
            episodes = rollouts(cfg, reference, policy, queries[rows], prompt, hooks, update)
            token_kl = episodes.logprobs - episodes.reference_logprobs
            kl = token_kl.sum(1).mean().item()
            # step 3: optimise on the batch, `epochs` times in minibatches
            means = optimise(cfg, policy, optimizer, episodes, kl_coef, update, prompt.pad_id, hooks.added_loss)
            _require_finite(means.total.item(), kl, ppo.lr, update, updates, folder)
            # step 4: record the update, and steer the KL coefficient of the next
            row = {
                "update": update, "episode": (update + 1) * ppo.batch_size, "score": episodes.score.mean().item(),
                "true_score": episodes.true_score.mean().item(),
                "kl": kl, "kl_coef": kl_coef, "entropy": episodes.entropy.sum(1).mean().item(),
                "policy_loss": means.policy.item(), "value_loss": means.value.item(),
                "approxkl": means.approxkl.item(), "clipfrac": means.clipfrac.item(),
                "ended": episodes.ended.float().mean().item(), "lr": lr, "labels": labels.get("labels", 0.0),
            }  # fmt: skip
            curve.append(row)
            hooks.log({**row, **labels}, update)
            if parallel.rank() == 0 and shows_samples(update, updates):
                hooks.show(_samples(episodes, prompt, cfg.task.response_length), update)
            kl_coef = next_kl_coef(kl_coef, steered(ppo, kl, row["entropy"]), ppo.batch_size, ppo.adaptive_kl)
            bar.set_postfix(score=f"{row['score']:.2f}", kl=f"{kl:.2f}")
            bar.update()
            # step 5: now and then, keep a checkpoint
            if parallel.rank() == 0 and clock.due() and _is_finite(policy):
                tensors, state = hooks.save_state()
                tensors |= checkpoint.tensors_of("policy", policy) | checkpoint.pack("optimizer", optimizer)
                checkpoint.save(folder, update + 1, tensors, {"kl_coef": kl_coef, "curve": curve, "hooks": state})
    return PpoResult(policy, curve)


def rollouts(
    cfg: PpoStage,
    reference: Any,
    policy: causal_lm.Policy,
    queries: Tensor,
    prompt: Prompt,
    hooks: Hooks,
    update: int,
) -> Episodes:
    """A scored response to each of `queries` `[batch, query]`; every rank samples its share and gets all of them."""
    task = cfg.task
    share = parallel.share(causal_lm.trim(queries, prompt.pad_id))
    uniform = rollout.random_numbers(len(queries), task.response_length, queries.device, cfg.seed, "rollout", update)
    sampled = rollout.sample(
        policy.lm, prompt.inputs(share), parallel.share(uniform), task.temperature, prompt.pad_id, policy.value_head
    )
    scored = score(cfg, reference, hooks.reward(), hooks.true_score, sampled, share, prompt)
    return Episodes(*map(parallel.gather, scored))


def _require_finite(loss: float, kl: float, lr: float, update: int, updates: int, folder: Path) -> None:
    if math.isfinite(loss) and math.isfinite(kl):
        return
    last = f"the last good checkpoint is in {folder}" if folder.exists() else "there is no checkpoint yet"
    raise PreflabError(
        f"policy.lr={lr}: loss {loss}, KL {kl} at update {update} of {updates}; "
        f"{last}; lower the learning rate or raise policy.kl_coef"
    )


def _is_finite(policy: causal_lm.Policy) -> bool:
    return all(bool(parameter.isfinite().all()) for parameter in policy.parameters())


def _samples(episodes: Episodes, prompt: Prompt, response_length: int) -> list[Sample]:
    """The first two episodes of a batch; tokens are those that the reward saw."""
    queries, responses = episodes.tokens[:2, :-response_length], episodes.tokens[:2, -response_length:]
    kls = (episodes.logprobs - episodes.reference_logprobs)[:2].sum(1).tolist()
    parts = zip(queries, prompt.truncate(responses), episodes.score[:2].tolist(), kls, strict=True)
    return [Sample(*part) for part in parts]


def minibatches(batch_size: int, count: int, epochs: int, seed: int, update: int) -> Iterator[Tensor]:
    """`epochs` times a fresh permutation of the batch, in `count` equal parts: `[batch/count]` row numbers."""
    generator = runtime.generator("cpu", seed, "minibatches", update)
    for _ in range(epochs):
        yield from torch.randperm(batch_size, generator=generator).split(batch_size // count)


def optimise(
    cfg: PpoStage,
    policy: causal_lm.Policy,
    optimizer: torch.optim.Optimizer,
    episodes: Episodes,
    kl_coef: float,
    update: int,
    pad_id: int,
    added_loss: Callable[[int], Tensor] | None = None,
) -> Losses:
    """All gradient steps of one update; the means of what `losses` returns over them, each a scalar."""
    ppo, device = cfg.policy, episodes.tokens.device
    base = episodes.reference_logprobs if ppo.penalty == "kl" else torch.zeros_like(episodes.logprobs)
    rewards = token_rewards(episodes.logprobs, base, ppo.reward_sign * episodes.score, ppo.kl_sign * kl_coef)
    number = update * ppo.epochs * ppo.nminibatches
    stats = []
    for rows in minibatches(ppo.batch_size, ppo.nminibatches, ppo.epochs, cfg.seed, update):
        further = partial(added_loss, number) if added_loss else None
        stats.append(step(cfg, policy, optimizer, episodes, rewards, rows.to(device), pad_id, further))
        number += 1
    return Losses(*parallel.total(torch.stack(stats).mean(0)))


def step(
    cfg: PpoStage,
    policy: causal_lm.Policy,
    optimizer: torch.optim.Optimizer,
    episodes: Episodes,
    rewards: Tensor,
    rows: Tensor,
    pad_id: int,
    added_loss: Callable[[], Tensor] | None = None,
) -> Tensor:
    """One gradient step on the episodes `rows` `[minibatch]`; whitening is per minibatch (train_policy.py:324-338).

    Returns this rank's part of `losses`, `[5]`; the parts of all ranks add up to the losses of the minibatch.
    """
    ppo = cfg.policy
    minibatch_rewards = whiten(rewards[rows], shift_mean=False) if ppo.whiten_rewards else rewards[rows]
    advantages, returns = gae(minibatch_rewards, episodes.values[rows], ppo.gamma, ppo.lam)
    advantages = whiten(advantages, shift_mean=True)
    optimizer.zero_grad()
    stats = torch.zeros(len(Losses._fields), device=rows.device)
    places = torch.arange(len(rows), device=rows.device)
    for part in parallel.share(places).split(ppo.microbatch_size or len(rows)):
        chosen = rows[part]
        logprobs, values = policy.evaluate(
            episodes.tokens[chosen], cfg.task.response_length, cfg.task.temperature, pad_id
        )
        loss = losses(
            logprobs, values, episodes.logprobs[chosen], episodes.values[chosen], advantages[part], returns[part],
            ppo.cliprange, ppo.cliprange_value, ppo.vf_coef,
        )  # fmt: skip
        weight = len(part) / len(rows)
        (weight * loss.total).backward()
        stats += weight * torch.stack([value.detach() for value in loss])
    if added_loss:
        added_loss().backward()
    parallel.sum_gradients(policy.parameters())
    optimizer.step()
    return stats
