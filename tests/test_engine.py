"""The fast path computes what a plain one does: in fp32 to 1e-5, in bf16 within seed noise, on two ranks as on one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from helpers import reference_ppo
from helpers.tiny_model import PAD, PROMPT, VOCABULARY, gpt2, policy_stage
from helpers.tiny_training import random_comparisons, train_ppo
from preflab.machine import runtime
from preflab.models import causal_lm, reward_model
from preflab.models import logprobs as logprobs_models
from preflab.sampling import rollout
from preflab.training import ppo
from preflab.training.reward import batch_of, loss_of

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def rollouts(stage):
    """A policy that has left the reference, and its scored episodes on queries of several lengths."""
    reference, policy = gpt2(), causal_lm.Policy(gpt2(seed=1))
    torch.nn.init.normal_(policy.value_head.weight)
    queries = torch.randint(VOCABULARY, (8, 6), generator=torch.Generator().manual_seed(5))
    for row, length in enumerate((6, 5, 4, 3, 2, 6, 5, 1)):
        queries[row, : 6 - length] = PAD
    numbers = rollout.random_numbers(8, 8, torch.device("cpu"), "test")
    ro = rollout.sample(policy.lm, queries, numbers, 0.7, PAD, policy.value_head)

    def share(queries, responses):
        return (responses == 7).float().mean(1) - 0.1

    return reference, policy, ppo.score(stage, reference, share, share, ro, queries, PROMPT)


@pytest.mark.parametrize(("block", "microbatch"), [(4096, None), (4, 3)])
def test_an_update_equals_the_plain_one(block, microbatch, monkeypatch):
    monkeypatch.setattr(logprobs_models, "BLOCK", block)  # one block, or three of which the last is not full
    stage = policy_stage(batch_size=8, microbatch_size=microbatch, epochs=1, cliprange=0.05, cliprange_value=0.05)
    cfg = stage.policy
    reference, policy, episodes = rollouts(stage)
    with torch.no_grad():
        slow = reference_ppo.response_logprobs(policy.lm, episodes.tokens, 8, 0.7, PAD)
        slow_reference = reference_ppo.response_logprobs(reference, episodes.tokens, 8, 0.7, PAD)
        slow_values = reference_ppo.values(policy.lm, policy.value_head, episodes.tokens, 8, PAD)
    torch.testing.assert_close(episodes.logprobs, slow, **CLOSE)
    torch.testing.assert_close(episodes.reference_logprobs, slow_reference, **CLOSE)
    torch.testing.assert_close(episodes.values, slow_values, **CLOSE)

    rewards = ppo.token_rewards(episodes.logprobs, episodes.reference_logprobs, episodes.score, 0.15)
    fast = ppo.gae(ppo.whiten(rewards, shift_mean=False), episodes.values, cfg.gamma, cfg.lam)
    advantages, returns = reference_ppo.advantages(
        slow, slow_reference, episodes.score, slow_values, 0.15, cfg.gamma, cfg.lam
    )
    torch.testing.assert_close(ppo.whiten(fast.advantages, shift_mean=True), advantages, **CLOSE)
    torch.testing.assert_close(fast.returns, returns, **CLOSE)

    with torch.no_grad():  # the policy moves on, so that ratios differ from 1 and both clips bite
        for parameter in policy.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.0)
    found = ppo.optimise(stage, policy, optimizer, episodes, 0.15, 0, PAD)
    gradients = [p.grad.clone() for p in policy.parameters()]
    optimizer.zero_grad()
    loss = reference_ppo.loss(
        reference_ppo.response_logprobs(policy.lm, episodes.tokens, 8, 0.7, PAD),
        reference_ppo.values(policy.lm, policy.value_head, episodes.tokens, 8, PAD),
        slow, slow_values, advantages, returns, cfg.cliprange, cfg.cliprange_value, cfg.vf_coef,
    )  # fmt: skip
    loss.backward()
    assert 0.1 < float(found[4]) < 0.9  # the share of clipped ratios
    torch.testing.assert_close(found[0], loss.detach(), **CLOSE)
    for fast_gradient, parameter in zip(gradients, policy.parameters(), strict=True):
        torch.testing.assert_close(fast_gradient, parameter.grad, **CLOSE)


def test_reward_gradients_equal_those_of_single_sequences():
    labels = random_comparisons(6)
    model = reward_model.initial(gpt2().requires_grad_(False), 1)
    data = batch_of(labels, PAD, torch.device("cpu"))
    loss_of(model.compare(data.queries, data.samples, PAD), data.best).backward()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    total = torch.zeros(())
    for label in labels:
        scores = []
        for sample in label.samples:
            row = torch.tensor([t for t in [*label.query, *sample] if t != PAD])
            hidden = model.trunk(row[None]).last_hidden_state[0, -1]
            scores.append(model.gain * model.head(hidden)[0] + model.bias)
        total = total - torch.stack(scores).log_softmax(0)[label.best] / len(labels)
    total.backward()
    slow = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(slow) == len(gradients) > 10
    for fast_gradient, slow_gradient in zip(gradients, slow, strict=True):
        torch.testing.assert_close(fast_gradient, slow_gradient, **CLOSE)


def test_learning_in_bf16_is_learning_in_fp32_within_seed_noise(tmp_path):
    ends: dict[str, list[tuple[float, float]]] = {}
    for precision in ("fp32", "bf16"):
        for seed in (1, 2, 3):
            runtime.start(1, precision)
            curve = train_ppo(1.0, tmp_path / f"{precision}{seed}", seed, updates=40).curve[-5:]
            ends.setdefault(precision, []).append(
                (sum(row["true_score"] for row in curve) / 5, sum(row["kl"] for row in curve) / 5)
            )
    runtime.start(1, "fp32")
    full, half = (torch.tensor(ends[precision]) for precision in ("fp32", "bf16"))
    assert not torch.equal(full, half)  # bf16 was used
    noise = full.std(0) + half.std(0)
    assert ((full.mean(0) - half.mean(0)).abs() < 2 * noise + 0.1).all(), ends


def test_two_ranks_compute_what_one_does(tmp_path):
    script = Path(__file__).with_name("helpers") / "torchrun_script.py"
    found = []
    for count in (1, 2):
        out = tmp_path / f"{count}.json"
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if count == 2 else []
        subprocess.run(
            [sys.executable, *launcher, str(script), str(out)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
            check=True, capture_output=True,
        )  # fmt: skip
        found.append(json.loads(out.read_text()))
    one, two = found
    assert two["error"].startswith("policy.batch_size / policy.nminibatches: 5 does not divide among 2 processes")
    assert len(one["ppo"]) == 3
    assert one["online"] == two["online"]
    assert one["online"][-1]["retrainings"] == 3
    for row, other in zip(one["ppo"] + one["reward"], two["ppo"] + two["reward"], strict=True):
        assert row == pytest.approx(other, abs=1e-5, rel=1e-5)
    # a key's bias changes no attention: its gradient is rounding noise, which Adam makes steps of
    assert one["parameters"] == pytest.approx(two["parameters"], abs=1e-3)
