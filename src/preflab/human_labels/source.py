"""The files of labels at a path: one file, a folder of them, a zip; each of them plain or gzipped.

Nothing is unpacked on disk.  What a file is shows in its first bytes, not in its name.
"""

import gzip
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, cast

from preflab.errors import PreflabError

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".parquet")  # what is taken out of a folder or a zip
GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)  # what reading a damaged file raises
_UNREADABLE = (
    *DAMAGED,
    RuntimeError,
    NotImplementedError,
    ValueError,
    struct.error,
)  # and a damaged directory of a zip


@dataclass(frozen=True, slots=True)
class Source:
    """One file: its `name` for messages, the `folder` that it lies in (some formats tell the task by that)."""

    name: str
    folder: str
    _raw: Callable[[], IO[bytes]]

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Its bytes, unzipped if they are gzipped."""
        with self._raw() as raw:
            start = raw.read(len(GZIP))
            raw.seek(0)
            if start == GZIP:
                with gzip.GzipFile(fileobj=raw) as plain:
                    yield cast("IO[bytes]", plain)
            else:
                yield raw


@dataclass(frozen=True, slots=True)
class Found:
    """`sources` in the order of their names; `files` that hold them; `others`, no labels by their suffix."""

    sources: list[Source]
    files: list[Path]
    others: list[Path]


def find(path: Path) -> Found:
    """Every file of labels at `path`.  Raises if there is none, or if a zip has members that lie outside of it."""
    if path.is_dir():
        found = sorted(Path(top) / name for top, _, names in os.walk(path) for name in names)
        seen = [file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts)]
        files = [file for file in seen if _is_labels(file.name, zipped=True)]
    elif path.is_file():
        seen = files = [path]
    else:
        raise PreflabError(
            f"{path}: {'neither a file nor a folder' if path.exists() else 'not found'}; name the labels"
        )
    sources = [source for file in files for source in _inside(file)]
    if not sources:
        raise PreflabError(f"{path}: no file of labels in it; expected some {', '.join(SUFFIXES)}, gzipped or not")
    return Found(sources, files, [file for file in seen if file not in files])


def _is_labels(name: str, *, zipped: bool = False) -> bool:
    return name.lower().removesuffix(".gz").endswith((*SUFFIXES, ".zip") if zipped else SUFFIXES)


def _inside(file: Path) -> Iterator[Source]:
    """The file itself, or the members of a zip."""
    with file.open("rb") as raw:
        start = raw.read(len(ZIP))
    if start == ZIP:
        yield from _members(file)
    else:
        yield Source(str(file), file.absolute().parent.name, partial(_file, file))


def _file(path: Path) -> IO[bytes]:
    return path.open("rb")


def _members(file: Path) -> Iterator[Source]:
    try:
        with zipfile.ZipFile(file) as archive:
            infos = sorted(archive.infolist(), key=lambda info: info.filename)
    except _UNREADABLE as error:
        raise PreflabError(f"{file}: the zip is damaged or cut off ({error}); get it again") from error
    for info in infos:
        parts = info.filename.replace("\\", "/").split("/")
        if not parts[0] or ".." in parts or ":" in parts[0] or stat.S_ISLNK(info.external_attr >> 16):
            raise PreflabError(f"{file}: the member {info.filename!r} leads out of the zip; do not trust this file")
    for info in infos:
        path = PurePosixPath(info.filename)
        hidden = any(part.startswith((".", "__")) for part in path.parts)  # __MACOSX
        if not info.is_dir() and not hidden and _is_labels(path.name):
            yield Source(f"{file}:{path}", path.parent.name, partial(_member, file, info))


def _member(file: Path, info: zipfile.ZipInfo) -> IO[bytes]:
    try:
        return zipfile.ZipFile(file).open(info)
    except _UNREADABLE as error:  # encrypted, or packed in an odd way
        raise PreflabError(f"{file}: the member {info.filename!r} cannot be read ({error}); unpack the zip") from error
