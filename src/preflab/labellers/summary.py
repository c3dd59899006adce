"""Summary quality from the reference summary and the source: coverage and faithfulness, thousands of texts a second.

A text's facts are its content words (stems), its names and numbers (these count twice), and its pairs of neighbouring
content words within a sentence.  Another text supports a word that it has, and a pair whose words it has in one
sentence and in this order: swapped names and mixed sentences, the errors that the paper saw, lose their pairs.

    coverage      share of the reference's facts that the summary supports
    faithfulness  facts of the summary that the source supports / the larger of the numbers of facts of summary and
                  reference; a pair that is repeated counts each time below and once above
    score         (coverage + 2 · faithfulness) / 3

Who says nothing scores 0, and one word as its one or two facts of all that the reference has; who repeats a sentence
gains nothing, and loses faithfulness where that makes more facts than the reference's; who invents loses it.
Faithfulness weighs more because the paper's people were told to penalise inaccuracy, not copying: so copying the source
pays, as it did with them, and `summary_nocopy` takes that away.

Limits: grammar is not read, so a heap of the right words does well; nor is meaning (a synonym is an invention, a `not`
is not seen); a source counts as far as the query shows it; the reference covers itself by definition.
"""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from preflab.corpora.query_files import load_texts
from preflab.errors import PreflabError
from preflab.text.words import cased_words, is_content, sentences, stem, words

FAITHFULNESS = 2 / 3  # ours: its weight in the score, the rest is coverage
COPYING = 0.5  # ours: what a text loses that is copied as a whole, enough to rank copying below the references
SPAN = 5  # ours: words in a row that make a copy; shorter ones are idioms and names

Fact = tuple[str, ...]  # a word, a pair of words, or ("", name or number)


class Reading(NamedTuple):
    """What a text says: how often each fact; and of each word, by sentence, its first and last place in there."""

    facts: Counter[Fact]
    places: dict[str, dict[int, tuple[int, int]]]

    def supports(self, fact: Fact) -> bool:
        """Whether this text has the word, or the two words in one sentence and in this order."""
        found = [self.places.get(word, {}) for word in fact if word]
        if len(found) == 1:
            return bool(found[0])
        first, second = found
        return any(s in second and at[0] < second[s][1] for s, at in first.items())


@lru_cache(512)  # a query's responses come together
def read(text: str) -> Reading:
    """The facts of a text and where its words are."""
    single: dict[Fact, None] = {}  # a set in a fixed order
    pairs: Counter[Fact] = Counter()
    places: dict[str, dict[int, tuple[int, int]]] = {}
    for number, sentence in enumerate(sentences(text)):
        content = []
        for word in cased_words(sentence):
            lower = word.lower()
            if is_content(lower):
                content.append(stem(lower))
                is_name = word[0].isupper() and not sentence.startswith(word)  # every sentence begins with a capital
                single |= {(content[-1],): None} | ({("", content[-1]): None} if is_name or word[0].isdigit() else {})
        pairs.update(pairwise(content))
        for place, word in enumerate(content):
            first, _ = places.setdefault(word, {}).get(number, (place, place))
            places[word][number] = (first, place)
    return Reading(Counter(single.keys()) + pairs, places)


def coverage(summary: str, reference: str) -> float:
    """Share of the reference's different facts that the summary supports; 0 for a reference without any."""
    wanted, given = read(reference).facts, read(summary)
    return sum(map(given.supports, wanted)) / max(len(wanted), 1)


def faithfulness(summary: str, source: str, reference: str) -> float:
    """Share of the summary's facts that the source supports, as if it had no fewer than the reference."""
    said, known = read(summary).facts, read(source)
    return sum(map(known.supports, said)) / max(said.total(), len(read(reference).facts), 1)


def copied(summary: str, source: str) -> float:
    """Share of the summary's words that stand in spans of `SPAN` or more words of the source; case is ignored."""
    own, spans = words(summary), _spans(source)
    inside = np.zeros(len(own) + SPAN, bool)
    for i, span in enumerate(zip(*(own[k:] for k in range(SPAN)), strict=False)):
        if span in spans:
            inside[i : i + SPAN] = True
    return float(inside.sum()) / max(len(own), 1)


@lru_cache(512)
def _spans(source: str) -> set[tuple[str, ...]]:
    known = words(source)
    return set(zip(*(known[k:] for k in range(SPAN)), strict=False))


@dataclass(frozen=True, slots=True)
class Summary:
    """`references`: the reference summary of each query; `copying`: what a copied text loses."""

    references: dict[str, str]
    copying: float = 0.0

    def score(self, queries: list[str], responses: list[str], /) -> np.ndarray:
        """`[texts]` scores in −copying … 1, float64."""
        return np.array([self._score(*pair) for pair in zip(queries, responses, strict=True)], np.float64)

    def _score(self, query: str, response: str) -> float:
        reference = reference_of(self.references, query)
        quality = (1 - FAITHFULNESS) * coverage(response, reference)
        quality += FAITHFULNESS * faithfulness(response, query, reference)
        return quality - (self.copying * copied(response, query) if self.copying else 0.0)


def reference_of(references: dict[str, str], query: str) -> str:
    """Raises if the query is none of them."""
    if query not in references:
        raise PreflabError(
            f"labeller.scorer=summary: none of the {len(references)} reference summaries is of the query "
            f"{query[:60]!r}; it must be a query of the stage prepare as it stands in its files"
        )
    return references[query]


def references(queries: Path) -> dict[str, str]:
    """The reference summary of each query of all splits, the first where one occurs twice; raises if one has none."""
    found: dict[str, str] = {}
    for file in sorted(queries.glob("*.parquet")):
        for row, (query, reference) in enumerate(load_texts(queries, file.stem)):
            if reference is None:
                raise PreflabError(
                    f"{file}: row {row} has no reference summary, and labeller.scorer=summary needs "
                    "one of each query; take a task and corpus with reference summaries, or another labeller"
                )
            found.setdefault(query, reference)
    return found


def load(queries: Path) -> Summary:
    """Copying costs nothing: the paper's people were not told to penalise it."""
    return Summary(references(queries))
