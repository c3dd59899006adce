"""PPO learns: a true score rises and KL stays near its target; with the reward's sign flipped it falls."""

import pytest
import torch

from helpers.tiny_training import train_ppo
from preflab.errors import PreflabError
from preflab.machine import checkpoint
from preflab.training import ppo


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return {sign: train_ppo(sign, tmp_path_factory.mktemp(f"sign{sign}")) for sign in (1.0, -1.0)}


def favourite_share(result: ppo.PpoResult, sign: float, rows: slice) -> float:
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
    whole = train_ppo(1.0, tmp_path / "whole", updates=6)
    monkeypatch.setattr(checkpoint.Every, "due", lambda _self: True)

    def stop(row, update):
        if update == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_ppo(1.0, tmp_path / "cut", updates=6, hooks={"log": stop})
    resumed = train_ppo(1.0, tmp_path / "cut", updates=6)
    assert resumed.curve == whole.curve
    assert all(torch.equal(a, b) for a, b in zip(whole.policy.parameters(), resumed.policy.parameters(), strict=True))


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint.Every, "due", lambda _self: True)
    calls = iter(range(100))

    def broken(queries, responses):
        return torch.full((len(queries),), float("nan") if next(calls) == 2 else 0.5)

    with pytest.raises(
        PreflabError, match=r"at update 2 of 6; the last good checkpoint is in .*; lower the learning rate"
    ):
        train_ppo(1.0, tmp_path, updates=6, hooks={"reward": lambda: broken})
    assert [p.name for p in tmp_path.glob("step-*")] == ["step-2"]
