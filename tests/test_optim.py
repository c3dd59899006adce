"""TF-style Adam against a hand computation, and the learning rate that falls to 0."""

import math

import pytest
import torch

from preflab.training import optim


def test_tf_adam_against_its_formula():
    p = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = optim.TFAdam([p], lr=0.1, eps=1e-2)
    theta, m, v = [1.0, -2.0], [0.0, 0.0], [0.0, 0.0]
    for t, gradient in enumerate([(0.5, -1e-3), (-0.25, 2e-3), (0.125, 0.0)], start=1):
        p.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        for i, g in enumerate(gradient):
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g * g
            rate = 0.1 * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            theta[i] -= rate * m[i] / (math.sqrt(v[i]) + 1e-2)
        assert p.tolist() == pytest.approx(theta, rel=1e-9)


def test_pytorch_adam_takes_a_larger_first_step_at_this_epsilon():
    steps = {}
    for kind in ("tf", "torch"):
        p = torch.nn.Parameter(torch.zeros(1))
        p.grad = torch.tensor([1e-5])
        optim.build(kind, [p], lr=1.0, eps=1e-5).step()
        steps[kind] = -p.item()
    # m̂ = v̂^½ = g at t = 1: torch g/(g + ε) = ½; TensorFlow √0.001·g/(√0.001·g + ε) = 0.0307
    assert steps["torch"] == pytest.approx(0.5, rel=1e-4)
    assert steps["tf"] == pytest.approx(math.sqrt(0.001) / (math.sqrt(0.001) + 1), rel=1e-4)


def test_learning_rate_is_linear_to_zero():
    optimizer = optim.build("tf", [torch.nn.Parameter(torch.zeros(1))], 1.0, 1e-5)
    rates = [optim.set_lr(optimizer, 0.8, done, 4) for done in range(4)]
    assert rates == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2)
