"""Stage `ppo`: train a policy against a reward model, offline or online, or directly on the true score."""

import sys
from pathlib import Path
from typing import Any, NamedTuple

from preflab.comparisons import read, synthetic, write
from preflab.errors import PreflabError
from preflab.machine import parallel
from preflab.models import causal_lm, reward_model
from preflab.sampling import reference
from preflab.sampling.reference import Reference
from preflab.settings.stages import PpoStage
from preflab.stages import Log, Result
from preflab.training import online, ppo, scoring, shared_network

COLUMNS = [
    "update",
    "episode",
    "score",
    "true_score",
    "kl",
    "kl_coef",
    "entropy",
    "policy_loss",
    "value_loss",
    "approxkl",
    "clipfrac",
    "ended",
    "lr",
    "labels",
]
FINAL = ("score", "true_score", "kl", "kl_coef", "entropy", "ended", "labels")


class Parts(NamedTuple):
    """The `policy` to train, PPO's `hooks`, and the `collector` of online labels, if any."""

    policy: causal_lm.Policy
    hooks: ppo.Hooks
    collector: online.Collector | None


def run(
    cfg: PpoStage,
    *,
    queries: Path,
    model: Path,
    comparisons: Path,
    reward: Path,
    out: Path,
    log: Log,
    work: Path,
) -> Result:
    """Write the policy to `out`, and under `reward/` its last reward model where the run has changed it.

    Raises PreflabError if labels are to be collected online for direct training, or the loss is not finite.
    """
    ref = reference.load(cfg.runtime, cfg.task, queries, model)
    calibration = synthetic.load_calibration(comparisons)
    score = scoring.load(reward, model, ref.lm, queries, ref.tokenizer, ref.prompt.pad_id)
    lm = causal_lm.load_causal_lm(model, ref.queries.device)
    true_score = scoring.true_score(queries, ref.tokenizer, calibration, ref.prompt.pad_id)
    hooks = ppo.Hooks(
        reward=lambda: score,
        true_score=true_score,
        log=lambda row, update: log.metrics({k: v for k, v in row.items() if k != "update"}, step=update),
        show=lambda samples, update: _show(samples, update, ref, log),
    )
    if cfg.online is None:
        parts = _offline(cfg, ref, lm, score, comparisons, hooks)
    else:
        panel = scoring.Panel(calibration, queries, ref.tokenizer, ref.prompt.pad_id)
        parts = _online(cfg, ref, lm, score, comparisons, panel, calibration, hooks)
    result = ppo.train(cfg, ref.lm, parts.policy, ref.queries, ref.prompt, parts.hooks, work)
    if parallel.rank() == 0:
        _save(result.policy, parts.collector, out, model)
    return Result({name: result.curve[-1][name] for name in FINAL}, result.curve)


def _offline(
    cfg: PpoStage, ref: Reference, lm: Any, score: scoring.Score, comparisons: Path, hooks: ppo.Hooks
) -> Parts:
    """A fixed reward; the frozen networks keep their matrices in bf16 where products are in bf16."""
    causal_lm.freeze_to_bf16(ref.lm)
    if not isinstance(score, scoring.NetworkScore):
        return Parts(causal_lm.Policy(lm), hooks, None)
    if cfg.shared:
        policy = shared_network.Policy(lm, score.model)
        labels = read(comparisons / "train.parquet")
        loss = shared_network.label_loss(policy, labels, cfg.shared, cfg.seed, ref.prompt.pad_id)
        return Parts(policy, hooks._replace(added_loss=loss), None)
    causal_lm.freeze_to_bf16(score.model.trunk)
    return Parts(causal_lm.Policy(lm), hooks, None)


def _online(
    cfg: PpoStage,
    ref: Reference,
    lm: Any,
    score: scoring.Score,
    comparisons: Path,
    panel: scoring.Panel,
    calibration: synthetic.Calibration,
    hooks: ppo.Hooks,
) -> Parts:
    """Labels are collected while the policy trains; the reference, where reward models start, keeps its precision."""
    assert cfg.online is not None
    if not isinstance(score, scoring.NetworkScore):
        raise PreflabError("labels=direct: a true score needs no labels; take collection=offline")
    labels = read(comparisons / "train.parquet")[: cfg.online.num_initial]
    collector = online.Collector(cfg, ref, labels, score.model, panel, calibration)
    hooks = hooks._replace(
        reward=collector.score,
        before_update=collector.before_update,
        save_state=collector.save_state,
        load_state=collector.load_state,
    )
    return Parts(causal_lm.Policy(lm), hooks, collector)


def _show(samples: list[ppo.Sample], update: int, ref: Reference, log: Log) -> None:
    """Print samples with score and KL, as the original does, and log them as text."""
    lines = [f"update {update + 1}"]
    for sample in samples:
        query, response = (
            causal_lm.decode(ref.tokenizer, tokens[None], ref.prompt.pad_id)[0]
            for tokens in (sample.query, sample.response)
        )
        lines.append(f"  score {sample.score:+.2f}, KL {sample.kl:.2f}: {query!r} → {response!r}")
    text = "\n".join(lines)
    print(text, file=sys.stderr, flush=True)
    log.text(f"samples/update_{update + 1:06d}.txt", text + "\n")


def _save(policy: causal_lm.Policy, collector: online.Collector | None, out: Path, base: Path) -> None:
    """Write the policy, and the reward model and labels of the run where they differ from those upstream."""
    causal_lm.save_policy(policy, out, base)
    if isinstance(policy, shared_network.Policy):
        reward_model.save(policy.rewarder, out / "reward", base)
    if collector:
        reward_model.save(collector.model, out / "reward", base)
        write(collector.labels, out / "labels.parquet")
