"""ROUGE (Lin 2004) by the package rouge-score, its protocol in words, and the baseline lead-3 (Table 4).

The package lower-cases and keeps only runs of a–z and 0–9.  Scores are shares, 0 … 1; the paper prints them times 100.
"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

import numpy as np

from preflab.evaluate.statistics import Floats, Interval, bootstrap
from preflab.text.sentences import sentences

AVERAGE = "rouge_avg"  # R-AVG: the mean of ROUGE-1, 2 and L


class Protocol(NamedTuple):
    """How summaries were made and scored: what a reader needs to compare the numbers with others'.

    The paper names no protocol.  Its R-L is 0.91 of its R-1 (lead-3), as that over sentences is; over the whole text
    R-L is about 0.65 of R-1 on such articles.
    """

    truncation: str  # where summaries end: "cut at the first newline after 55 tokens"
    temperature: float | None  # of sampling; None: not sampled (lead-3, references)
    stem: bool = True  # Porter's stemmer on words of more than three letters
    split: bool = True  # R-L of summaries over sentences (rougeLsum); else over the whole text (rougeL)

    @property
    def kinds(self) -> tuple[str, str, str]:
        """ROUGE-1, 2 and L by the package's names."""
        return ("rouge1", "rouge2", "rougeLsum" if self.split else "rougeL")

    def describe(self) -> str:
        """One line for a caption."""
        longest = (
            f"R-L over the sentences of a summary (rougeLsum, split by sentencex {version('sentencex')})"
            if self.split
            else "R-L over the text as one sentence (rougeL)"
        )
        sampled = "not sampled" if self.temperature is None else f"sampled at T = {self.temperature:g}"
        return (
            f"ROUGE F-measures by rouge-score {version('rouge-score')}, "
            f"{'Porter-stemmed' if self.stem else 'not stemmed'}; {longest}; "
            f"summaries {sampled}, {self.truncation}"
        )


class Scores(NamedTuple):
    """Of one seed; each is a map of `Protocol.kinds` to `[contexts]`."""

    precision: dict[str, Floats]
    recall: dict[str, Floats]
    f: dict[str, Floats]


def lead3(article: str) -> str:
    """The first three sentences, a space between them, of an article cleaned of by-lines and datelines (Table 4)."""
    return " ".join(sentences(article)[:3])


def score(summaries: Sequence[str], references: Sequence[str], protocol: Protocol) -> Scores:
    """Each summary against the one reference of its context; an empty summary scores 0."""
    from rouge_score.rouge_scorer import RougeScorer

    def lines(text: str) -> str:  # rougeLsum takes a line as a sentence; the others see no difference
        return "\n".join(sentences(text))

    scorer = RougeScorer(list(protocol.kinds), use_stemmer=protocol.stem)
    found = [
        scorer.score(lines(reference), lines(summary)) for summary, reference in zip(summaries, references, strict=True)
    ]
    table = {kind: np.array([pair[kind] for pair in found], np.float64).reshape(-1, 3) for kind in protocol.kinds}
    return Scores(*({kind: values[:, column] for kind, values in table.items()} for column in range(3)))


def average(f: dict[str, Floats]) -> Floats:
    """R-AVG of each context, from `Scores.f`. [contexts]"""
    return np.mean(list(f.values()), axis=0)


def intervals(seeds: Sequence[Scores]) -> dict[str, Interval]:
    """Mean F-measure by kind, and R-AVG under `AVERAGE`, over the scores of all seeds on the same contexts."""
    tables = {kind: np.stack([scores.f[kind] for scores in seeds]) for kind in seeds[0].f}
    tables[AVERAGE] = np.stack([average(scores.f) for scores in seeds])
    return {kind: bootstrap(table) for kind, table in tables.items()}
