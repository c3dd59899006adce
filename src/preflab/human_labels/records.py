"""The records of one file, one after another: JSON lines, a JSON array, CSV or parquet.

Memory is bounded: by a record for text, by a batch for parquet.  A record that cannot be read is `Rejected` and the
next one follows; where the rest of a file cannot be read, nobody knows how much is lost, and that is an error.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, NoReturn

from preflab.errors import PreflabError
from preflab.human_labels.source import DAMAGED, Source

LIMIT = 1 << 22  # bytes of one record (ours): the longest of the released sets have some 50,000
CHUNK = 1 << 18  # characters that an array is read by
BATCH = 256  # rows of parquet at a time


@dataclass(frozen=True, slots=True)
class Rejected:
    """`number` is the line in JSON lines and CSV, the element of an array, the row of parquet, all from 1."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Record:
    """The fields of one record, as JSON knows them; in CSV all are texts."""

    number: int
    fields: dict[str, Any]


def read(source: Source) -> Iterator[Record | Rejected]:
    """All records of a file in their order.  Raises if the file is empty, damaged or cut off."""
    number = 0
    try:
        with source.open() as raw:
            for record in _reader(source, raw)(source, raw):
                number = record.number
                yield record
    except UnicodeDecodeError as error:
        _stop(source, number + 1, f"invalid UTF-8 ({error.reason})", error)
    except DAMAGED as error:
        _stop(source, number + 1, f"the file is damaged or cut off ({error})", error)


def _reader(source: Source, raw: IO[bytes]) -> Callable[[Source, IO[bytes]], Iterator[Record | Rejected]]:
    start = raw.read(1 << 16)
    raw.seek(0)
    if start[:4] == b"PAR1":
        return _parquet
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise PreflabError(f"{source.name}: the file is empty; expected labels as JSON, CSV or parquet")
    return {b"[": _array, b"{": _json_lines}.get(text[:1], _csv)


def _stop(source: Source, number: int, what: str, cause: BaseException | None = None) -> NoReturn:
    raise PreflabError(
        f"{source.name}: row {number}: {what}; nothing after it can be read, get the file again"
    ) from cause


_DECODER = json.JSONDecoder()


def _record(number: int, value: Any) -> Record | Rejected:
    if isinstance(value, dict):
        return Record(number, value)
    return Rejected(number, f"found a {type(value).__name__}, expected an object")


def _lines(raw: IO[bytes]) -> Iterator[tuple[int, bytes | Rejected]]:
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
        yield number, Rejected(number, f"a line of {length:,} bytes, expected at most {LIMIT:,}")


def _json_lines(_: Source, raw: IO[bytes]) -> Iterator[Record | Rejected]:
    for number, line in _lines(raw):
        if isinstance(line, Rejected):
            yield line
        elif line.strip():
            try:
                yield _record(number, _DECODER.decode(line.decode()))
            except UnicodeDecodeError as error:
                yield Rejected(number, f"invalid UTF-8 at byte {error.start + 1} of the line ({error.reason})")
            except RecursionError:
                yield Rejected(number, "brackets nested too deeply")
            except ValueError as error:
                yield Rejected(number, f"not valid JSON ({error})")


def _array(source: Source, raw: IO[bytes]) -> Iterator[Record | Rejected]:
    """The elements of one JSON array, which may stand on a single line."""
    window = _Window(io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""))
    window.take()  # [
    number = 0
    while (found := window.peek()) != "]":
        if number and found == ",":
            window.take()
        elif number:
            _stop(source, number + 1, f"found {found!r}, expected ',' or ']'" if found else "the array is cut off")
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
        """Read on, and forget what is behind."""
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
                if self.ended or end < len(self.buffer):  # else a number may go on
                    self.at = end
                    return value
            except json.JSONDecodeError as error:
                goes_on = error.msg.startswith("Unterminated") or error.pos > len(self.buffer) - 16
                if self.ended or not goes_on:
                    where = f"character {error.pos - self.at + 1} of the element"
                    raise ValueError(f"cut off or not valid JSON ({error.msg}: {where})") from error
            if len(self.buffer) - self.at > LIMIT:
                raise ValueError(f"no element ends within {LIMIT:,} characters")
            self.more()


def _csv(source: Source, raw: IO[bytes]) -> Iterator[Record | Rejected]:
    """One record a line, the names of the fields in the first; quoted texts may run over several lines."""
    last, too_long = 0, list[Rejected]()

    def texts() -> Iterator[str]:
        nonlocal last
        for number, line in _lines(raw):
            last = number
            if isinstance(line, Rejected):
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
            yield Rejected(number, f"not valid CSV ({error})" + f", up to line {last}" * (last > number))
            continue
        yield from too_long
        too_long.clear()
        ended = row is None
        if row and not _encodes("".join(row)):
            yield Rejected(number, "invalid UTF-8")
        elif row and len(row) != len(names):
            yield Rejected(number, f"{len(row)} cells, expected {len(names)} as in the first line")
        elif row:
            yield Record(number, dict(zip(names, row, strict=True)))


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parquet(source: Source, raw: IO[bytes]) -> Iterator[Record | Rejected]:
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
                yield Rejected(number, "invalid UTF-8") if fields is None else Record(number, fields)
    except (pa.ArrowException, pa.ArrowInvalid) as error:
        _stop(source, number + 1, f"the parquet file is damaged ({str(error).splitlines()[0]})", error)


def _row(batch: Any) -> dict[str, Any] | None:
    try:
        row: dict[str, Any] = batch.to_pylist()[0]
    except UnicodeDecodeError:
        return None
    return row
