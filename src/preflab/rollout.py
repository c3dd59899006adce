"""Sampling responses: the full softmax at a temperature, always `response_length` tokens, end-of-text ignored.

No top-k, no top-p, no forced tokens (released sample.py): anything else makes the KL estimate wrong, even negative.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from preflab import models


class GrowingLayer(DynamicLayer):
    """A key-value cache layer with room for the whole response from the start.

    transformers' own dynamic layer copies everything at every token: a quarter of the sampling time of a small model.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.room: tuple[Tensor, Tensor] | None = None

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ARG002  the signature is transformers'
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """Append `[batch, heads, new, size]` and return views of all so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        seen = self.get_seq_length()
        if self.room is None:
            kept = (self.keys, self.values) if seen else (key_states[:, :, :0], value_states[:, :, :0])
            self.room = tuple(_reserve(part, self.length) for part in kept)  # type: ignore[assignment]
        assert self.room is not None
        grown = seen + key_states.shape[2]
        for room, new in zip(self.room, (key_states, value_states), strict=True):
            room[:, :, seen:grown] = new
        self.keys, self.values = (room[:, :, :grown] for room in self.room)
        return self.keys, self.values

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Each row `repeats` times, in fresh room."""
        super().batch_repeat_interleave(repeats)
        self.room = None


def _reserve(part: Tensor, length: int) -> Tensor:
    batch, heads, seen, size = part.shape
    room = part.new_empty(batch, heads, length, size)
    room[:, :, :seen] = part
    return room


class Rollout(NamedTuple):
    """`tokens` `[batch, query + response]`; the rest `[batch, response]`, from the sampling pass itself."""

    tokens: Tensor
    responses: Tensor
    logprobs: Tensor
    values: Tensor | None
    entropy: Tensor


@torch.no_grad()
def sample(
    lm: Any,
    queries: Tensor,
    response_length: int,
    temperature: float,
    pad_id: int,
    generator: torch.Generator,
    value_head: torch.nn.Module | None = None,
    each: int = 1,
) -> Rollout:
    """`each` responses to every row of left-padded `queries` `[rows, query]`, next to each other: batch = rows · each.

    A query is read once, whatever `each` is, and its keys and values are kept for all tokens.  Tokens are drawn by the
    inverse of the cumulative distribution: `torch.multinomial` takes five times as long on a CPU.
    """
    query_length = queries.shape[1]
    given = models.inputs(queries, pad_id)
    mask = torch.nn.functional.pad(given.attention_mask, (0, response_length), value=1)
    uniform = torch.rand(len(queries) * each, response_length, generator=generator, device=queries.device)
    step = {"input_ids": given.input_ids, "position_ids": given.position_ids}
    position = given.position_ids[:, -1:].repeat_interleave(each, 0)
    cache = Cache(layers=[GrowingLayer(query_length + response_length) for _ in range(lm.config.num_hidden_layers)])
    head = lm.get_output_embeddings()
    drawn, logprobs, values, entropies = [], [], [], []
    for t in range(response_length):
        output = lm.base_model(
            **step, attention_mask=mask[:, : query_length + t], past_key_values=cache, use_cache=True
        )
        hidden = output.last_hidden_state[:, -1]
        if t == 0 and each > 1:
            cache.batch_repeat_interleave(each)
            hidden, mask = hidden.repeat_interleave(each, 0), mask.repeat_interleave(each, 0)
        logp = torch.log_softmax(head(hidden) / temperature, dim=-1)
        p = logp.exp()
        cumulative = p.cumsum(-1)
        token = torch.searchsorted(cumulative, uniform[:, t : t + 1] * cumulative[:, -1:], right=True)
        token = token.clamp(max=p.shape[1] - 1)
        drawn.append(token)
        logprobs.append(logp.gather(1, token))
        entropies.append(-(p * logp).sum(-1, keepdim=True))
        if value_head is not None:
            values.append(value_head(hidden))
        step = {"input_ids": token, "position_ids": position + t + 1}
    responses = torch.cat(drawn, 1)
    return Rollout(
        torch.cat([queries.repeat_interleave(each, 0), responses], 1),
        responses,
        torch.cat(logprobs, 1),
        torch.cat(values, 1) if values else None,
        torch.cat(entropies, 1),
    )
