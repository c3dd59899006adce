"""Comparisons: one query, n sampled responses, and which of them the labeller liked best.

One schema for synthetic and human labels (the released files: sample0 … sample3, best), kept in parquet.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from preflab.errors import PreflabError


@dataclass(slots=True)
class Comparison:
    """Token ids; `query` padded on the right, samples truncated after their end token and padded.

    `best` indexes `samples`; `labeller` names who chose; `source` says whose samples they are (`reference`, `policy@N`
    or `validation@N` for the N-th label of an online run).
    """

    query: list[int]
    samples: list[list[int]]
    best: int
    labeller: str
    seed: int
    source: str


def write(comparisons: Sequence[Comparison], path: Path) -> None:
    """Write all comparisons to one parquet file, a row each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([asdict(c) for c in comparisons]), path)


def read(path: Path) -> list[Comparison]:
    """The comparisons of a parquet file.

    Raises PreflabError if it does not exist, if lengths differ between rows, or if `best` is out of range.
    """
    import pyarrow.parquet as pq

    if not path.exists():
        raise PreflabError(f"{path}: not found; `dvc repro` (stage comparisons) builds it")
    comparisons = [Comparison(**row) for row in pq.read_table(path).to_pylist()]
    for number, c in enumerate(comparisons):
        shape = (len(c.query), len(c.samples), {len(s) for s in c.samples})
        first = comparisons[0]
        expected = (len(first.query), len(first.samples), {len(first.samples[0])})
        if shape != expected:
            raise PreflabError(
                f"{path}: row {number}: (query, samples, lengths) is {shape}, expected {expected} as in row 0"
            )
        if not 0 <= c.best < len(c.samples):
            raise PreflabError(f"{path}: row {number}: best is {c.best}, expected 0 to {len(c.samples) - 1}")
    return comparisons
