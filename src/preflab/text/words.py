"""English text as words, for the labellers that count them.  All of it is ours where no source is named."""

import re
from functools import cache, lru_cache
from typing import Any

_WORD = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+(?:['’][^\W_]+)*")  # 1,000 is one word, and so is don't
_SENTENCE = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+|\n+")
# Words with a meaning of their own in scikit-learn's list (its flaws: Nothman, Qin & Yurchak 2018).
_NO_STOP_WORDS = (
    "amount bill bottom cry describe detail empty fill fire full interest mill mine move serious show side sincere "
    "system thick thin top"
)


def sentences(text: str) -> list[str]:
    """Pieces that end with `.`, `!` or `?` before white space, or with a line; abbreviations end one too."""
    return [piece for piece in _SENTENCE.split(text) if piece and not piece.isspace()]


def cased(text: str) -> list[str]:
    """The words of a text, a genitive's `'s` cut off, typographic apostrophes made plain."""
    return [word.replace("’", "'").removesuffix("'s") for word in _WORD.findall(text)]


def words(text: str) -> list[str]:
    """`cased`, in lower case."""
    return cased(text.lower())


def is_content(word: str) -> bool:
    """Whether a lower-case word says something by itself: no stop word, contraction or single letter."""
    return word not in stop_words() and "'" not in word and (len(word) > 1 or word.isdigit())


@lru_cache(1 << 18)
def stem(word: str) -> str:
    """What `look`, `looks` and `looked` have in common (Porter 1980)."""
    return _stemmer().stem(word)


@cache
def stop_words() -> frozenset[str]:
    """Lower-case words that say nothing by themselves."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS) - set(_NO_STOP_WORDS.split())


@cache
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()
