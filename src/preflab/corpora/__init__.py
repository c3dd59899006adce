"""Text sources: one module a source, each with `read(path) -> list[Document]`.

A document belongs to exactly one split and one half for good: both are read off a hash of its text, so copies of a
text fall together and adding documents moves none of the others.
"""

import hashlib
import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path

from preflab.errors import PreflabError, did_you_mean

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Document:
    """One text. `label` is 1 (positive), 0 (negative) or None; `source` names where the package has it from."""

    text: str
    label: int | None
    source: str


def read(name: str, path: Path) -> list[Document]:
    """All documents of corpus `name` (a module of this package) from the fetched file at `path`."""
    choices = [module.name for module in pkgutil.iter_modules(__path__)]
    if name not in choices:
        raise PreflabError(f"corpus.reader={name}: no such reader; {did_you_mean(name, choices)}")
    if not path.exists():
        raise PreflabError(f"{path}: not found; `dvc repro` (stage fetch) brings it")
    return importlib.import_module(f"preflab.corpora.{name}").read(path)


def load(name: str, path: Path, limit: int | None) -> list[Document]:
    """The different documents of a corpus; with `limit`, that many, spread evenly over it (for smoke tests)."""
    documents = unique(read(name, path))
    return documents if limit is None else documents[:: max(len(documents) // limit, 1)][:limit]


def fingerprint(text: str) -> bytes:
    """32 bytes that are equal for texts that differ in case and white space only."""
    return hashlib.sha256(" ".join(text.split()).lower().encode()).digest()


def split_of(text: str) -> str:
    """`train` (80 %), `validation` (10 %) or `test` (10 %)."""
    share = int.from_bytes(fingerprint(text)[:4], "big") / 2**32
    return "train" if share < 0.8 else "validation" if share < 0.9 else "test"


def half_of(text: str) -> str:
    """`labeller` or `judge`: which of the two classifiers may learn from this document (independent of the split)."""
    return "labeller" if fingerprint(text)[4] < 128 else "judge"


def unique(documents: list[Document]) -> list[Document]:
    """The documents without later copies of the same text, in their order."""
    seen: set[bytes] = set()
    kept = []
    for document in documents:
        key = fingerprint(document.text)
        if key not in seen:
            seen.add(key)
            kept.append(document)
    return kept
