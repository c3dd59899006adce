"""ROUGE (Lin 2004) by the package rouge-score, and its protocol in words (Table 4).

The package lower-cases, keeps only runs of a–z and 0–9, and stems words of more than three letters (Porter).  Scores
are shares, 0 … 1; the paper prints them times 100.  The paper names no protocol.  Its R-L is 0.91 of its R-1 (lead-3),
as R-L over sentences (rougeLsum) is; over the whole text (rougeL) it is about 0.65 of R-1 on such articles.
"""

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from preflab.text.words import sentences

KINDS = ("rouge1", "rouge2", "rougeLsum")  # ROUGE-1, 2 and L by the package's names


def score(summaries: Sequence[str], references: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """F-measures of each summary against the one reference of its context, by kind, each `[summaries]` in 0 … 1.

    An empty summary scores 0.  Raises ValueError unless there is one reference a summary.
    """
    from rouge_score.rouge_scorer import RougeScorer

    def lines(text: str) -> str:  # rougeLsum takes a line as a sentence; the others see no difference
        return "\n".join(sentences(text))

    scorer = RougeScorer(list(KINDS), use_stemmer=True)
    scores = [
        scorer.score(lines(reference), lines(summary)) for summary, reference in zip(summaries, references, strict=True)
    ]
    return {kind: np.array([pair[kind].fmeasure for pair in scores], np.float64) for kind in KINDS}


def protocol(truncation: str, temperature: float | None) -> str:
    """How summaries were made and scored, for a caption: what a reader needs to compare the numbers with others'.

    `truncation`: where summaries end, "cut at the first newline after 55 tokens"; `temperature` of sampling, None where
    nothing was sampled (lead-3, references).
    """
    package, splitter = version("rouge-score"), version("sentencex")
    sampled = "not sampled" if temperature is None else f"sampled at T = {temperature:g}"
    return (
        f"ROUGE F-measures by rouge-score {package}, Porter-stemmed; R-L over the sentences of a summary "
        f"(rougeLsum, split by sentencex {splitter}); summaries {sampled}, {truncation}"
    )
