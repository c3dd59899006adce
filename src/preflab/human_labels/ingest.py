"""Read files of human labels, count what they hold, and write them down in one schema.

    files and records (records.py)  →  rows of a format (readers/)  →  counts (survey.py)  →  report (report_text.py)
                                                └→  texts and tokens (translate.py)  →  parquet (table.py)

Everything is streamed: 40 bytes of each row stay in memory.
"""

import os
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from preflab.downloads.wheels import digest
from preflab.human_labels import readers
from preflab.human_labels.readers import LabelRow, SkippedRecord
from preflab.human_labels.records import RejectedRecord, find
from preflab.human_labels.survey import LabelStatistics, Survey
from preflab.human_labels.table import HumanLabel, LabelWriter
from preflab.human_labels.translate import TokenisedLabel, Translator, real

BATCH = 512  # rows at a time
MOST_REJECTED = 10_000  # rows (ours); after these reading stops: it is another format, or another file


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was rejected: its file, its number in it (from 1) and why."""

    file: str
    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class TokenReport:
    """What became of `rows` of GPT-2's token ids for the model in the folder `tokenizer` (empty: none was named).

    `kept`: its vocabulary is GPT-2's, so the ids are kept.  `broken`: texts that end inside a character.
    """

    tokenizer: str
    rows: int
    kept: bool
    broken: int


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What the files hold.  `refused`: why nothing was accepted; if empty, everything but `rejected` was accepted.

    `files`: how many were read; `others`: files of the folder that were not.  `formats`: rows of each format.
    `skipped`: records without an answer, by reason.
    """

    path: str
    files: int
    others: list[str]
    formats: dict[str, int]
    summary: LabelStatistics
    tokens: TokenReport
    skipped: dict[str, int]
    rejected: list[RejectedRow]
    refused: str


def ingest(
    path: Path,
    *,
    form: str | None = None,
    max_bad: float = 0,
    tokenizer: Path | None = None,
    gpt2: Path | None = None,
    out: Path | None = None,
) -> IngestReport:
    """Read all labels at `path` (a file, a folder, a zip), of the format `form` or of the one that each file shows.

    Up to `max_bad` rejected rows (below 1: that share of all rows) are dropped; with more the report says so, and `out`
    is not written.  `tokenizer` is the folder of the model that will read the labels, `gpt2` one with GPT-2's
    vocabulary.  Raises PreflabError if there is no file of labels, or if one cannot be read to its end.
    """
    from tqdm import tqdm

    listing = find(path)
    survey, translator = Survey(), Translator(tokenizer, gpt2)
    writer = LabelWriter(out) if out else None
    formats, skipped, rejected = Counter[str](), Counter[str](), list[RejectedRow]()
    try:
        for file in listing.sources:
            name, stream = readers.read(file, form)
            results = iter(tqdm(stream, file.name, unit=" rows", leave=False, disable=None))
            while (batch := list(islice(results, BATCH))) and not _hopeless(rejected, max_bad):
                rows = [result for result in batch if isinstance(result, LabelRow)]
                formats[name] += len(rows)
                for result in batch:
                    if isinstance(result, SkippedRecord):
                        skipped[result.reason] += 1
                    elif isinstance(result, RejectedRecord):
                        rejected.append(RejectedRow(file.name, result.number, result.reason))
                if rows:
                    _take(rows, os.path.relpath(file.name, path.parent), survey, translator, writer)
        summary = survey.statistics()
        refused = _refused(path, summary.rows, rejected, max_bad)
        if writer and not refused:
            files = {os.path.relpath(file, path.parent): digest(file) for file in listing.files}
            writer.finish({"tokenizer": translator.vocabulary, "formats": dict(formats), "files": files})
    finally:
        if writer:
            writer.close()
    return IngestReport(
        path=str(path),
        files=len(listing.sources),
        others=[str(file) for file in listing.others],
        formats=dict(formats),
        summary=summary,
        tokens=TokenReport(str(tokenizer or ""), translator.rows, translator.keeps, translator.broken),
        skipped=dict(sorted(skipped.items())),
        rejected=rejected,
        refused=refused,
    )


def _take(rows: list[LabelRow], file: str, survey: Survey, translator: Translator, writer: LabelWriter | None) -> None:
    """Count and write a batch."""
    for row in rows:
        survey.add(row)
    if not isinstance(rows[0].query, str):
        _measure(survey, "GPT-2 tokens", [list(map(len, real(row))) for row in rows])
    elif translator.target is None:
        _measure(survey, "words", [[len(str(text).split()) for text in (row.query, *row.samples)] for row in rows])
    if not writer and translator.target is None:
        return  # texts are not asked for
    tokenised = translator.translate(rows)
    if not translator.keeps:
        _measure(survey, f"tokens of {translator.folder}", [list(map(len, label.ids or [])) for label in tokenised])
    if writer:
        writer.add([_label(row, label, file) for row, label in zip(rows, tokenised, strict=True)])


def _measure(survey: Survey, unit: str, lengths: list[list[int]]) -> None:
    survey.measure("query", unit, [row[0] for row in lengths])
    survey.measure("response", unit, [length for row in lengths for length in row[1:]])


def _label(row: LabelRow, tokenised: TokenisedLabel, file: str) -> HumanLabel:
    (query, *samples), ids = tokenised.texts, tokenised.ids
    return HumanLabel(
        query, samples, row.best, row.scores, row.labeller, row.task, row.split, row.id,
        file, row.number, ids[0] if ids else None, ids[1:] if ids else None,
    )  # fmt: skip


def _hopeless(rejected: list[RejectedRow], max_bad: float) -> bool:
    return len(rejected) > max(max_bad, MOST_REJECTED) and not 0 < max_bad < 1


def _refused(path: Path, rows: int, rejected: list[RejectedRow], max_bad: float) -> str:
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
    return "" if rows else f"{path}: not one label in it; expected human labels"
