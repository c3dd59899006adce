"""How a task stands in the tokens of one model: what the policy reads, and where a response ends.

the policy reads        prefix | query | suffix | response          Article:\n\n … \n\nTL;DR: …
the reward model reads           query | response, truncated        (released rewards.py:105-107)
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from preflab.models import causal_lm
from preflab.models.encoding import continuing, token_id
from preflab.settings.method import TaskSettings

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Prompt(NamedTuple):
    """`end_id`: a response is kept through its first such token at index ≥ `truncate_after`; None: kept whole."""

    pad_id: int
    end_id: int | None
    truncate_after: int
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()

    def inputs(self, queries: Tensor) -> Tensor:
        """What the policy reads `[rows, prefix + query + suffix]`, of left-padded queries `[rows, query]`."""
        if not self.prefix and not self.suffix:
            return queries
        before, after = (
            torch.tensor(ids, dtype=queries.dtype, device=queries.device).expand(len(queries), -1)
            for ids in (self.prefix, self.suffix)
        )
        return causal_lm.left_pad(torch.cat([before, queries, after], 1), self.pad_id)

    def truncate(self, responses: Tensor) -> Tensor:
        """`responses` `[batch, length]` with pads behind the token at which each ends."""
        if self.end_id is None:
            return responses
        return causal_lm.truncate(responses, self.end_id, self.truncate_after, self.pad_id)

    def ended(self, responses: Tensor) -> Tensor:
        """`[batch]` bool: whether the response has such a token; all have where nothing is truncated."""
        if self.end_id is None:
            return torch.ones(len(responses), dtype=torch.bool, device=responses.device)
        return causal_lm.has_end(responses, self.end_id, self.truncate_after)


def prompt_of(task: TaskSettings, tokenizer: "Tokenizer", pad_id: int) -> Prompt:
    """The prompt of `task` for a model with this tokenizer."""

    def ids(text: str | None, tokenizer: "Tokenizer") -> tuple[int, ...]:
        return tuple(tokenizer.encode(text, add_special_tokens=False).ids) if text else ()

    end_id = token_id(tokenizer, task.truncate_token) if task.truncate_token else None
    return Prompt(
        pad_id, end_id, task.truncate_after, ids(task.prefix, tokenizer), ids(task.suffix, continuing(tokenizer))
    )
