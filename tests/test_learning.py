"""PPO learns: a true score rises and KL stays near its target; with the reward's sign flipped it falls."""

import pytest
import torch
from tiny_model import LAYOUT, VOCABULARY, gpt2, policy_stage

from preflab.errors import PreflabError
from preflab.models import causal_lm
from preflab.settings.method import AdaptiveKL
from preflab.training import ppo

FAVOURITE = 7


def train(
    sign: float, folder, seed: int = 1, updates: int = 60, hooks: dict | None = None, **changes: object
) -> ppo.Result:
    """A tiny policy on the share of one token in its responses, in standard deviations of the reference."""
    torch.manual_seed(0)
    lm = gpt2(width=32)
    lm.transformer.wte.weight.data.mul_(0.2)  # a flat reference: every token can be learned
    settings = {
        "episodes": 64 * updates, "batch_size": 64, "lr": 1e-3, "kl_coef": 0.3, "adaptive_kl": AdaptiveKL(2.0, 200.0),
        "task_truncate_after": 0,
    }  # fmt: skip
    stage = policy_stage(seed, **(settings | changes))
    queries = torch.randint(VOCABULARY, (32, 6), generator=torch.Generator().manual_seed(0))
    policy = causal_lm.Policy(gpt2(width=32))
    policy.lm.load_state_dict(lm.state_dict())

    def share(queries, responses):
        return sign * ((responses == FAVOURITE).float().mean(1) - 1 / VOCABULARY) / 0.1

    parts = {
        "reward": lambda: share,
        "true_score": share,
        "before_update": lambda _update, _policy: {},
        "log": lambda _row, _update: None,
        "save_state": lambda: ({}, {}),
        "load_state": lambda _tensors, _state: None,
    } | (hooks or {})
    return ppo.train(stage, lm, policy, queries, LAYOUT._replace(truncate_after=0), ppo.Hooks(**parts), folder)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return {sign: train(sign, tmp_path_factory.mktemp(f"sign{sign}")) for sign in (1.0, -1.0)}


def favourite_share(result: ppo.Result, sign: float, rows: slice) -> float:
    """The share of the favourite token, whatever the sign of the reward was."""
    scores = [sign * row["true_score"] for row in result.curve[rows]]
    return sum(scores) / len(scores)


def test_reward_rises(both):
    assert favourite_share(both[1.0], 1.0, slice(-5, None)) > favourite_share(both[1.0], 1.0, slice(0, 5)) + 1.0


def test_with_the_sign_flipped_it_falls(both):
    assert (
        favourite_share(both[-1.0], -1.0, slice(-5, None)) < favourite_share(both[-1.0], -1.0, slice(0, 5)) - 0.2
    )  # near the floor: no such token at all is −0.91


def test_kl_starts_at_zero_and_stays_near_its_target(both):
    kl = [row["kl"] for row in both[1.0].curve]
    assert kl[0] == pytest.approx(0, abs=1e-4)
    assert 1.0 < sum(kl[-10:]) / 10 < 3.0
    assert max(kl) < 10.0


def test_an_interrupted_run_continues_to_the_same_bits(tmp_path, monkeypatch):
    whole = train(1.0, tmp_path / "whole", updates=6)
    monkeypatch.setattr("preflab.machine.checkpoint.Every.due", lambda _self: True)

    def stop(row, update):
        if update == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(1.0, tmp_path / "cut", updates=6, hooks={"log": stop})
    resumed = train(1.0, tmp_path / "cut", updates=6)
    assert resumed.curve == whole.curve
    assert all(torch.equal(a, b) for a, b in zip(whole.policy.parameters(), resumed.policy.parameters(), strict=True))


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("preflab.machine.checkpoint.Every.due", lambda _self: True)
    calls = iter(range(100))

    def broken(queries, responses):
        return torch.full((len(queries),), float("nan") if next(calls) == 2 else 0.5)

    with pytest.raises(
        PreflabError, match=r"at update 2 of 6; the last good checkpoint is in .*; lower the learning rate"
    ):
        train(1.0, tmp_path, updates=6, hooks={"reward": lambda: broken})
    assert [p.name for p in tmp_path.glob("step-*")] == ["step-2"]
