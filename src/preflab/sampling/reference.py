"""The frozen reference ρ, with the tokenizer, queries and prompt that every stage uses with it."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from preflab.corpora.query_files import load_tokens
from preflab.errors import PreflabError
from preflab.machine import runtime
from preflab.models import causal_lm
from preflab.sampling.prompt import Prompt, prompt_of
from preflab.settings.method import RuntimeSettings, TaskSettings


class Reference(NamedTuple):
    """`queries`: left-padded queries `[rows, query]`; `prompt`: what the policy reads of them, where responses end."""

    lm: Any
    tokenizer: Any
    queries: Tensor
    prompt: Prompt


def load(settings: RuntimeSettings, task: TaskSettings, queries: Path, model: Path, split: str = "train") -> Reference:
    """Prepare the machine, load the base model in `model` and one split of the queries in `queries`.

    Raises PreflabError if query and response do not fit the context, or queries have another length than the task says.
    """
    device = runtime.start(settings.threads, settings.precision)
    lm = causal_lm.load_causal_lm(model, device).requires_grad_(False)
    tokenizer = causal_lm.load_tokenizer(model)
    prompt = prompt_of(task, tokenizer, causal_lm.pad_id(model))
    check_length(task, prompt, model)
    rows = load_tokens(queries, split)
    if len(rows[0]) != task.query_length:
        raise PreflabError(
            f"{queries}/{split}.parquet: queries of {len(rows[0])} tokens, "
            f"expected task.query_length={task.query_length}; "
            "run `python -m pipelines.grid`, then `dvc repro`"
        )
    tokens = causal_lm.left_pad(torch.tensor(rows, device=device), prompt.pad_id)
    return Reference(lm, tokenizer, tokens, prompt)


def check_length(task: TaskSettings, prompt: Prompt, model: Path) -> None:
    """Raises PreflabError unless prefix, query, suffix and response fit into the context of the model in `model`."""
    around = len(prompt.prefix) + len(prompt.suffix)
    length, context = task.query_length + around + task.response_length, causal_lm.context_length(model)
    if length > context:
        raise PreflabError(
            f"task.query_length={task.query_length}, task.response_length={task.response_length}: {length} tokens "
            f"with the {around} of task.prefix and task.suffix, but the model in {model} has a context of {context}; "
            "shorten one of them"
        )
