"""Reading a query once and its response token by token: the last hidden states that every token is drawn from.

Plain models (models/architectures.py) use a cache of fixed length and a mask that this module makes; all other models
make their own.
"""

from typing import Any, Protocol

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from preflab.models import architectures, causal_lm


class FixedCache(DynamicLayer):
    """A key-value cache layer of a fixed length; the mask hides what is not written yet.

    transformers' dynamic layer copies all keys and values at every token, and so does attention over a part of a longer
    buffer: together most of the sampling time of a small model.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length, self.written = length, 0

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ARG002  the signature is transformers'
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """Append `[batch, heads, new, size]`; returns the whole buffers `[batch, heads, length, size]`."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            batch, heads, _, size = key_states.shape
            self.keys = key_states.new_zeros(batch, heads, self.length, size)
            self.values = value_states.new_zeros(batch, heads, self.length, value_states.shape[3])
        end = self.written + key_states.shape[2]
        self.keys[:, :, self.written : end] = key_states
        self.values[:, :, self.written : end] = value_states
        self.written = end
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Tokens written so far."""
        return self.written


class Reader(Protocol):
    """Reads queries, then one token of each response after another."""

    def first(self) -> Tensor:
        """The last hidden states of the queries, `[batch, width]` in fp32, one row for each response."""
        ...

    def following(self, token: Tensor) -> Tensor:
        """The last hidden states `[batch, width]` after one more token of each response, `[batch, 1]`."""
        ...


def of(lm: Any, queries: Tensor, pad_id: int, counts: Tensor | None, response_length: int) -> Reader:
    """The reader for this model; `queries` `[rows, query]` left-padded, `counts` `[rows]` the responses to each."""
    if architectures.is_plain(lm.config):
        return PlainReader(lm, queries, pad_id, counts, response_length)
    return ModelCacheReader(lm, queries if counts is None else queries.repeat_interleave(counts, 0), pad_id)


class PlainReader:
    """Reads each query once, and keeps its keys and values for all responses to it."""

    def __init__(self, lm: Any, queries: Tensor, pad_id: int, counts: Tensor | None, response_length: int) -> None:
        query_length = queries.shape[1]
        length = query_length + response_length
        inputs = causal_lm.inputs(queries, pad_id)
        order = torch.arange(length, device=queries.device)
        earlier = order <= torch.arange(query_length, device=queries.device)[:, None]
        real = torch.nn.functional.pad(queries != pad_id, (0, response_length), value=True)
        self.mask = causal_lm.additive_mask(earlier & real[:, None], lm.dtype)  # [rows, 1, query, length]
        self.trunk, self.inputs, self.counts = lm.base_model, inputs, counts
        position = inputs.position_ids[:, -1:]
        self.position = position if counts is None else position.repeat_interleave(counts, 0)
        self.length = query_length
        self.cache = Cache(layers=[FixedCache(length) for _ in range(lm.config.num_hidden_layers)])

    def first(self) -> Tensor:
        """See Reader."""
        hidden = self._read(self.inputs.input_ids, self.inputs.position_ids)
        self.mask = self.mask[:, :, -1:]
        if self.counts is None:
            return hidden
        self.cache.batch_repeat_interleave(self.counts)
        self.mask = self.mask.repeat_interleave(self.counts, 0)
        return hidden.repeat_interleave(self.counts, 0)

    def following(self, token: Tensor) -> Tensor:
        """See Reader."""
        self.mask[..., self.length] = 0.0  # from now on attention includes the token just drawn
        self.length += 1
        self.position = self.position + 1
        return self._read(token, self.position)

    def _read(self, input_ids: Tensor, position_ids: Tensor) -> Tensor:
        hidden: Tensor = self.trunk(
            input_ids=input_ids,
            position_ids=position_ids,
            attention_mask=self.mask,
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
        return hidden.float()


class ModelCacheReader:
    """Reads a copy of the query for each response, with the masks and the cache that the model makes itself.

    A model without a cache (GPT-1) reads query and response again for every token.
    """

    def __init__(self, lm: Any, queries: Tensor, pad_id: int) -> None:
        self.trunk, self.cache = lm.base_model, None
        self.cache_name = architectures.cache_name(self.trunk)
        self.tokens, self.mask, self.positions = causal_lm.inputs(queries, pad_id)

    def first(self) -> Tensor:
        """See Reader."""
        return self._read(self.mask)

    def following(self, token: Tensor) -> Tensor:
        """See Reader."""
        self.mask = torch.nn.functional.pad(self.mask, (0, 1), value=1)
        positions = self.positions[:, -1:] + 1
        if self.cache_name is None:
            token, positions = torch.cat([self.tokens, token], 1), torch.cat([self.positions, positions], 1)
        self.tokens, self.positions = token, positions
        # the state of a recurrence (Mamba) has no pads left to mask
        return self._read(None if self.cache_name == "cache_params" else self.mask)

    def _read(self, mask: Tensor | None) -> Tensor:
        arguments = architectures.accepted(self.trunk, position_ids=self.positions, attention_mask=mask)
        if self.cache_name is not None:
            arguments |= {self.cache_name: self.cache, "use_cache": True}
        output = self.trunk(input_ids=self.tokens, **arguments)
        if self.cache_name is not None:
            self.cache = getattr(output, self.cache_name)
        hidden: Tensor = output.last_hidden_state[:, -1]
        return hidden.float()
