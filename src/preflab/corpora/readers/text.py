"""Plain text, such as books: each file is cut to passages, or with `corpus.passage=null` is one document."""

from collections.abc import Iterator
from pathlib import Path

from preflab.corpora import Document
from preflab.corpora.readers import sources
from preflab.errors import PreflabError
from preflab.settings.data import CorpusSettings
from preflab.text.cleaning import CLEANERS, passages
from preflab.text.files import lines


def read(path: Path, corpus: CorpusSettings) -> Iterator[Document]:
    """The document's `source` is the file's name without suffix."""
    clean = CLEANERS[corpus.clean]
    for source in sources(path, corpus.files, (".txt", ".text", ".md")):
        text = clean("".join(line for _, line in lines(source)))
        if "\0" in text:
            raise PreflabError(f"{source.name}: holds zero bytes; expected text in UTF-8")
        parts = [text] if corpus.passage is None else passages([text], corpus.passage)
        for part in parts:
            yield Document(part, None, source.stem)
