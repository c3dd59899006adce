"""Files of other people, read with suspicion: folders, archives, compressed files, lines of UTF-8.

Nothing is unpacked to disk.  Whatever cannot be read is refused with the file, the line and the reason.
"""

import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, cast

from preflab.errors import PreflabError

LONGEST = 8 << 20  # ours: bytes of a line; a longer one is a file without line ends, or no text
ARCHIVES = (".zip", ".whl")
# What zipfile raises on damaged files.
BROKEN: tuple[type[Exception], ...] = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError)
BROKEN += (NotImplementedError, OverflowError, RuntimeError, ValueError, OSError)


class Source:
    """One file: `name` in errors, `stem` and `suffix` (lower case, without `.gz`) to tell its format by."""

    def __init__(self, name: str, path: Path, members: tuple[str, ...] = ()) -> None:
        self.name, self._path, self._members = name, path, members
        inner = PurePosixPath(name)
        self.compressed = inner.suffix.lower() == ".gz"
        inner = inner.with_suffix("") if self.compressed else inner
        self.stem, self.suffix = inner.stem, inner.suffix.lower()

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Its bytes, uncompressed."""
        with self._path.open("rb") as stream, _inside(stream, self._members, self.name) as inner:
            if not self.compressed:
                yield inner
                return
            try:
                with gzip.open(inner) as plain:
                    yield cast("IO[bytes]", plain)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise PreflabError(f"{self.name}: cannot be uncompressed ({error}); fetch it again") from error


@contextmanager
def _inside(stream: IO[bytes], members: tuple[str, ...], name: str) -> Iterator[IO[bytes]]:
    """Member of a member … of a zip file."""
    if not members:
        yield stream
        return
    try:
        with zipfile.ZipFile(stream) as archive, archive.open(members[0]) as member:
            nested = io.BytesIO(member.read()) if len(members) > 1 else member
            with _inside(nested, members[1:], name) as inner:
                yield inner
    except BROKEN as error:
        raise PreflabError(f"{name}: cannot be unpacked ({error}); fetch it again") from error


def sources(path: Path, patterns: list[str], suffixes: tuple[str, ...]) -> list[Source]:
    """The files with one of `suffixes` in a file, folder or archive, sorted; `patterns` are of paths inside it."""
    if not path.exists():
        raise PreflabError(f"{path}: not found; `dvc repro` (stage fetch) brings it")
    if path.is_file() and path.suffix.lower() not in ARCHIVES:
        return [Source(str(path), path)]
    if path.is_file():
        found = _members(path, patterns, suffixes)
    else:
        found = []
        for file in sorted(file for file in path.rglob("*") if file.is_file()):
            relative = file.relative_to(path).as_posix()
            if _hidden(relative):
                continue
            if file.suffix.lower() in ARCHIVES:
                found += _members(file, ["*"] if _any(relative, patterns) else patterns, suffixes)
            elif _any(relative, patterns) and Source(relative, file).suffix in suffixes:
                found.append(Source(str(file), file))
    if not found:
        raise PreflabError(
            f"{path}: no file in there that ends with {', '.join(suffixes)} and fits corpus.files={patterns}; "
            "name those to read, or another corpus.reader"
        )
    return found


def _members(path: Path, patterns: list[str], suffixes: tuple[str, ...]) -> list[Source]:
    """The members of a zip file that fit, and those of zip files that are members of it and fit."""

    def listed(members: tuple[str, ...]) -> list[str]:
        name = "/".join([str(path), *members])
        with path.open("rb") as stream, _inside(stream, members, name) as inner:
            try:
                names = zipfile.ZipFile(inner).namelist()
            except BROKEN as error:
                raise PreflabError(f"{name}: no zip file ({error}); fetch it again") from error
        for member in names:
            if member.startswith(("/", "\\")) or ".." in member.replace("\\", "/").split("/"):
                raise PreflabError(f"{name}: has a member {member!r} that leads out of the archive; do not trust it")
            if not member.isprintable():
                raise PreflabError(f"{name}: has a member with a damaged name, {member!r}; fetch it again")
        return sorted(member for member in names if not member.endswith("/") and not _hidden(member))

    found = []
    for name in listed(()):
        if not _any(name, patterns):
            continue
        chains: list[tuple[str, ...]] = [(name,)]
        if PurePosixPath(name).suffix.lower() in ARCHIVES:
            chains = [(name, inner) for inner in listed((name,))]
        found += [Source("/".join([str(path), *chain]), path, chain) for chain in chains]
    return [source for source in found if source.suffix in suffixes]


def _hidden(relative: str) -> bool:
    """What systems leave behind: `.DS_Store`, `__MACOSX/`."""
    return any(part.startswith(".") or part == "__MACOSX" for part in relative.split("/"))


def _any(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def lines(source: Source) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line, with its line end; without a byte order mark."""
    with source.open() as stream:
        number = 0
        while line := stream.readline(LONGEST + 1):
            number += 1
            if len(line) > LONGEST:
                raise PreflabError(
                    f"{source.name} line {number}: longer than {LONGEST >> 20} MiB; "
                    "expected a document a line, or paragraphs of a text"
                )
            yield number, decoded(source.name, number, line)
        if number == 0:
            raise PreflabError(f"{source.name}: empty; expected documents")


def decoded(name: str, number: int, line: bytes) -> str:
    """A line as UTF-8."""
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise PreflabError(
            f"{name} line {number}: byte {error.start + 1} ({error.object[error.start]:#04x}) is not UTF-8; "
            "convert the file, for instance with iconv"
        ) from error
