"""Summary quality from the reference summary and the source: coverage and faithfulness, thousands of texts a second.

A text's facts are its content words (stems), its names and numbers (these count twice), and its pairs of neighbouring
content words within a sentence.  Another text supports a word that it contains, and a pair whose words it contains in
one sentence and in this order: swapped names and mixed sentences, the errors that the paper saw, lose their pairs.

    coverage      share of the reference's facts that the summary supports
    faithfulness  facts of the summary that the source supports / the larger of the numbers of facts of summary and
                  reference; a repeated pair counts each time in the denominator, but once in the numerator
    score         (coverage + 2 · faithfulness) / 3

An empty summary scores 0.  Repeating or inventing gains nothing, and loses faithfulness once the summary has more facts
than the reference.  Faithfulness weighs more because the paper's labellers were instructed to
penalise inaccuracy, not copying: so copying the source pays, as it did with them; `summary_nocopy` penalises it.

Limits: grammar is ignored, so a heap of the right words does well; so is meaning (a synonym counts as an invention, a
`not` is overlooked); of the source only the part in the query counts; the reference covers itself by definition.  The
whole measure is ours.
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
COPYING = 0.5  # ours: the penalty of a fully copied text, enough to rank copying below the references
SPAN = 5  # ours: words in a row that make a copy; shorter ones are idioms and names

Fact = tuple[str, ...]  # a word, a pair of words, or ("", name or number)


class Reading(NamedTuple):
    """`facts`: how often a text states each; `places`: per word and sentence number, its first and last position."""

    facts: Counter[Fact]
    places: dict[str, dict[int, tuple[int, int]]]

    def supports(self, fact: Fact) -> bool:
        """Whether this text has the word, or the two words in one sentence and in this order."""
        places = [self.places.get(word, {}) for word in fact if word]
        if len(places) == 1:
            return bool(places[0])
        first, second = places
        return any(number in second and start < second[number][1] for number, (start, _) in first.items())


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
    facts = read(reference).facts
    return sum(map(read(summary).supports, facts)) / max(len(facts), 1)


def faithfulness(summary: str, source: str, reference: str) -> float:
    """Facts of the summary that the source supports, over the larger of the fact counts of summary and reference."""
    facts = read(summary).facts
    return sum(map(read(source).supports, facts)) / max(facts.total(), len(read(reference).facts), 1)


def copied(summary: str, source: str) -> float:
    """Share of the summary's words that stand in spans of `SPAN` or more words of the source; case is ignored."""
    tokens, spans = words(summary), _spans(source)
    inside = np.zeros(len(tokens) + SPAN, bool)
    for i, span in enumerate(zip(*(tokens[k:] for k in range(SPAN)), strict=False)):
        if span in spans:
            inside[i : i + SPAN] = True
    return float(inside.sum()) / max(len(tokens), 1)


@lru_cache(512)
def _spans(source: str) -> set[tuple[str, ...]]:
    tokens = words(source)
    return set(zip(*(tokens[k:] for k in range(SPAN)), strict=False))


@dataclass(frozen=True, slots=True)
class SummaryLabeller:
    """`references`: the reference summary of each query; `copying`: the penalty of a fully copied text."""

    references: dict[str, str]
    copying: float = 0.0

    def score(self, queries: list[str], responses: list[str], /) -> np.ndarray:
        """`[texts]` scores in −copying … 1, float64; raises PreflabError for a query without a reference summary."""
        return np.array([self._score(*pair) for pair in zip(queries, responses, strict=True)], np.float64)

    def _score(self, query: str, response: str) -> float:
        reference = reference_of(self.references, query)
        quality = (1 - FAITHFULNESS) * coverage(response, reference)
        quality += FAITHFULNESS * faithfulness(response, query, reference)
        return quality - (self.copying * copied(response, query) if self.copying else 0.0)


def reference_of(references: dict[str, str], query: str) -> str:
    """The reference summary of `query`; raises PreflabError if there is none."""
    if query not in references:
        raise PreflabError(
            f"labeller.scorer=summary: none of the {len(references)} reference summaries is of the query "
            f"{query[:60]!r}; it must be a query in the files of the stage prepare, unchanged"
        )
    return references[query]


def references(queries: Path) -> dict[str, str]:
    """The reference summary of each query of all splits, the first where a query occurs twice.

    Raises PreflabError if a query has none.
    """
    by_query: dict[str, str] = {}
    for file in sorted(queries.glob("*.parquet")):
        for row, (query, reference) in enumerate(load_texts(queries, file.stem)):
            if reference is None:
                raise PreflabError(
                    f"{file}: row {row} has no reference summary, and labeller.scorer=summary needs "
                    "one of each query; take a task and corpus with reference summaries, or another labeller"
                )
            by_query.setdefault(query, reference)
    return by_query


def load(queries: Path) -> SummaryLabeller:
    """Copying costs nothing: the paper's labellers were not instructed to penalise it.

    Raises PreflabError if a query has no reference summary.
    """
    return SummaryLabeller(references(queries))
