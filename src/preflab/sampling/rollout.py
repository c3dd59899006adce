"""Sampling responses: the full softmax at a temperature, always `response_length` tokens, end-of-text ignored.

No top-k, no top-p, no forced tokens (released sample.py): anything else makes the KL estimate wrong, even negative.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from preflab.machine import runtime
from preflab.models import causal_lm

BLOCK = 64  # tokens (ours); near the square root of a vocabulary


class Room(DynamicLayer):
    """A key-value cache layer of a fixed length; the mask hides what is not written yet.

    transformers' dynamic layer copies all keys and values at every token, and so does attention over a part of a longer
    room: together most of the sampling time of a small model.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length, self.seen = length, 0

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ARG002  the signature is transformers'
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """Write `[batch, heads, new, size]` behind what is there; returns all of `[batch, heads, length, size]`."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            batch, heads, _, size = key_states.shape
            self.keys = key_states.new_zeros(batch, heads, self.length, size)
            self.values = value_states.new_zeros(batch, heads, self.length, value_states.shape[3])
        grown = self.seen + key_states.shape[2]
        self.keys[:, :, self.seen : grown] = key_states
        self.values[:, :, self.seen : grown] = value_states
        self.seen = grown
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Tokens written so far."""
        return self.seen


class Rollout(NamedTuple):
    """`tokens` `[batch, query + response]`; the rest `[batch, response]`, from the sampling pass itself.

    Values and entropy only with a value head, for PPO.
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
    """Responses to left-padded `queries` `[rows, query]`: one to each, or as many as `counts` `[rows]` says.

    One row of `uniform` `[batch, response]`, from `random_numbers`, decides a response; the responses to a query are
    next to each other.  A query is read once, and its keys and values are kept for all tokens.
    """
    query_length, response_length = queries.shape[1], uniform.shape[1]
    length = query_length + response_length
    given = causal_lm.inputs(queries, pad_id)
    seen = torch.arange(length, device=queries.device) <= torch.arange(query_length, device=queries.device)[:, None]
    real = torch.nn.functional.pad(queries != pad_id, (0, response_length), value=True)
    mask = causal_lm.additive_mask(seen & real[:, None], lm.dtype)  # [rows, 1, query, length]
    step = {"input_ids": given.input_ids, "position_ids": given.position_ids}
    position = given.position_ids[:, -1:]
    if counts is not None:
        queries, position = queries.repeat_interleave(counts, 0), position.repeat_interleave(counts, 0)
    cache = Cache(layers=[Room(length) for _ in range(lm.config.num_hidden_layers)])
    drawn, logprobs, values, entropies = [], [], [], []
    with runtime.products(queries.device):  # around the loop: it keeps the weights in the precision of the products
        for t in range(response_length):
            output = lm.base_model(**step, attention_mask=mask, past_key_values=cache, use_cache=True)
            hidden = output.last_hidden_state[:, -1].float()
            if t == 0:
                mask = mask[:, :, -1:]
                if counts is not None:
                    cache.batch_repeat_interleave(counts)
                    hidden, mask = hidden.repeat_interleave(counts, 0), mask.repeat_interleave(counts, 0)
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
            step = {"input_ids": token, "position_ids": position + t + 1}
            mask[..., query_length + t] = 0.0  # the token just drawn is seen from now on
    responses = torch.cat(drawn, 1)
    return Rollout(
        torch.cat([queries, responses], 1),
        responses,
        torch.cat(logprobs, 1),
        torch.cat(values, 1) if values else None,
        torch.cat(entropies, 1) if entropies else None,
    )


def random_numbers(rows: int, response_length: int, device: torch.device, *seed: object) -> Tensor:
    """Random numbers in [0, 1) `[rows, response]` that decide every token of a rollout."""
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
