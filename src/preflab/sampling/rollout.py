"""Sampling responses: the full softmax at a temperature, always `response_length` tokens, end-of-text ignored.

No top-k, no top-p, no forced tokens (released sample.py): anything else makes the KL estimate wrong, even negative.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from preflab.machine import runtime
from preflab.models import causal_lm
from preflab.sampling import readers

BLOCK = 64  # tokens (ours): near the square root of the size of a vocabulary


class Rollout(NamedTuple):
    """`tokens` `[batch, query + response]`; the rest `[batch, response]`, from the sampling pass itself.

    Values and entropy are None without a value head.
    """

    tokens: Tensor
    responses: Tensor
    logprobs: Tensor
    values: Tensor | None
    entropy: Tensor | None


@torch.no_grad()
def sample(
    lm: Any,
    queries: Tensor,
    uniform: Tensor,
    temperature: float,
    pad_id: int,
    value_head: torch.nn.Module | None = None,
    counts: Tensor | None = None,
) -> Rollout:
    """Responses to left-padded `queries` `[rows, query]`: one for each, or as many as `counts` `[rows]` says.

    Each row of `uniform` `[batch, response]`, from `random_numbers`, determines a response; the responses to one query
    are adjacent.
    """
    response_length = uniform.shape[1]
    reader = readers.of(lm, queries, pad_id, counts, response_length)
    if counts is not None:
        queries = queries.repeat_interleave(counts, 0)
    drawn: list[Tensor] = []
    logprobs, values, entropies = [], [], []
    with runtime.products(queries.device):  # around the loop: it keeps the weights in the precision of the products
        for t in range(response_length):
            hidden = reader.following(drawn[-1]) if drawn else reader.first()
            with torch.autocast(queries.device.type, enabled=False):
                logits = causal_lm.logits_of(lm, hidden, temperature)
                p = logits.softmax(-1)
                token = draw(p, uniform[:, t : t + 1])
                logprob = p.gather(1, token).log()
                drawn.append(token)
                logprobs.append(logprob)
                if value_head is not None:
                    values.append(value_head(hidden))
                    normaliser = logits.gather(1, token) - logprob  # log Σ exp(logits)
                    entropies.append(normaliser - (p * logits).sum(-1, keepdim=True))
    responses = torch.cat(drawn, 1)
    return Rollout(
        torch.cat([queries, responses], 1),
        responses,
        torch.cat(logprobs, 1),
        torch.cat(values, 1) if values else None,
        torch.cat(entropies, 1) if entropies else None,
    )


def random_numbers(rows: int, response_length: int, device: torch.device, *seed: object) -> Tensor:
    """Random numbers in [0, 1) `[rows, response]` that determine every token of a rollout."""
    return torch.rand(rows, response_length, generator=runtime.generator(device, *seed), device=device)


def draw(p: Tensor, uniform: Tensor) -> Tensor:
    """Tokens `[batch, 1]` of probabilities `[batch, vocabulary]`, by the inverse of the cumulative distribution.

    In two steps, first among blocks of 64 tokens and then within one, because running sums are slow on a CPU (and
    `torch.multinomial` slower).  `uniform` `[batch, 1]` in [0, 1).
    """
    vocabulary = p.shape[1]
    blocks = torch.nn.functional.pad(p, (0, -vocabulary % BLOCK)).unflatten(1, (-1, BLOCK))
    mass = blocks.sum(2)
    cumulative = mass.cumsum(1)
    target = uniform * cumulative[:, -1:]
    block = torch.searchsorted(cumulative, target, right=True).clamp_(max=blocks.shape[1] - 1)
    left = target - (cumulative.gather(1, block) - mass.gather(1, block))
    within = blocks[torch.arange(len(p), device=p.device), block[:, 0]].cumsum(1)
    token = torch.searchsorted(within, left, right=True).clamp_(max=BLOCK - 1)
    return (block * BLOCK + token).clamp_(max=vocabulary - 1)
