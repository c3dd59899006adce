"""Read files of human labels, count what they hold, and write them down in one schema.

    find (source.py)  →  records (records.py)  →  rows of a format (readers/)  →  counts (survey.py)
                                                          └→  texts and tokens (translate.py)  →  --out (ingested.py)

Everything is streamed: a row leaves 40 bytes behind.
"""

import os
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from preflab.downloads.wheels import digest
from preflab.human_labels import ingested, readers
from preflab.human_labels.ingested import Label
from preflab.human_labels.readers import Row, Skipped
from preflab.human_labels.records import Rejected
from preflab.human_labels.source import find
from preflab.human_labels.survey import Summary, Survey
from preflab.human_labels.translate import Translated, Translator, real

BATCH = 512  # rows at a time
MANY = 10_000  # rejected rows after which no more are looked for (ours): this is another format, or another file


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was rejected."""

    file: str
    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """What became of `rows` of GPT-2's token ids for the model in the folder `tokenizer` (empty: none was named).

    `kept`: its vocabulary is GPT-2's.  `broken` texts have a character of which only half was there.
    """

    tokenizer: str
    rows: int
    kept: bool
    broken: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was found.  `refused` says why nothing was accepted; where it is empty, all but `rejected` was.

    `others`: files of the folder that were not read.  `skipped`: records that nobody has answered, by reason.
    """

    path: str
    files: int
    others: list[str]
    formats: dict[str, int]
    summary: Summary
    tokens: Tokens
    skipped: dict[str, int]
    rejected: list[Refusal]
    refused: str


def ingest(
    path: Path,
    *,
    form: str | None = None,
    max_bad: float = 0,
    tokenizer: Path | None = None,
    gpt2: Path | None = None,
    out: Path | None = None,
) -> Report:
    """Read all labels at `path` (a file, a folder, a zip), of the format `form` or of the one that each file shows.

    Up to `max_bad` rejected rows (below 1: that share of all rows) are dropped; with more the report says so, and `out`
    is not written.  `tokenizer` is the folder of the model that will read the labels, `gpt2` one with GPT-2's
    vocabulary.  Raises if a file cannot be read to its end.
    """
    from tqdm import tqdm

    found = find(path)
    survey, translator = Survey(), Translator(tokenizer, gpt2)
    writer = ingested.Writer(out) if out else None
    formats, skipped, rejected = Counter[str](), Counter[str](), list[Refusal]()
    try:
        for file in found.sources:
            name, stream = readers.read(file, form)
            rows = iter(tqdm(stream, file.name, unit=" rows", leave=False, disable=None))
            while (batch := list(islice(rows, BATCH))) and not _hopeless(rejected, max_bad):
                good = [one for one in batch if isinstance(one, Row)]
                formats[name] += len(good)
                skipped.update(one.reason for one in batch if isinstance(one, Skipped))
                rejected += [Refusal(file.name, one.number, one.reason) for one in batch if isinstance(one, Rejected)]
                if good:
                    _take(good, os.path.relpath(file.name, path.parent), survey, translator, writer)
        summary = survey.summary()
        refused = _refused(path, summary.rows, rejected, max_bad)
        if writer and not refused:
            files = {os.path.relpath(one, path.parent): digest(one) for one in found.files}
            writer.finish({"tokenizer": translator.vocabulary, "formats": dict(formats), "files": files})
    finally:
        if writer:
            writer.close()
    return Report(
        path=str(path),
        files=len(found.sources),
        others=[str(one) for one in found.others],
        formats=dict(formats),
        summary=summary,
        tokens=Tokens(str(tokenizer or ""), translator.rows, translator.keeps, translator.broken),
        skipped=dict(sorted(skipped.items())),
        rejected=rejected,
        refused=refused,
    )


def _take(rows: list[Row], file: str, survey: Survey, translator: Translator, writer: ingested.Writer | None) -> None:
    """Count and write a batch."""
    for row in rows:
        survey.add(row)
    if not isinstance(rows[0].query, str):
        _measure(survey, "GPT-2 tokens", [list(map(len, real(row))) for row in rows])
    elif translator.target is None:
        _measure(survey, "words", [[len(str(one).split()) for one in (row.query, *row.samples)] for row in rows])
    if not writer and translator.target is None:
        return  # texts are not asked for
    done = translator.translate(rows)
    if not translator.keeps:
        _measure(survey, f"tokens of {translator.folder}", [list(map(len, one.ids or [])) for one in done])
    if writer:
        writer.add([_label(row, one, file) for row, one in zip(rows, done, strict=True)])


def _measure(survey: Survey, unit: str, lengths: list[list[int]]) -> None:
    survey.measure("query", unit, [one[0] for one in lengths])
    survey.measure("response", unit, [length for one in lengths for length in one[1:]])


def _label(row: Row, done: Translated, file: str) -> Label:
    (query, *samples), ids = done.texts, done.ids
    return Label(
        query, samples, row.best, row.scores, row.labeller, row.task, row.split, row.id,
        file, row.number, ids[0] if ids else None, ids[1:] if ids else None,
    )  # fmt: skip


def _hopeless(rejected: list[Refusal], max_bad: float) -> bool:
    return len(rejected) > max(max_bad, MANY) and not 0 < max_bad < 1


def _refused(path: Path, rows: int, rejected: list[Refusal], max_bad: float) -> str:
    """Why the labels are not accepted; nothing where they are."""
    bad = len(rejected)
    if bad > (max_bad * (rows + bad) if 0 < max_bad < 1 else max_bad):
        first = rejected[0]
        where = f"row {first.row}" if first.file == str(path) else f"{first.file} row {first.row}"
        more = f" (no more were read after {bad:,})" if _hopeless(rejected, max_bad) else ""
        return (
            f"{path}: {bad:,} of {rows + bad:,} rows rejected{more}, the first is {where}: "
            f"{first.reason}; mend them, or drop them with --max-bad {bad}"
        )
    return "" if rows else f"{path}: not one label in it; expected answers of people"
