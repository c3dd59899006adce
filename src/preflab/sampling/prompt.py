"""A task in the tokens of one model: what the policy reads, and where a response ends.

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
    """A task's prompt in token ids; a response ends at its first `end_id` at index ≥ `truncate_after` (None: never)."""

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
        """`responses` `[batch, length]` with pads after the token at which each ends."""
        if self.end_id is None:
            return responses
        return causal_lm.truncate(responses, self.end_id, self.truncate_after, self.pad_id)

    def ended(self, responses: Tensor) -> Tensor:
        """`[batch]` bool: whether each response has such a token; True for all if `end_id` is None."""
        if self.end_id is None:
            return torch.ones(len(responses), dtype=torch.bool, device=responses.device)
        return causal_lm.has_end(responses, self.end_id, self.truncate_after)


def prompt_of(task: TaskSettings, tokenizer: "Tokenizer", pad_id: int) -> Prompt:
    """The prompt of `task` for a model with this tokenizer.

    Raises PreflabError if `task.truncate_token` is not one token.
    """

    def ids(text: str | None, tokenizer: "Tokenizer") -> tuple[int, ...]:
        return tuple(tokenizer.encode(text, add_special_tokens=False).ids) if text else ()

    end_id = token_id(tokenizer, task.truncate_token) if task.truncate_token else None
    return Prompt(
        pad_id, end_id, task.truncate_after, ids(task.prefix, tokenizer), ids(task.suffix, continuing(tokenizer))
    )
