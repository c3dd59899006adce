"""One reader of text sources a module; its name is a choice of `corpus.reader`."""

from collections.abc import Sequence
from pathlib import Path

from preflab.errors import PreflabError
from preflab.text.files import SourceFile, listing


def sources(path: Path, patterns: Sequence[str], suffixes: Sequence[str]) -> list[SourceFile]:
    """The files of a corpus, in the order of their paths; `patterns` (`corpus.files`) are of paths inside of `path`.

    Raises PreflabError if no file fits, and as `text.files.listing` does.
    """
    files = listing(path, suffixes, patterns).sources
    if not files:
        raise PreflabError(
            f"{path}: no file in there that ends with {', '.join(suffixes)} and fits corpus.files={list(patterns)}; "
            "name those to read, or another corpus.reader"
        )
    return files
