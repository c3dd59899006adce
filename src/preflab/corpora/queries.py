"""Queries as the original cuts them, from disjoint documents, and the two sentiment classifiers.

The classifiers learn from the corpus of the queries, or from another one (in the paper: Amazon reviews, where queries
are passages of BookCorpus).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from preflab import corpora
from preflab.models.encoding import token_id
from preflab.settings.data import QuerySettings

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer


PREFIX = 400  # ours: characters that hold the window of 9 reviews in 10; 256 or 640 take a third longer in all


def window(tokens: list[int], length: int, start: int | None, end: int | None) -> list[int] | None:
    """The query in one text: from behind the first `start`, at most `length` tokens, through the last `end` in there.

    None if the text has no such window (released language/datasets.py:49-64).

        It | was | . | I | saw | it | . | We | left | .          length 5, start = end = "."
                       └──── query ────┘
    """
    if start is not None:
        if start not in tokens[:-1]:
            return None
        tokens = tokens[tokens.index(start) + 1 :]
    tokens = tokens[:length]
    if end is not None:
        if end not in tokens:
            return None
        tokens = tokens[: len(tokens) - tokens[::-1].index(end)]
    return tokens or None


def first_tokens(texts: list[str], tokenizer: "Tokenizer", length: int, start: int | None) -> list[list[int]]:
    """The tokens of each text, at least as far as its `window` reaches.

    Most windows lie in the first `PREFIX` characters, and tokenizers read word by word from the left: but for the last
    word of a prefix that ends before a space, its tokens are those of the whole text.  A text that is one long word to
    its tokenizer, or whose window ends later, is encoded whole.
    """

    def encode(texts: list[str]) -> list[Any]:
        return tokenizer.encode_batch(texts, add_special_tokens=False)

    prefixes = [text if len(text) <= PREFIX else text[:PREFIX].rpartition(" ")[0] for text in texts]
    found: list[list[int]] = []
    undecided = []
    for text, prefix, encoding in zip(texts, prefixes, encode(prefixes), strict=True):
        tokens = encoding.ids
        if len(prefix) < len(text):
            words = encoding.word_ids
            tokens = tokens[: words.index(words[-1])] if words else []
            begin = 0 if start is None else tokens.index(start) + 1 if start in tokens else len(tokens)
            if begin + length > len(tokens):
                undecided.append(len(found))
        found.append(tokens)
    for i, encoding in zip(undecided, encode([texts[i] for i in undecided]), strict=True):
        found[i] = encoding.ids
    return found


class Row(NamedTuple):
    """A query: its text, its tokens, padded on the right to `query_length`, and the summary of its document."""

    text: str
    tokens: list[int]
    reference: str | None


def queries(documents: list[corpora.Document], tokenizer: "Tokenizer", query: QuerySettings, pad_id: int) -> list[Row]:
    """One for every document with a window."""
    start = token_id(tokenizer, query.start_text) if query.start_text else None
    end = token_id(tokenizer, query.end_text) if query.end_text else None
    found = []
    encoded = first_tokens([document.text for document in documents], tokenizer, query.query_length, start)
    for document, row in zip(documents, encoded, strict=True):
        tokens = window(row, query.query_length, start, end)
        if tokens is not None:
            padded = tokens + [pad_id] * (query.query_length - len(tokens))
            found.append(Row(tokenizer.decode(tokens), padded, document.reference))
    return found


def write_queries(rows: list[Row], path: Path) -> None:
    """A parquet file with the columns text, tokens, reference."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = {
        "text": [row.text for row in rows],
        "tokens": [row.tokens for row in rows],
        "reference": pa.array([row.reference for row in rows], pa.string()),
    }
    pq.write_table(pa.table(table), path)


def load_queries(folder: Path, split: str) -> "np.ndarray":
    """The token rows of one split, `[queries, query_length]`, padded on the right."""
    import pyarrow.parquet as pq

    column = pq.read_table(folder / f"{split}.parquet", columns=["tokens"])["tokens"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), -1)


def load_texts(folder: Path, split: str) -> list[tuple[str, str | None]]:
    """`(query text, reference response or None)` of one split, in its order."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / f"{split}.parquet", columns=["text", "reference"])
    return list(zip(table["text"].to_pylist(), table["reference"].to_pylist(), strict=True))
