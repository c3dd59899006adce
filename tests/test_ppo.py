"""PPO's arithmetic against numbers worked by hand or by another formula."""

import math

import pytest
import torch

from helpers.tiny_model import END, PAD, PROMPT, gpt2, policy_stage
from preflab.sampling import rollout
from preflab.settings.method import AdaptiveKLSettings
from preflab.training import batches
from preflab.training import ppo as ppo_training
from preflab.training.ppo import (
    Episodes,
    gae,
    losses,
    minibatches,
    next_kl_coef,
    optimise,
    steered,
    token_rewards,
    whiten,
)


def test_token_rewards_by_hand():
    logprobs = torch.tensor([[-1.0, -2.0, -0.5]])
    reference = torch.tensor([[-1.5, -1.0, -0.5]])
    got = token_rewards(logprobs, reference, torch.tensor([2.0]), kl_coef=0.1)
    torch.testing.assert_close(got, torch.tensor([[-0.05, 0.1, 2.0]]))


def test_kl_penalty_covers_all_tokens_and_sums_to_the_sequence_kl():
    generator = torch.Generator().manual_seed(0)
    logprobs, reference = torch.randn(5, 8, generator=generator), torch.randn(5, 8, generator=generator)
    score = torch.randn(5, generator=generator)
    got = token_rewards(logprobs, reference, score, 0.3).sum(1)
    torch.testing.assert_close(got, score - 0.3 * (logprobs - reference).sum(1))


def test_whitening_uses_the_biased_variance():
    # 1..4: mean 2.5, biased variance 1.25 (unbiased 1.6667)
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    scale = 1 / math.sqrt(1.25 + 1e-8)
    torch.testing.assert_close(whiten(x, shift_mean=True), (x - 2.5) * scale)
    torch.testing.assert_close(whiten(x, shift_mean=False), (x - 2.5) * scale + 2.5)


def test_gae_equals_the_double_sum():
    generator = torch.Generator().manual_seed(1)
    rewards, values = torch.randn(3, 6, generator=generator), torch.randn(3, 6, generator=generator)
    gamma, lam = 0.9, 0.8
    padded = torch.cat([values, torch.zeros(3, 1)], 1)
    expected = torch.zeros(3, 6)
    for t in range(6):  # A_t = Σ_k (γλ)^k δ_{t+k}
        for k in range(6 - t):
            expected[:, t] += (gamma * lam) ** k * (rewards[:, t + k] + gamma * padded[:, t + k + 1] - values[:, t + k])
    got = gae(rewards, values, gamma, lam)
    torch.testing.assert_close(got.advantages, expected)
    torch.testing.assert_close(got.returns, expected + values)


def test_gae_with_lambda_one_is_reward_to_go_minus_value():
    rewards, values = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[0.5, 0.25, 4.0]])
    got = gae(rewards, values, 1.0, 1.0)
    torch.testing.assert_close(got.advantages, torch.tensor([[2.5, 2.75, -2.0]]))
    torch.testing.assert_close(got.returns, torch.tensor([[3.0, 3.0, 2.0]]))


def test_losses_by_hand():
    # ratios 1.5 and 0.5, clip 0.2; advantages 1 and −1
    old = torch.zeros(1, 2)
    new = torch.tensor([[math.log(1.5), math.log(0.5)]])
    got = losses(
        new, torch.tensor([[1.0, 0.0]]), old, torch.tensor([[0.0, 0.0]]),
        torch.tensor([[1.0, -1.0]]), torch.tensor([[2.0, 1.0]]),
        0.2, 0.2, 0.1,
    )  # fmt: skip
    # policy: max(−1.5, −1.2) = −1.2 and max(0.5, 0.8) = 0.8; mean −0.2
    # value: the first is clipped to 0.2: max((1−2)², (0.2−2)²) = 3.24; the second stays 0: 1 → ½ · mean = 1.06
    assert got.policy.item() == pytest.approx(-0.2, abs=1e-6)
    assert got.value.item() == pytest.approx(1.06, abs=1e-6)
    assert got.total.item() == pytest.approx(-0.2 + 0.106, abs=1e-6)
    assert got.clipfrac.item() == 1.0
    assert got.approxkl.item() == pytest.approx(0.25 * (math.log(1.5) ** 2 + math.log(2) ** 2), abs=1e-6)


def test_gradient_of_the_first_step_is_minus_advantage():
    logprobs = torch.zeros(1, 2, requires_grad=True)
    zero = torch.zeros(1, 2)
    losses(logprobs, zero, zero, zero, torch.tensor([[3.0, -1.0]]), zero, 0.2, 0.2, 0.1).total.backward()
    torch.testing.assert_close(
        logprobs.grad, torch.tensor([[-1.5, 0.5]])
    )  # −A/2 for two tokens: a good token becomes likelier


def test_kl_controller_over_several_steps():
    adaptive = AdaptiveKLSettings(target=6.0, horizon=10_000.0)
    beta = 0.15
    # errors: 12/6 − 1 = 1 → 0.2; 6.6/6 − 1 = 0.1; 3/6 − 1 = −0.5 → −0.2; at batch 512
    for kl, error in ((12.0, 0.2), (6.6, 0.1), (3.0, -0.2)):
        expected = beta * (1 + error * 0.0512)
        beta = next_kl_coef(beta, kl, 512, adaptive)
        assert beta == pytest.approx(expected, rel=1e-12)
    assert beta == pytest.approx(0.15 * 1.01024 * 1.00512 * 0.98976, rel=1e-12)


def test_entropy_bonus_is_steered_to_its_target():
    # the target 30 and entropies 24, 36: 20 % too few raise β as a KL 20 % too high does, 20 % too many lower it
    stage = policy_stage(penalty="entropy", adaptive_kl=AdaptiveKLSettings(30.0, 100.0)).policy
    for entropy, error in ((24.0, 0.2), (31.5, -0.05), (36.0, -0.2)):
        held = steered(stage, 3.0, entropy)
        assert next_kl_coef(0.5, held, 10, stage.adaptive_kl) == pytest.approx(0.5 * (1 + error * 0.1))
    assert steered(policy_stage().policy, 3.0, 24.0) == 3.0


@pytest.mark.parametrize(
    ("changes", "score", "penalty"),
    [
        ({}, 1, "kl"), ({"reward_sign": -1}, -1, "kl"), ({"kl_sign": -1}, 1, "minus kl"),
        ({"reward_sign": -1, "kl_sign": -1}, -1, "minus kl"), ({"penalty": "entropy"}, 1, "entropy"),
    ],
)  # fmt: skip
def test_what_a_policy_is_rewarded_for(changes, score, penalty, monkeypatch):
    seen = []
    monkeypatch.setattr(ppo_training, "step", lambda *args: seen.append(args[4]) or torch.zeros(5))
    generator = torch.Generator().manual_seed(0)
    logprobs, reference = -torch.rand(4, 3, generator=generator), -torch.rand(4, 3, generator=generator)
    other, scores = torch.zeros(4, 3), torch.tensor([1.0, 2.0, 3.0, 4.0])
    episodes = Episodes(other, logprobs, reference, other, other, scores, scores, scores)
    optimise(policy_stage(batch_size=4, **changes), None, None, episodes, 0.5, 0, PAD)
    per_token = {"kl": reference - logprobs, "minus kl": logprobs - reference, "entropy": -logprobs}[penalty]
    expected = 0.5 * per_token
    expected[:, -1] += score * scores
    torch.testing.assert_close(seen[0], expected)


def test_fixed_kl_control_never_moves():
    assert next_kl_coef(0.03, 100.0, 512, None) == 0.03


def test_missing_end_token_replaces_the_score_by_the_penalty():
    stage = policy_stage(task_penalty=-1.0)
    responses = torch.tensor([[1, 2, 4, 5, END, 6, 7, 8], [1, END, 4, 5, 6, 7, 8, 9]])
    seen = []

    def score(queries, given):
        seen.append(given)
        return torch.tensor([0.7, 0.9])

    lm = gpt2()
    tokens = torch.cat([torch.zeros(2, 6, dtype=torch.long), responses], 1)
    empty = torch.zeros(2, 8)
    ro = rollout.Rollout(tokens, responses, empty, empty, empty)
    episodes = ppo_training.score(stage, lm, score, score, ro, tokens[:, :6], PROMPT)
    torch.testing.assert_close(episodes.score, torch.tensor([0.7, -1.0]))
    torch.testing.assert_close(episodes.true_score, torch.tensor([0.7, 0.9]))
    assert episodes.ended.tolist() == [True, False]
    assert seen[0][0].tolist() == [
        1,
        2,
        4,
        5,
        END,
        PAD,
        PAD,
        PAD,
    ]  # the reward model reads the truncated response


def test_query_batches_read_every_query_once_per_pass_and_can_start_anywhere():
    rows = [r for update in range(7) for r in batches.query_batches(10, 4, seed=5, update=update)]
    assert sorted(rows[:10]) == sorted(rows[10:20]) == list(range(10))
    assert rows[:10] != rows[10:20]
    assert batches.query_batches(10, 4, seed=5, update=3) == rows[12:16]


@pytest.mark.parametrize("updates", [1, 3, 10, 19, 25, 50, 1007])
def test_samples_are_shown_ten_times_a_run_and_at_its_end(updates):
    shown = [update for update in range(updates) if ppo_training.shows_samples(update, updates)]
    assert len(shown) == min(updates, 10)
    assert shown[-1] == updates - 1


def test_minibatches_are_a_fresh_permutation_per_epoch():
    parts = list(minibatches(8, 2, 3, seed=1, update=0))
    assert [len(p) for p in parts] == [4] * 6
    epochs = [torch.cat(parts[i : i + 2]).tolist() for i in (0, 2, 4)]
    assert all(sorted(e) == list(range(8)) for e in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
