"""The method's arithmetic written plainly and slowly: one sequence at a time, loops over tokens, no shared work.

The tests hold the fast path against it.  Nothing here is imported from preflab.
"""

import math
from typing import Any

import torch
from torch import Tensor


def response_logprobs(lm: Any, tokens: Tensor, response_length: int, temperature: float, pad_id: int) -> Tensor:
    """`[batch, response]` log-probabilities of the last tokens, each sequence alone and without its pads."""
    rows = []
    for row in tokens:
        real = row[row != pad_id]
        logits = lm(real[None]).logits[0] / temperature
        start = len(real) - response_length
        rows.append(torch.stack([logits[t - 1].log_softmax(0)[real[t]] for t in range(start, len(real))]))
    return torch.stack(rows)


def values(lm: Any, value_head: Any, tokens: Tensor, response_length: int, pad_id: int) -> Tensor:
    """`[batch, response]` values, each read before its token."""
    rows = []
    for row in tokens:
        real = row[row != pad_id]
        hidden = lm.base_model(real[None]).last_hidden_state[0]
        start = len(real) - response_length
        rows.append(torch.stack([value_head(hidden[t - 1])[0] for t in range(start, len(real))]))
    return torch.stack(rows)


def mean_and_deviation(x: Tensor) -> tuple[float, float]:
    """Of all entries, in double precision, biased."""
    entries = [float(v) for v in x.flatten()]
    mean = sum(entries) / len(entries)
    return mean, math.sqrt(sum((v - mean) ** 2 for v in entries) / len(entries) + 1e-8)


def advantages(
    logprobs: Tensor, reference: Tensor, score: Tensor, values: Tensor, kl_coef: float, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Whitened advantages and returns `[batch, response]` of whitened rewards (their mean kept)."""
    rewards = [
        [-kl_coef * float(a - b) for a, b in zip(*rows, strict=True)] for rows in zip(logprobs, reference, strict=True)
    ]
    for row, final in zip(rewards, score, strict=True):
        row[-1] += float(final)
    mean, deviation = mean_and_deviation(torch.tensor(rewards, dtype=torch.float64))
    white = [[(r - mean) / deviation + mean for r in row] for row in rewards]
    raw = []
    for row, value in zip(white, values.tolist(), strict=True):
        length = len(row)
        ahead = [*value[1:], 0.0]
        delta = [row[t] + gamma * ahead[t] - value[t] for t in range(length)]
        raw.append([sum((gamma * lam) ** (k - t) * delta[k] for k in range(t, length)) for t in range(length)])
    found = torch.tensor(raw, dtype=torch.float64)
    mean, deviation = mean_and_deviation(found)
    return ((found - mean) / deviation).float(), (found + values.double()).float()


def loss(
    logprobs: Tensor, values: Tensor, old_logprobs: Tensor, old_values: Tensor, advantages: Tensor, returns: Tensor,
    cliprange: float, cliprange_value: float, vf_coef: float,
) -> Tensor:  # fmt: skip
    """PPO's loss, token by token."""
    policy, value = torch.zeros(()), torch.zeros(())
    for i in range(logprobs.shape[0]):
        for t in range(logprobs.shape[1]):
            ratio = torch.exp(logprobs[i, t] - old_logprobs[i, t])
            inside = torch.clamp(ratio, 1 - cliprange, 1 + cliprange)
            policy = policy - torch.minimum(ratio * advantages[i, t], inside * advantages[i, t])
            near = torch.clamp(values[i, t], old_values[i, t] - cliprange_value, old_values[i, t] + cliprange_value)
            value = value + 0.5 * torch.maximum((values[i, t] - returns[i, t]) ** 2, (near - returns[i, t]) ** 2)
    return (policy + vf_coef * value) / logprobs.numel()
