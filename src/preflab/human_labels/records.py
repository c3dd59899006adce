"""The files of labels at a path, and the records of one file, one after another: JSON lines or array, CSV, parquet.

Memory is bounded: by a record for text, by a batch for parquet.  A record that cannot be read is a `RejectedRecord` and
the next one follows; where the rest of a file cannot be read, how much is lost is not known, and that is an error.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from preflab.errors import PreflabError
from preflab.text.files import DAMAGED, Listing, SourceFile, listing

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".parquet")  # what is taken out of a folder or an archive
LIMIT = 1 << 22  # bytes of one record (ours): the longest of the released sets have some 50,000
CHUNK = 1 << 18  # characters that an array is read by
BATCH = 256  # rows of parquet at a time


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """Why a record cannot be read; `number`: its line (JSON lines, CSV), element (array) or row (parquet), from 1."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class RawRecord:
    """The fields of one record of a file, as JSON has them; in CSV all are texts."""

    number: int
    fields: dict[str, Any]


Records = Iterator[RawRecord | RejectedRecord]


def find(path: Path) -> Listing:
    """Every file of labels at `path`: a file, or those of a folder or archive that end with one of SUFFIXES.

    Raises PreflabError if there is none, and as `text.files.listing` does.
    """
    files = listing(path, SUFFIXES)
    if not files.sources:
        raise PreflabError(f"{path}: no file of labels in it; expected some {', '.join(SUFFIXES)}, gzipped or not")
    return files


def read(source: SourceFile) -> Records:
    """All records of a file in their order.  Raises PreflabError if the file is empty, damaged or cut off."""
    number = 0
    with source.open() as raw:
        try:
            for record in _reader(source, raw)(source, raw):
                number = record.number
                yield record
        except UnicodeDecodeError as error:
            _stop(source, number + 1, f"invalid UTF-8 ({error.reason})", error)
        except DAMAGED as error:
            _stop(source, number + 1, f"the file is damaged or cut off ({error})", error)


def _reader(source: SourceFile, raw: IO[bytes]) -> Callable[[SourceFile, IO[bytes]], Records]:
    start = raw.read(1 << 16)
    raw.seek(0)
    if start[:4] == b"PAR1":
        return _parquet
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise PreflabError(f"{source.name}: the file is empty; expected labels as JSON, CSV or parquet")
    return {b"[": _array, b"{": _json_lines}.get(text[:1], _csv)


def _stop(source: SourceFile, number: int, what: str, cause: BaseException | None = None) -> NoReturn:
    raise PreflabError(
        f"{source.name}: row {number}: {what}; nothing after it can be read, get the file again"
    ) from cause


_DECODER = json.JSONDecoder()


def _record(number: int, value: Any) -> RawRecord | RejectedRecord:
    if isinstance(value, dict):
        return RawRecord(number, value)
    return RejectedRecord(number, f"found a {type(value).__name__}, expected an object")


def _lines(raw: IO[bytes]) -> Iterator[tuple[int, bytes | RejectedRecord]]:
    """The lines with their numbers; of one that is too long only its length."""
    number = 0
    while line := raw.readline(LIMIT + 1):
        number += 1
        if len(line) <= LIMIT:
            yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            continue
        length, rest = len(line), line
        while rest and not rest.endswith(b"\n"):
            length += len(rest := raw.readline(LIMIT))
        yield number, RejectedRecord(number, f"a line of {length:,} bytes, expected at most {LIMIT:,}")


def _json_lines(_: SourceFile, raw: IO[bytes]) -> Records:
    for number, line in _lines(raw):
        if isinstance(line, RejectedRecord):
            yield line
        elif line.strip():
            try:
                yield _record(number, _DECODER.decode(line.decode()))
            except UnicodeDecodeError as error:
                yield RejectedRecord(number, f"invalid UTF-8 at byte {error.start + 1} of the line ({error.reason})")
            except RecursionError:
                yield RejectedRecord(number, "brackets nested too deeply")
            except ValueError as error:
                yield RejectedRecord(number, f"not valid JSON ({error})")


def _array(source: SourceFile, raw: IO[bytes]) -> Records:
    """The elements of one JSON array, which may stand on a single line."""
    window = _Window(io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""))
    window.take()  # [
    number = 0
    while (character := window.peek()) != "]":
        if number and character == ",":
            window.take()
        elif number:
            problem = f"found {character!r}, expected ',' or ']'" if character else "the array is cut off"
            _stop(source, number + 1, problem)
        number += 1
        try:
            value = window.value()
        except RecursionError as error:
            _stop(source, number, "brackets nested too deeply", error)
        except ValueError as error:
            _stop(source, number, str(error), error)
        yield _record(number, value)
    window.take()
    if rest := window.peek():
        _stop(source, number + 1, f"found {rest!r} after the end of the array")


class _Window:
    """A view on a long JSON text that moves forward.

    Elements are cut out by the decoder of the standard library.  ijson keeps the path of every open bracket: 8,000 of
    them, one in another, took 161 MB.
    """

    def __init__(self, text: io.TextIOWrapper) -> None:
        self.text, self.buffer, self.at, self.ended = text, "", 0, False

    def more(self) -> None:
        """Read the next chunk, and forget what was passed."""
        chunk = self.text.read(CHUNK)
        self.buffer, self.at, self.ended = self.buffer[self.at :] + chunk, 0, not chunk

    def peek(self) -> str:
        """The next character that is no blank; nothing at the end."""
        while True:
            while self.at < len(self.buffer):
                if self.buffer[self.at] not in " \t\r\n":
                    return self.buffer[self.at]
                self.at += 1
            if self.ended:
                return ""
            self.more()

    def take(self) -> None:
        """Step over the character that `peek` gives."""
        self.peek()
        self.at += 1

    def value(self) -> Any:
        """The JSON value that begins here.  Raises ValueError if it is none, or longer than a record may be."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.buffer, self.at)
                if self.ended or end < len(self.buffer):  # else a number may continue
                    self.at = end
                    return value
            except json.JSONDecodeError as error:
                continues = error.msg.startswith("Unterminated") or error.pos > len(self.buffer) - 16
                if self.ended or not continues:
                    where = f"character {error.pos - self.at + 1} of the element"
                    raise ValueError(f"cut off or not valid JSON ({error.msg}: {where})") from error
            if len(self.buffer) - self.at > LIMIT:
                raise ValueError(f"no element ends within {LIMIT:,} characters")
            self.more()


def _csv(source: SourceFile, raw: IO[bytes]) -> Records:
    """One record a line, the names of the fields in the first; quoted texts may run over several lines."""
    last, too_long = 0, list[RejectedRecord]()

    def texts() -> Iterator[str]:
        nonlocal last
        for number, line in _lines(raw):
            last = number
            if isinstance(line, RejectedRecord):
                too_long.append(line)
            else:
                yield line.decode(errors="surrogateescape")  # an invalid byte must not end the file

    csv.field_size_limit(LIMIT)
    rows = csv.reader(texts(), strict=True)
    try:
        names = next(rows, [])
    except csv.Error as error:
        _stop(source, 1, f"not valid CSV ({error})", error)
    if len(set(names)) < len(names):
        raise PreflabError(f"{source.name}: row 1: two columns have the same name: {', '.join(names)}; rename one")
    ended = False
    while not ended:
        number = last + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield RejectedRecord(number, f"not valid CSV ({error})" + f", up to line {last}" * (last > number))
            continue
        yield from too_long
        too_long.clear()
        ended = row is None
        if row and not _encodes("".join(row)):
            yield RejectedRecord(number, "invalid UTF-8")
        elif row and len(row) != len(names):
            yield RejectedRecord(number, f"{len(row)} cells, expected {len(names)} as in the first line")
        elif row:
            yield RawRecord(number, dict(zip(names, row, strict=True)))


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parquet(source: SourceFile, raw: IO[bytes]) -> Records:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        for batch in pq.ParquetFile(raw, buffer_size=1 << 20, pre_buffer=False).iter_batches(BATCH):
            try:
                rows = batch.to_pylist()
            except UnicodeDecodeError:
                rows = [_row(batch.slice(i, 1)) for i in range(batch.num_rows)]
            for fields in rows:
                number += 1
                yield RejectedRecord(number, "invalid UTF-8") if fields is None else RawRecord(number, fields)
    except (pa.ArrowException, pa.ArrowInvalid) as error:
        _stop(source, number + 1, f"the parquet file is damaged ({str(error).splitlines()[0]})", error)


def _row(batch: Any) -> dict[str, Any] | None:
    try:
        row: dict[str, Any] = batch.to_pylist()[0]
    except UnicodeDecodeError:
        return None
    return row
