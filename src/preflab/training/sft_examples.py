"""Examples for supervised fine-tuning: (query, reference) pairs or, for a corpus without references, passages."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from preflab.corpora.query_files import load_texts, load_tokens
from preflab.errors import PreflabError
from preflab.machine import runtime
from preflab.models.encoding import continuing, token_id
from preflab.settings.method import TaskSettings
from preflab.settings.stages import SftStage

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHUNK = 1024  # references tokenised at a time: an encoding is many times larger than its ids


class Examples(NamedTuple):
    """`tokens` `[examples, length]`, padded on the right; the loss counts those from index `begin` `[examples]` on.

    `cut`: how many references were longer than a response.
    """

    tokens: Tensor
    begin: Tensor
    cut: int


class Data(NamedTuple):
    """`paired`: the examples are (query, reference) pairs; otherwise whole passages."""

    train: Examples
    validation: Examples
    paired: bool


def load(
    cfg: SftStage,
    queries: Path,
    tokenizer: "Tokenizer",
    pad_id: int,
    context: int,
    prefix_ids: Sequence[int] = (),
    suffix_ids: Sequence[int] = (),
) -> Data:
    """The examples that the stage prepare wrote to `queries`; `context`: the longest sequence of the model.

    prefix | query | suffix | reference . . .        pairs: the loss is on the response to prefix, query and suffix
                              └── response ──┘
    query                                            passages, without references: on all but the first token
      └─┘

    Raises PreflabError if an example does not fit the context, if only some rows have a reference, if queries have
    another length than the task says, or if no passage has two tokens.
    """
    prompt = len(prefix_ids) + cfg.task.query_length + len(suffix_ids)
    if prompt + cfg.task.response_length > context:
        raise PreflabError(
            f"task.query_length={cfg.task.query_length}, task.response_length={cfg.task.response_length}: with "
            f"{len(prefix_ids)} tokens of prefix and {len(suffix_ids)} of suffix up to "
            f"{prompt + cfg.task.response_length} tokens, but the model has a context of {context}; shorten one of them"
        )
    examples, paired = [], []
    for split, limit in (("train", cfg.sft.num_train), ("validation", cfg.sft.num_validation)):
        file = queries / f"{split}.parquet"
        rows = load_tokens(queries, split)
        references = [reference for _, reference in load_texts(queries, split)]
        paired.append(_has_references(file, references))
        if rows.shape[1] != cfg.task.query_length:
            raise PreflabError(
                f"{file}: queries of {rows.shape[1]} tokens, expected task.query_length={cfg.task.query_length}; "
                "run `python -m pipelines.grid`, then `dvc repro`"
            )
        if not paired[-1] and (prefix_ids or suffix_ids):
            raise PreflabError(
                f"{file}: no row has a reference, but the task has a prefix or a suffix, which stand around the "
                "query of a pair; take a corpus with references"
            )
        if paired[-1] != paired[0]:
            raise PreflabError(
                f"{file}: {'all rows have' if paired[-1] else 'no row has'} a reference, unlike those of "
                f"{queries}/train.parquet; expected the same in both; prepare them from one corpus"
            )
        order = torch.randperm(len(rows), generator=runtime.generator("cpu", "sft", split))[:limit].tolist()
        query = [[i for i in rows[k].tolist() if i != pad_id] for k in order]
        if paired[-1]:
            texts = [str(references[k]) for k in order]
            examples.append(pairs(query, texts, cfg.task, tokenizer, pad_id, prefix_ids, suffix_ids))
        else:
            examples.append(passages(query, pad_id))
        if not len(examples[-1].tokens):
            raise PreflabError(f"{file}: no passage has two tokens or more; take a longer task.query_length")
    return Data(examples[0], examples[1], paired[0])


def pairs(
    queries: Sequence[list[int]],
    references: Sequence[str],
    task: TaskSettings,
    tokenizer: "Tokenizer",
    pad_id: int,
    prefix_ids: Sequence[int] = (),
    suffix_ids: Sequence[int] = (),
) -> Examples:
    """Queries (without pads) and references as examples.

    A response is a space and the reference, then end tokens (where the task has one) up to one at index
    `task.truncate_after` or later, where responses are truncated (ours: otherwise nothing would train what follows a
    shorter summary); all of it is cut after `task.response_length` tokens.
    """
    end = token_id(tokenizer, task.truncate_token) if task.truncate_token else None
    space = "" if tokenizer.decode(list(suffix_ids))[-1:].isspace() else " "
    rows, begin, cut = [], [], 0
    texts = [space + text.strip() for text in references]
    for query, ids in zip(queries, _encoded(continuing(tokenizer), texts), strict=True):
        prompt = [*prefix_ids, *query, *suffix_ids]
        ends = [] if end is None else [end] * max(task.truncate_after + 1 - len(ids), int(ids[-1:] != [end]))
        rows.append(prompt + (ids + ends)[: task.response_length])
        begin.append(len(prompt))
        cut += len(ids) > task.response_length
    return Examples(_padded(rows, pad_id), torch.tensor(begin), cut)


def passages(texts: Sequence[list[int]], pad_id: int) -> Examples:
    """Whole passages: every token but the first counts; those of a single token are left out."""
    rows = [tokens for tokens in texts if len(tokens) > 1]
    return Examples(_padded(rows, pad_id), torch.ones(len(rows), dtype=torch.long), 0)


def _has_references(file: Path, references: Sequence[str | None]) -> bool:
    """Whether all rows have a reference; raises PreflabError if only some have."""
    missing = [k for k, text in enumerate(references) if text is None or not text.strip()]
    if missing and len(missing) < len(references):
        raise PreflabError(
            f"{file}: row {missing[0]} has no reference ({len(missing)} of {len(references)} rows have none); "
            "expected one in every row or in none; leave such documents out of the corpus"
        )
    return not missing


def _encoded(tokenizer: "Tokenizer", texts: list[str]) -> Iterator[list[int]]:
    for start in range(0, len(texts), CHUNK):
        for encoding in tokenizer.encode_batch(texts[start : start + CHUNK], add_special_tokens=False):
            yield encoding.ids


def _padded(rows: Sequence[list[int]], pad_id: int) -> Tensor:
    tokens = torch.full((len(rows), max(map(len, rows), default=0)), pad_id)
    for k, row in enumerate(rows):
        tokens[k, : len(row)] = torch.tensor(row)
    return tokens
