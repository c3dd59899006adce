"""Tables: JSON (a list, or an object a line), CSV, TSV, parquet; also compressed, inside zip files and wheels.

`corpus.columns` says which columns hold what.  A file named after a split holds it: `train-00000-of-00003.parquet`.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from preflab.corpora import Document, split_named
from preflab.corpora.readers import sources
from preflab.errors import PreflabError, did_you_mean
from preflab.settings.data import ColumnsSettings, CorpusSettings
from preflab.text.cleaning import CLEANERS, original, passages
from preflab.text.files import LONGEST, SourceFile, lines

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1, "negative": 0, "positive": 1, "neg": 0, "pos": 1}
UNLABELLED = ("", "-1", "none", "null")  # -1: IMDb's unsupervised reviews

TableRow = dict[str, Any]


def read(path: Path, corpus: CorpusSettings) -> Iterator[Document]:
    """A document a row; with `corpus.passage` the texts of a file, row after row, as passages (without reference)."""
    for source in sources(path, corpus.files, SUFFIXES):
        split = split_named(source.stem)
        rows_of_file = documents(source, corpus, split)
        if corpus.passage is None:
            yield from rows_of_file
        else:
            texts = (document.text for document in rows_of_file)
            for text in passages(texts, corpus.passage):
                yield Document(text, None, corpus.name, None, split)


def documents(source: SourceFile, corpus: CorpusSettings, split: str | None) -> Iterator[Document]:
    """The rows of one file, cleaned."""
    columns, clean = corpus.columns, CLEANERS[corpus.clean]
    clean_reference = str.strip if corpus.clean == "none" else original
    named_columns = _NamedColumns(source.name, columns)
    for number, row in rows(source):
        where = f"{source.name} row {number}"
        if not _has(row, columns.text):
            raise PreflabError(
                f"{where}: no column {columns.text!r}; it has {_few(row)}; "
                "name the one with the texts in corpus.columns.text"
            )
        named_columns.see(row)
        reference = clean_reference(value(row, columns.reference, where) or "")
        if columns.split:
            split = _split(value(row, columns.split, where), columns.split, where)
        yield Document(
            clean(value(row, columns.text, where) or ""),
            _label(value(row, columns.label, where), columns.label, where),
            value(row, columns.source, where) or corpus.name,
            reference or None,
            split,
        )
    named_columns.check()


def rows(source: SourceFile) -> Iterator[tuple[int, TableRow]]:
    """The rows of a file with their numbers: lines of text files, else places; from 1."""
    if source.suffix == ".parquet":
        return _parquet(source)
    if source.suffix in (".csv", ".tsv"):
        return _csv(source, "\t" if source.suffix == ".tsv" else ",")
    return _json(source)


def _json(source: SourceFile) -> Iterator[tuple[int, TableRow]]:
    """A list of objects, or an object a line."""
    numbered: Iterable[tuple[int, Any]]
    with source.open() as stream:
        is_list = stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    if is_list:
        text = "".join(line for _, line in lines(source))
        numbered = enumerate(_parsed(text, source.name, 0), start=1)
    else:
        numbered = ((n, _parsed(line, source.name, n)) for n, line in lines(source) if line.strip())
    for number, row in numbered:
        if not isinstance(row, dict):
            raise PreflabError(
                f"{source.name} row {number}: found {type(row).__name__}, expected an object with named columns"
            )
        yield number, row


def _parsed(text: str, name: str, line: int) -> Any:
    """JSON of a line, or of a whole file if `line` is 0."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also of a number with thousands of digits
        number = line or getattr(error, "lineno", 1)
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error).split(";")[0]
        raise PreflabError(f"{name} line {number}: no JSON ({reason}); is the file cut off?") from error


def _csv(source: SourceFile, delimiter: str) -> Iterator[tuple[int, TableRow]]:
    """With names in the first line; rows are numbered by their last line."""
    csv.field_size_limit(LONGEST)
    reader = csv.reader((line for _, line in lines(source)), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        for values in reader:
            if not values:
                continue
            if len(values) != len(header):
                raise PreflabError(
                    f"{source.name} line {reader.line_num}: {len(values)} fields, the header has {len(header)}: "
                    f"{', '.join(header)[:200]}; quote fields that hold {delimiter!r}"
                )
            yield reader.line_num, dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise PreflabError(f"{source.name} line {reader.line_num}: {error}; is the file cut off?") from error


def _parquet(source: SourceFile) -> Iterator[tuple[int, TableRow]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    with source.open() as stream:
        try:
            for batch in pq.ParquetFile(stream).iter_batches(batch_size=1000):
                for row in _row_by_row(batch):
                    yield number + 1, row
                    number += 1
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            reason = str(error).splitlines()[0]
            raise PreflabError(f"{source.name} row {number + 1}: {reason}; is the file cut off?") from error


def _row_by_row(batch: Any) -> Iterator[TableRow]:
    """The rows of a batch; of one with a text that is not UTF-8, those before it."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        yield from (batch.slice(i, 1).to_pylist()[0] for i in range(batch.num_rows))


def value(row: TableRow, spec: str, where: str) -> str | None:
    """What `spec` (a field of ColumnsSettings) names in a row, lists joined by spaces; None if absent or empty.

    `subtitle|title` of {"title": "A", "subtitle": ""} is A; `challenge + outcome` has both, each on its line.
    """
    for alternative in spec.split("|") if spec else ():
        parts = [_text(_at(row, name.strip()), f"{where}: {name.strip()}") for name in alternative.split("+")]
        if filled := [part for part in parts if part]:
            return "\n".join(filled)
    return None


def _at(row: TableRow, name: str) -> Any:
    """`a.b` is b inside a; `a.0` the first item of a; a column that is called `a.b` comes first."""
    if name in row:
        return row[name]
    part: Any = row
    for key in name.split("."):
        if isinstance(part, list) and key.isdecimal() and int(key) < len(part):
            part = part[int(key)]
        elif isinstance(part, dict):
            part = part.get(key)
        else:
            return None
    return part


def _text(content: Any, where: str) -> str:
    if isinstance(content, list):
        return " ".join(filter(None, (_text(item, where) for item in content)))
    if isinstance(content, dict):
        raise PreflabError(f"{where} is an object with {_few(content)}; name one of these after a dot")
    text = "" if content is None else str(content)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise PreflabError(f"{where}: half of a surrogate pair at character {error.start}; no text") from error
    return text


def _few(row: TableRow) -> str:
    """The names of a row's columns, for an error."""
    return ", ".join(map(str, row))[:200] or "none"


def _has(row: TableRow, spec: str) -> bool:
    """Whether a column of `spec` is in the row, filled or not."""
    names = [name.strip() for name in spec.replace("+", "|").split("|")]
    return any(name in row or name.split(".")[0] in row for name in names)


def _label(label: str | None, column: str, where: str) -> int | None:
    text = (label or "").strip().lower()
    if text in UNLABELLED:
        return None
    if text not in LABELS:
        raise PreflabError(
            f"{where}: {column} is {label!r}, expected 0 (negative), 1 (positive) or nothing; "
            'another column is corpus.columns.label, none is corpus.columns.label=""'
        )
    return LABELS[text]


def _split(name: str | None, column: str, where: str) -> str | None:
    if name is None:
        return None
    split = split_named(name)
    if split is None:
        raise PreflabError(f"{where}: {column} is {name!r}, expected train, validation or test")
    return split


class _NamedColumns:
    """Columns that the settings name (not the defaults) must be in one row of a file at least."""

    def __init__(self, name: str, columns: ColumnsSettings) -> None:
        named = {key: getattr(columns, key) for key in ("text", "reference", "label", "source", "split")}
        default = ColumnsSettings()
        self.name = name
        self.missing = {key: spec for key, spec in named.items() if spec and spec != getattr(default, key)}
        self.columns: dict[str, None] = {}

    def see(self, row: TableRow) -> None:
        """Note what a row has."""
        if self.missing:
            self.columns |= dict.fromkeys(row)
            self.missing = {key: spec for key, spec in self.missing.items() if not _has(row, spec)}

    def check(self) -> None:
        """After the last row."""
        for key, spec in self.missing.items():
            if self.columns:
                near = did_you_mean(spec, list(self.columns))
                raise PreflabError(f"{self.name}: corpus.columns.{key}={spec}: no such column; {near}")
