"""A proxy of Table 8, where the authors judged of 30 summaries whether they make only statements that the source
supports.

A statement is a sentence.  Its items are its numbers, its capitalised words and its pairs of neighbouring content
words; an item is found if the source has the number or the word, or has both words (by their stems) in one sentence.
A statement counts as supported if all its numbers and capitalised words and at least half of its pairs are found.

Limits.  It sees words, not meaning.  Whatever is copied is supported, also when it misleads out of its context.  Names
that change places inside the source's own cast, a lost "not", or halves of two sentences in one mostly pass: the very
mistakes that the paper reports.  A paraphrase mostly fails, and so do numbers in other words ("five", 5): of 100
references of CNN/DM 30 pass, of the same references under another article none.  So it ranks policies that copy
alike; a rise of it beside a rise of copying is the same finding twice.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preflab.text.words import cased_words, is_number, numbers, sentences, stem, stop_words, words

Integers = NDArray[np.int64]
PAIRS = 0.5  # of a statement's pairs must be found; ours


class Support(NamedTuple):
    """Of each summary; all [summaries].  Shares by `statistics.bootstrap_ratio`: found/items, supported/statements."""

    found: Integers  # items that the source has
    items: Integers
    supported: Integers  # statements
    statements: Integers

    @property
    def accurate(self) -> NDArray[np.bool_]:
        """Whether the summary makes statements, and only supported ones. [summaries]"""
        return (self.statements > 0) & (self.supported == self.statements)

    def table8(self, items: int = 30) -> tuple[int, int]:
        """The paper's "26/30": how many of the first `items` summaries are accurate, and of how many."""
        return int(self.accurate[:items].sum()), min(items, len(self.accurate))


class _SourceFacts:
    """What a source has: its numbers, its words, and the sentences that each stem of a content word stands in."""

    def __init__(self, text: str) -> None:
        self.numbers = set(numbers(text))
        self.words = set(words(text))
        self.places: defaultdict[str, set[int]] = defaultdict(set)
        for place, sentence in enumerate(sentences(text)):
            for content in _content(sentence):
                self.places[content].add(place)

    def has(self, statement: str) -> tuple[list[bool], list[bool]]:
        """Which of the statement's numbers and capitalised words are found, and which of its pairs."""
        facts = [number in self.numbers for number in numbers(statement)]
        facts += [word.lower() in self.words for word in cased_words(statement) if _is_name(word)]
        stems = _content(statement)
        nowhere: set[int] = set()
        return facts, [bool(self.places.get(a, nowhere) & self.places.get(b, nowhere)) for a, b in pairwise(stems)]


def support(summaries: Sequence[str], sources: Sequence[str]) -> Support:
    """How much of each summary its source supports, by the rule above."""
    rows = []
    for summary, source in zip(summaries, sources, strict=True):
        facts_of_source = _SourceFacts(source)
        checked = [facts_of_source.has(statement) for statement in sentences(summary) if words(statement)]
        flags = [flag for facts, pairs in checked for flag in (*facts, *pairs)]
        passed = [all(facts) and sum(pairs) >= PAIRS * len(pairs) for facts, pairs in checked]
        rows.append((sum(flags), len(flags), sum(passed), len(passed)))
    return Support(*np.array(rows, np.int64).reshape(-1, 4).T)


def _content(text: str) -> list[str]:
    """The stems of the words that are neither stop words nor numbers, in their order."""
    return [stem(word) for word in words(text) if word not in stop_words() and not is_number(word)]


def _is_name(word: str) -> bool:
    """Capitalised, and no stop word such as the first of a sentence often is."""
    return word[0].isupper() and len(word) > 1 and word.lower() not in stop_words()
