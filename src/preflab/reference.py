"""The frozen reference ρ and what every stage reads beside it."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from preflab import models, prepare, runtime
from preflab.config import Runtime, Task
from preflab.errors import PreflabError


class Reference(NamedTuple):
    """`queries`: left-padded train queries `[rows, query]`; `end_id`: the token at which responses are truncated."""

    lm: Any
    tokenizer: Any
    queries: Tensor
    pad_id: int
    end_id: int


def load(settings: Runtime, task: Task, queries: Path, model: Path, split: str = "train") -> Reference:
    """Prepare the machine, load the base model in `model` and one split of the queries in `queries`."""
    device = runtime.start(settings.threads, settings.precision)
    check_length(task, model)
    lm = models.load_causal_lm(model, device).requires_grad_(False)
    tokenizer = models.load_tokenizer(model)
    pad = models.pad_id(model)
    rows = prepare.load_queries(queries, split)
    if len(rows[0]) != task.query_length:
        raise PreflabError(
            f"{queries}/{split}.parquet: queries of {len(rows[0])} tokens, "
            f"expected task.query_length={task.query_length}; "
            "run `python -m pipelines.grid`, then `dvc repro`"
        )
    tokens = models.left_pad(torch.tensor(rows, device=device), pad)
    return Reference(lm, tokenizer, tokens, pad, models.token_id(tokenizer, task.truncate_token))


def check_length(task: Task, model: Path) -> None:
    """Query and response must fit into the model's context."""
    length, context = task.query_length + task.response_length, models.context_length(model)
    if length > context:
        raise PreflabError(
            f"task.query_length={task.query_length}, task.response_length={task.response_length}: {length} tokens, "
            f"but the model in {model} has a context of {context}; shorten one of them"
        )
