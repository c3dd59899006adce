"""The queries of one split as a parquet file, `FOLDER/SPLIT.parquet`, which the stage `prepare` writes and others read.

text         string             the query, decoded
tokens       list<int64>        its tokens, padded on the right to the task's query_length
reference    string or null     the reference response, a summary of its document
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class Query(NamedTuple):
    """A query: its text, its tokens, padded on the right to `query_length`, and the summary of its document."""

    text: str
    tokens: list[int]
    reference: str | None


def write_queries(queries: Sequence[Query], path: Path) -> None:
    """Write all of them, in their order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = {
        "text": [query.text for query in queries],
        "tokens": [query.tokens for query in queries],
        "reference": pa.array([query.reference for query in queries], pa.string()),
    }
    pq.write_table(pa.table(table), path)


def load_tokens(folder: Path, split: str) -> "np.ndarray":
    """The tokens of one split, `[queries, query_length]` int64, padded on the right."""
    import pyarrow.parquet as pq

    column = pq.read_table(folder / f"{split}.parquet", columns=["tokens"])["tokens"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), -1)


def load_texts(folder: Path, split: str) -> list[tuple[str, str | None]]:
    """`(query text, reference response or None)` of one split, in its order."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / f"{split}.parquet", columns=["text", "reference"])
    return list(zip(table["text"].to_pylist(), table["reference"].to_pylist(), strict=True))
