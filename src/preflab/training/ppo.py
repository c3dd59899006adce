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
from preflab.sampling.prompt import Layout
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
    """What the controller holds at its target: the KL; of an entropy bonus the shortfall, as far above the target."""
    if ppo.penalty == "kl" or ppo.adaptive_kl is None:
        return kl
    return 2 * ppo.adaptive_kl.target - entropy


# --- the loop ---------------------------------------------------------------------------------------------------------


class Hooks(NamedTuple):
    """What a run calls out to. `before_update(update, policy)` collects labels online; `log(update, row)` records.

    `added_loss(step)`: a further loss of each gradient step, by its number in the run.
    """

    reward: Callable[[], Reward]
    true_score: Reward
    before_update: Callable[[int, causal_lm.Policy], dict[str, float]]
    log: Callable[[dict[str, float], int], None]
    save_state: Callable[[], tuple[checkpoint.Tensors, dict[str, Any]]]
    load_state: Callable[[checkpoint.Tensors, dict[str, Any]], None]
    added_loss: Callable[[int], Tensor] | None = None


class Episodes(NamedTuple):
    """Rollouts and all that PPO asks about them: `tokens` `[batch, query + response]`; `score`, `true_score`, `ended`
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
    layout: Layout,
) -> Episodes:
    """Ask reference, reward and true score about rollouts to `queries` that were sampled with a value head."""
    assert ro.values is not None
    assert ro.entropy is not None
    task = cfg.task
    truncated, ended = layout.truncate(ro.responses), layout.ended(ro.responses)
    return Episodes(
        ro.tokens,
        ro.logprobs,
        causal_lm.response_logprobs(reference, ro.tokens, task.response_length, task.temperature, layout.pad_id),
        ro.values,
        ro.entropy,
        torch.where(ended, reward(queries, truncated), task.penalty),
        true_score(queries, truncated),
        ended,
    )


class Result(NamedTuple):
    """The trained policy and one row per update."""

    policy: causal_lm.Policy
    curve: list[dict[str, float]]


def train(
    cfg: PpoStage,
    reference: Any,
    policy: causal_lm.Policy,
    queries: Tensor,
    layout: Layout,
    hooks: Hooks,
    folder: Path,
) -> Result:
    """Train `policy` against the frozen `reference` on left-padded train `queries` `[rows, query]`.

    With torchrun every rank calls this and gets the same policy (machine/parallel.py).  Resumes from a checkpoint in `folder`;
    a loss or KL that is not finite stops the run and keeps the last good one.
    """
    ppo, length, temperature = cfg.policy, cfg.task.response_length, cfg.task.temperature
    parallel.require_equal_shares(ppo.batch_size // ppo.nminibatches, "policy.batch_size / policy.nminibatches")
    updates = ppo.episodes // ppo.batch_size
    optimizer = optim.build(ppo.adam, policy.parameters(), ppo.lr, ppo.adam_eps)
    kl_coef, first, curve = ppo.kl_coef, 0, []
    saved = checkpoint.load(folder)
    if saved is not None:
        first, kl_coef, curve = saved.step, saved.state["kl_coef"], saved.state["curve"]
        policy.load_state_dict({k[7:]: v for k, v in saved.tensors.items() if k.startswith("policy.")}, strict=False)
        checkpoint.unpack("optimizer", optimizer, saved.tensors)
        if isinstance(optimizer, optim.TFAdam):
            optimizer.taken = saved.state["taken"]
        hooks.load_state(saved.tensors, saved.state["hooks"])
    keep = checkpoint.Every(seconds=15)
    with runtime.progress(updates, "ppo", unit="update", done=first) as bar:
        for update in range(first, updates):
            lr = optim.set_lr(optimizer, ppo.lr, update, updates)
            collected = hooks.before_update(update, policy)
            rows = torch.tensor(query_batches(len(queries), ppo.batch_size, cfg.seed, update), device=queries.device)
            batch = parallel.share(causal_lm.trim(queries[rows], layout.pad_id))
            uniform = rollout.random_numbers(len(rows), length, queries.device, cfg.seed, "rollout", update)
            ro = rollout.sample(
                policy.lm, layout.inputs(batch), parallel.share(uniform), temperature, layout.pad_id, policy.value_head
            )
            scored = score(cfg, reference, hooks.reward(), hooks.true_score, ro, batch, layout)
            episodes = Episodes(*map(parallel.gather, scored))
            kl = (episodes.logprobs - episodes.reference_logprobs).sum(1).mean().item()
            total, policy_loss, value_loss, approxkl, clipfrac = optimise(
                cfg, policy, optimizer, episodes, kl_coef, update, layout.pad_id, hooks.added_loss
            ).tolist()
            if not (math.isfinite(total) and math.isfinite(kl)):
                kept = f"the last good checkpoint is in {folder}" if folder.exists() else "there is no checkpoint yet"
                raise PreflabError(
                    f"policy.lr={ppo.lr}: loss {total}, KL {kl} at update {update} of {updates}; "
                    f"{kept}; lower the learning rate or raise policy.kl_coef"
                )
            row = {
                "update": update, "episode": (update + 1) * ppo.batch_size, "score": episodes.score.mean().item(),
                "true_score": episodes.true_score.mean().item(),
                "kl": kl, "kl_coef": kl_coef, "entropy": episodes.entropy.sum(1).mean().item(),
                "policy_loss": policy_loss, "value_loss": value_loss, "approxkl": approxkl, "clipfrac": clipfrac,
                "ended": episodes.ended.float().mean().item(), "lr": lr,
                "labels": collected.get("labels", 0.0),
            }  # fmt: skip
            curve.append(row)
            hooks.log({**row, **collected}, update)
            kl_coef = next_kl_coef(kl_coef, steered(ppo, kl, row["entropy"]), ppo.batch_size, ppo.adaptive_kl)
            bar.set_postfix(score=f"{row['score']:.2f}", kl=f"{kl:.2f}")
            bar.update()
            if (
                parallel.rank() == 0
                and keep.due()
                and all(parameter.isfinite().all() for parameter in policy.parameters())
            ):
                tensors, state = hooks.save_state()
                tensors |= {f"policy.{k}": v for k, v in policy.named_parameters()} | checkpoint.pack(
                    "optimizer", optimizer
                )
                taken = getattr(optimizer, "taken", 0)
                checkpoint.save(
                    folder,
                    update + 1,
                    tensors,
                    {"kl_coef": kl_coef, "curve": curve, "taken": taken, "hooks": state},
                )
    return Result(policy, curve)


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
) -> Tensor:
    """All gradient steps of one update; the means of what `losses` returns over them, `[5]`."""
    ppo, device = cfg.policy, episodes.tokens.device
    base = episodes.reference_logprobs if ppo.penalty == "kl" else torch.zeros_like(episodes.logprobs)
    rewards = token_rewards(episodes.logprobs, base, ppo.reward_sign * episodes.score, ppo.kl_sign * kl_coef)
    first = update * ppo.epochs * ppo.nminibatches
    stats = [
        step(cfg, policy, optimizer, episodes, rewards, rows.to(device), pad_id, added_loss and partial(added_loss, at))
        for at, rows in enumerate(minibatches(ppo.batch_size, ppo.nminibatches, ppo.epochs, cfg.seed, update), first)
    ]
    return parallel.total(torch.stack(stats).mean(0))


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
    """One gradient step on the episodes `rows`; whitening is per minibatch (train_policy.py:324-338).

    Returns this rank's part of `losses`, `[5]`; the parts of all ranks add up to the losses of the minibatch.
    """
    ppo = cfg.policy
    minibatch_rewards = whiten(rewards[rows], shift_mean=False) if ppo.whiten_rewards else rewards[rows]
    estimate = gae(minibatch_rewards, episodes.values[rows], ppo.gamma, ppo.lam)
    whole = (whiten(estimate.advantages, shift_mean=True), estimate.returns)
    optimizer.zero_grad()
    found = torch.zeros(len(Losses._fields), device=rows.device)
    own = zip(*(parallel.share(x).split(ppo.microbatch_size or len(rows)) for x in (rows, *whole)), strict=True)
    for part, advantages, returns in own:
        logprobs, values = policy.evaluate(
            episodes.tokens[part], cfg.task.response_length, cfg.task.temperature, pad_id
        )
        loss = losses(
            logprobs, values, episodes.logprobs[part], episodes.values[part], advantages, returns,
            ppo.cliprange, ppo.cliprange_value, ppo.vf_coef,
        )  # fmt: skip
        weight = len(part) / len(rows)
        (weight * loss.total).backward()
        found += weight * torch.stack([x.detach() for x in loss])
    if added_loss:
        added_loss().backward()
    parallel.sum_gradients(policy.parameters())
    optimizer.step()
    return found
