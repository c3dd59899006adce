"""The parquet table of human labels that `pipelines.ingest --out` writes and a stage reads.

    query, samples, best, scores, labeller, task, split, id      the schema `plain`, which ingest reads again
    file, row                                                    the file and the number of the record in it
    query_ids, sample_ids                                        token ids without pads, null where only texts are known

The file's metadata say whose token ids these are (`tokenizer`: sha256 of a tokenizer.json, `gpt2`, or empty) and which
files were read (`files`: name and sha256).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab.errors import PreflabError

if TYPE_CHECKING:
    import pyarrow as pa

KEY = b"preflab"
GROUP = 1 << 10  # rows that are written at a time
BATCH = 1 << 10  # rows that are read at a time


@dataclass(slots=True)
class HumanLabel:
    """One answer, a row of the table.  `best` indexes `samples`, None for a tie or for the score of a single sample."""

    query: str
    samples: list[str]
    best: int | None
    scores: list[float] | None
    labeller: str
    task: str
    split: str
    id: str
    file: str
    row: int
    query_ids: list[int] | None
    sample_ids: list[list[int]] | None


class LabelWriter:
    """Labels into `path`, which appears only with `finish`: of refused labels nothing is written.

    Raises PreflabError if `path` is a folder.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        if path.is_dir():
            raise PreflabError(f"--out {path}: a folder; expected the name of a file to write")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.part = path, path.with_name(f"{path.name}.part")
        self.rows: list[HumanLabel] = []
        self.parquet = pq.ParquetWriter(self.part, schema())

    def add(self, labels: Sequence[HumanLabel]) -> None:
        """Write them after the others."""
        self.rows += labels
        if len(self.rows) >= GROUP:
            self._flush()

    def finish(self, about: dict[str, Any]) -> None:
        """Put the file in its place, with these metadata."""
        self._flush()
        self.parquet.add_key_value_metadata({KEY: json.dumps(about, sort_keys=True).encode()})
        self.parquet.close()
        self.part.replace(self.path)

    def close(self) -> None:
        """Remove the file unless it is finished."""
        self.parquet.close()
        self.part.unlink(missing_ok=True)

    def _flush(self) -> None:
        import pyarrow as pa

        columns = [
            pa.array([getattr(label, field.name) for label in self.rows], field.type) for field in self.parquet.schema
        ]
        if self.rows:
            self.parquet.write_batch(pa.RecordBatch.from_arrays(columns, schema=self.parquet.schema))
        self.rows = []


def schema() -> "pa.Schema":
    """The columns of the file, in the order of HumanLabel."""
    import pyarrow as pa

    text, whole, ids = pa.string(), pa.int64(), pa.list_(pa.int32())
    kinds = {
        "samples": pa.list_(text),
        "best": whole,
        "scores": pa.list_(pa.float64()),
        "row": whole,
        "query_ids": ids,
        "sample_ids": pa.list_(ids),
    }
    return pa.schema([(field.name, kinds.get(field.name, text)) for field in fields(HumanLabel)])


def about(path: Path) -> dict[str, Any]:
    """`tokenizer`, `files` and `formats` of a file of `ingest --out`.  Raises PreflabError if it is no such file."""
    import pyarrow.parquet as pq

    metadata: dict[str, Any] = json.loads(_opened(pq, path).metadata.metadata[KEY])
    return metadata


def read_labels(path: Path) -> Iterator[HumanLabel]:
    """The labels of a file of `ingest --out` in their order, a batch at a time.

    Raises PreflabError, before the first label is asked for, if it is no such file.
    """
    import pyarrow.parquet as pq

    file = _opened(pq, path)
    return (HumanLabel(**row) for batch in file.iter_batches(BATCH) for row in batch.to_pylist())


def _opened(pq: Any, path: Path) -> Any:
    import pyarrow as pa

    again = "write it with `python -m pipelines.ingest PATH --out FILE`"
    if not path.is_file():
        raise PreflabError(f"{path}: not found; {again}")
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise PreflabError(f"{path}: not parquet, or cut off ({error}); {again}") from error
    if not file.schema_arrow.equals(schema()) or KEY not in (file.metadata.metadata or {}):
        raise PreflabError(
            f"{path}: found the columns {', '.join(file.schema_arrow.names)}, not those of ingest; {again}"
        )
    return file
