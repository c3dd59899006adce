"""Files that others made, read with suspicion: one file, a folder, an archive; each plain or gzipped.

    sources = listing(path, (".jsonl", ".csv")).sources
    with sources[0].open() as stream: …             its bytes, uncompressed

    folder/train.jsonl                              a file of a folder
    folder/all.zip/deep/train.jsonl.gz              a member of an archive, gzipped
    corpus.whl/data/news.zip/news.csv               a member of an archive that is a member itself

Nothing is unpacked to disk, and an archive is opened once for all its members.  Whether a file is gzipped, or a zip,
shows in its first bytes.  Whatever cannot be read is refused with the file, the line and the reason.
"""

import gzip
import io
import lzma
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, cast

from preflab.errors import PreflabError

LONGEST = 8 << 20  # ours: bytes of a line; a longer one is a file without line ends, or no text
LARGEST = 1 << 30  # ours: bytes of an archive inside of an archive, which is held in memory
ARCHIVES = (".zip", ".whl")
GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
# What reading a damaged file raises, and what opening a damaged or encrypted archive raises.
DAMAGED: tuple[type[Exception], ...] = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, struct.error)
UNREADABLE: tuple[type[Exception], ...] = (*DAMAGED, NotImplementedError, OverflowError, RuntimeError, ValueError)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file: `name` in errors, `inner` its path in the folder or archive, without `.gz`; how its bytes are had."""

    name: str
    inner: PurePosixPath
    _bytes: Callable[[], IO[bytes]]

    @property
    def stem(self) -> str:
        """Its name without suffix."""
        return self.inner.stem

    @property
    def suffix(self) -> str:
        """Its suffix in lower case, without `.gz`: what format it says to have."""
        return self.inner.suffix.lower()

    @property
    def folder(self) -> str:
        """The name of the folder that it lies in."""
        return self.inner.parent.name

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Its bytes, uncompressed.

        Raises PreflabError where the file turns out to be damaged while it is read; a reader that can say in which row
        catches `DAMAGED` itself.
        """
        with self._bytes() as raw:
            try:
                start = raw.read(len(GZIP))
                raw.seek(0)
                if start == GZIP:
                    with gzip.GzipFile(fileobj=raw) as uncompressed:
                        yield cast("IO[bytes]", uncompressed)
                else:
                    yield raw
            except DAMAGED as error:
                raise _damaged(self.name, error) from error


class Listing(NamedTuple):
    """`sources`: the files to read, in the order of their paths; `files` that hold them; `others`, passed over."""

    sources: list[SourceFile]
    files: list[Path]
    others: list[Path]


def listing(path: Path, suffixes: Sequence[str], patterns: Sequence[str] = ("*",)) -> Listing:
    """The files in a folder or archive that end with one of `suffixes`, `.gz` aside; a single file whatever its name.

    `patterns` are of paths inside of it; an archive in a folder that fits one is taken as a whole.  Hidden files are
    passed over.  Raises PreflabError if there is nothing at `path`, or if an archive is damaged, or has a member that
    leads out of it.
    """
    archives = _Archives()
    if path.is_file():
        if _is_archive(path):
            return Listing(list(archives.members(path, suffixes, patterns)), [path], [])
        return Listing([plain(path)], [path], [])
    if not path.is_dir():
        problem = "neither a file nor a folder" if path.exists() else "not found"
        raise PreflabError(f"{path}: {problem}; name a file, a folder or an archive")
    sources: list[SourceFile] = []
    files: list[Path] = []
    others: list[Path] = []
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        relative = PurePosixPath(file.relative_to(path))
        if _hidden(relative):
            continue
        fits = _fits(relative, patterns)
        if relative.suffix.lower() in ARCHIVES or (fits and _fits_suffix(relative, suffixes) and _is_archive(file)):
            members = list(archives.members(file, suffixes, ("*",) if fits else patterns))
        else:
            members = [plain(file)] if fits and _fits_suffix(relative, suffixes) else []
        sources += members
        (files if members else others).append(file)
    return Listing(sources, files, others)


def plain(file: Path) -> SourceFile:
    """One file that is no archive."""
    return SourceFile(str(file), _without_gz(PurePosixPath(file.absolute())), partial(_read_bytes, file))


def lines(source: SourceFile) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line, with its line end; without a byte order mark.

    Raises PreflabError if the file is empty or damaged, or has a line that is too long or not UTF-8.
    """
    with source.open() as stream:
        number = 0
        while line := stream.readline(LONGEST + 1):
            number += 1
            if len(line) > LONGEST:
                raise PreflabError(
                    f"{source.name} line {number}: longer than {LONGEST >> 20} MiB; "
                    "expected a document a line, or paragraphs of a text"
                )
            yield number, _decoded(source.name, number, line)
        if number == 0:
            raise PreflabError(f"{source.name}: empty; expected documents")


def _decoded(name: str, number: int, line: bytes) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise PreflabError(
            f"{name} line {number}: byte {error.start + 1} ({error.object[error.start]:#04x}) is not UTF-8; "
            "convert the file, for instance with iconv"
        ) from error


class _Archives:
    """Archives and their members.

    The archive that was read last stays open, because opening one reads the names of all its members; so does the
    archive inside of it that was read last.
    """

    def __init__(self) -> None:
        self._opened: dict[bool, tuple[tuple[Path, str], zipfile.ZipFile]] = {}  # by whether it is inside of another

    def members(self, path: Path, suffixes: Sequence[str], patterns: Sequence[str]) -> Iterator[SourceFile]:
        """The members that fit, by name, and those of archives that are members and fit."""
        for member in self._listed(path, ""):
            if not _fits(PurePosixPath(member), patterns):
                continue
            if PurePosixPath(member).suffix.lower() not in ARCHIVES:
                inner = [("", member)]
            else:
                inner = [(member, name) for name in self._listed(path, member)]
            for nested, name in inner:
                if _fits_suffix(PurePosixPath(name), suffixes):
                    shown = "/".join(filter(None, (str(path), nested, name)))
                    yield SourceFile(shown, _without_gz(PurePosixPath(name)), partial(self._bytes, path, nested, name))

    def _listed(self, path: Path, nested: str) -> list[str]:
        """The names of the members of an archive, or of the archive `nested` inside of it, without folders."""
        name = f"{path}/{nested}" if nested else str(path)
        members = self._open(path, nested).infolist()
        for member in members:
            parts = member.filename.replace("\\", "/").split("/")
            drive = re.match("[A-Za-z]:", member.filename)
            if not parts[0] or ".." in parts or drive or stat.S_ISLNK(member.external_attr >> 16):
                raise PreflabError(
                    f"{name}: the member {member.filename!r} leads out of the archive; do not trust this file"
                )
            if not member.filename.isprintable():
                raise PreflabError(f"{name}: a member has the damaged name {member.filename!r}; get the file again")
        names = {member.filename for member in members if not member.is_dir()}
        return sorted(name for name in names if not _hidden(PurePosixPath(name)))

    def _bytes(self, path: Path, nested: str, name: str) -> IO[bytes]:
        try:
            return self._open(path, nested).open(name)
        except UNREADABLE as error:  # encrypted, or compressed in an unusual way
            shown = "/".join(filter(None, (str(path), nested, name)))
            raise PreflabError(f"{shown}: cannot be read ({error}); unpack the archive") from error

    def _open(self, path: Path, nested: str) -> zipfile.ZipFile:
        key, archive = self._opened.get(bool(nested), (None, None))
        if archive is not None and key == (path, nested):
            return archive
        if archive is not None:
            archive.close()  # members that are still being read keep the file open
        stream = self._in_memory(path, nested) if nested else path
        try:
            archive = zipfile.ZipFile(stream)
        except UNREADABLE as error:
            raise _damaged(f"{path}/{nested}" if nested else str(path), error) from error
        self._opened[bool(nested)] = (path, nested), archive
        return archive

    def _in_memory(self, path: Path, nested: str) -> io.BytesIO:
        name = f"{path}/{nested}"
        if self._open(path, "").getinfo(nested).file_size > LARGEST:
            raise PreflabError(f"{name}: more than {LARGEST >> 30} GiB, and inside of an archive; unpack the outer one")
        with self._bytes(path, "", nested) as raw:
            try:
                return io.BytesIO(raw.read())
            except DAMAGED as error:
                raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> PreflabError:
    return PreflabError(f"{name}: damaged or cut off ({error}); get the file again")


def _read_bytes(file: Path) -> IO[bytes]:
    return file.open("rb")


def _is_archive(file: Path) -> bool:
    if file.suffix.lower() in ARCHIVES:
        return True
    with file.open("rb") as stream:
        return stream.read(len(ZIP)) == ZIP


def _without_gz(path: PurePosixPath) -> PurePosixPath:
    return path.with_suffix("") if path.suffix.lower() == ".gz" else path


def _fits_suffix(path: PurePosixPath, suffixes: Sequence[str]) -> bool:
    return _without_gz(path).suffix.lower() in suffixes


def _fits(path: PurePosixPath, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(str(path), pattern) for pattern in patterns)


def _hidden(path: PurePosixPath) -> bool:
    """What systems leave in folders and archives: `.DS_Store`, `__MACOSX/`."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
