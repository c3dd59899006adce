"""Formats of human labels, one module each: `sniff(fields) -> bool`, `rows(fields, folder) -> Iterator[LabelRow]`.

`fields` is one record of the file, whichever way it is written down (JSON lines, JSON array, CSV, parquet, gzipped,
zipped: records.py), `folder` the name of the folder that the file lies in.  `sniff` tells the module's records from all
others.  `rows` gives a LabelRow for every answer of the record, or a SkippedRecord, and raises UnusableError if the
record makes no sense.  What holds for every format is checked here.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from preflab import plugins
from preflab.errors import PreflabError, did_you_mean
from preflab.human_labels import gpt2, records
from preflab.human_labels.fields import UnusableError, shown
from preflab.human_labels.records import RejectedRecord
from preflab.text.files import SourceFile

HEAD = 100  # records that a format is told by (ours): the first of them may be bad


@dataclass(slots=True)
class LabelRow:
    """One answer: two or more samples with the one chosen (`best`; None is a tie), or one sample with its score.

    `query` and `samples` are texts, or GPT-2's token ids padded on the right with 50259.  `scores`: the higher the
    better, in a unit of the file's own.  `labeller`, `task`, `split`, `id` are empty where the file does not say.
    """

    query: str | list[int]
    samples: list[str] | list[list[int]]
    best: int | None
    scores: list[float] | None = None
    labeller: str = ""
    task: str = ""
    split: str = ""
    id: str = ""
    number: int = 0

    @property
    def rating(self) -> bool:
        """Is it a score of a single sample?"""
        return len(self.samples) == 1


@dataclass(slots=True)
class SkippedRecord:
    """A record without an answer: an unfinished task, a cancelled one."""

    reason: str
    number: int = 0


ReadResult = LabelRow | SkippedRecord | RejectedRecord  # what becomes of a record


def names() -> list[str]:
    """Every format: the modules of this package, none of them imported."""
    return plugins.names("human_labels.readers")


def read(source: SourceFile, name: str | None = None) -> tuple[str, Iterator[ReadResult]]:
    """The format of a file (`name`, or told by its first records) and its rows, streamed.

    Raises PreflabError if no format or several fit, and while streaming if the rest of the file cannot be read.
    """
    if name is not None and name not in names():
        raise PreflabError(f"--format {name}: no such format; {did_you_mean(name, names())}")
    stream = records.read(source)
    modules = {each: plugins.load("human_labels.readers", each, "format") for each in names()}
    if name is not None:
        return name, _rows(modules[name], {}, source, stream)
    head = list(islice(stream, HEAD))
    name = _recognised(source, head, modules)
    return name, _rows(modules.pop(name), modules, source, chain(head, stream))


def _recognised(source: SourceFile, head: list[records.RawRecord | RejectedRecord], modules: dict[str, Any]) -> str:
    for record in head:
        if isinstance(record, records.RawRecord):
            fitting = [name for name, module in modules.items() if module.sniff(record.fields)]
            if len(fitting) == 1:
                return fitting[0]
    if not head:
        raise PreflabError(f"{source.name}: no record in it; expected labels")
    first = next((record for record in head if isinstance(record, records.RawRecord)), head[0])
    what = f"the fields {shown(list(first.fields))}" if isinstance(first, records.RawRecord) else first.reason
    raise PreflabError(
        f"{source.name}: row {first.number}: {what}: no known format of labels; "
        f"see docs/labels.md, or choose one by --format: {', '.join(names())}"
    )


def _rows(
    module: Any, others: dict[str, Any], source: SourceFile, stream: Iterable[records.RawRecord | RejectedRecord]
) -> Iterator[ReadResult]:
    first: LabelRow | None = None
    for record in stream:
        if isinstance(record, RejectedRecord):
            yield record
            continue
        try:
            rows = list(module.rows(record.fields, source.folder))
            _check_format(record.fields, module, others)
            for row in rows:
                row.number = record.number
                if isinstance(row, LabelRow):
                    check(row)
                    first = first or row
                    _check_alike(row, first)
                yield row
        except UnusableError as error:
            yield RejectedRecord(record.number, str(error))


def _check_format(fields: dict[str, Any], module: Any, others: dict[str, Any]) -> None:
    """No file mixes formats: a record that makes sense in two of them is of the one whose `sniff` accepts it."""
    if others and not module.sniff(fields):
        for name, other in others.items():
            if other.sniff(fields):
                raise UnusableError(f"a record of the format {name}, expected one like those before it")


def check(row: LabelRow) -> None:
    """What holds for a row of any format.  Raises UnusableError."""
    n, texts = len(row.samples), [row.query, *row.samples]
    _check_text(row.labeller + row.task + row.split + row.id)
    are_texts = {isinstance(text, str) for text in texts}
    if len(are_texts) > 1:
        raise UnusableError("the query is a text and samples are token ids, or the other way; expected all alike")
    if are_texts == {True}:
        _check_text("".join(map(str, texts)))
    else:
        for name, ids in zip(_parts(row), texts, strict=True):
            _check_ids(name, ids)
    if row.best is not None and not 0 <= row.best < n:
        raise UnusableError(f"best is {row.best}, expected 0 to {n - 1}")
    if row.scores is None:
        if n < 2:
            raise UnusableError(f"{n} samples and no score, expected two or more samples, or a score")
    elif len(row.scores) != n or not all(map(math.isfinite, row.scores)):
        raise UnusableError(f"the scores are {shown(row.scores)}, expected {n} finite numbers")
    elif row.best is not None and row.scores[row.best] < max(row.scores):
        raise UnusableError(f"best is {row.best}, but its score is not the highest of {shown(row.scores)}")


def _parts(row: LabelRow) -> list[str]:
    return ["query", *(f"sample{i}" for i in range(len(row.samples)))]


def _check_text(text: str) -> None:
    if len(text) > records.LIMIT:
        raise UnusableError(f"{len(text):,} characters, expected at most {records.LIMIT:,}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UnusableError(f"half of a surrogate pair ({text[error.start]!r}), expected valid Unicode") from error


def _check_ids(name: str, ids: Any) -> None:
    if wrong := sorted(kind.__name__ for kind in set(map(type, ids)) - {int}):
        raise UnusableError(f"{name} has a {wrong[0]} in it, expected token ids")
    length = ids.index(gpt2.PAD) if gpt2.PAD in ids else len(ids)
    if ids.count(gpt2.PAD) < len(ids) - length:
        raise UnusableError(f"{name} has tokens after the pad {gpt2.PAD} at index {length}, expected pads at its end")
    real = ids[:length]
    if real and not (min(real) >= 0 and max(real) < gpt2.VOCABULARY):
        i = next(i for i, token in enumerate(real) if not 0 <= token < gpt2.VOCABULARY)
        allowed = f"0 to {gpt2.VOCABULARY - 1} or the pad {gpt2.PAD}"
        raise UnusableError(f"{name} has the id {shown(ids[i])} at index {i}, expected {allowed}")


def _check_alike(row: LabelRow, first: LabelRow) -> None:
    """No file mixes choices with ratings, or texts with token ids; token ids have the same lengths throughout."""
    as_in = f"as in row {first.number}"
    if row.rating != first.rating:
        kinds = ("a choice", "a rating")
        raise UnusableError(f"{kinds[row.rating]}, expected {kinds[first.rating]} {as_in}")
    if isinstance(row.query, str) != isinstance(first.query, str):
        raise UnusableError(f"{'text' if isinstance(row.query, str) else 'token ids'}, expected the other {as_in}")
    if not isinstance(row.query, str):
        if len(row.samples) != len(first.samples):
            raise UnusableError(f"{len(row.samples)} samples, expected {len(first.samples)} {as_in}")
        for name, ids, other in zip(_parts(row), [row.query, *row.samples], [first.query, *first.samples], strict=True):
            if len(ids) != len(other):
                raise UnusableError(f"{name} has {len(ids)} tokens, expected {len(other)} {as_in}")
