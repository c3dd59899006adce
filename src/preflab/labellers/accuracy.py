"""The judge of summaries whose labeller is summary.py: ROUGE-1 with the reference, and supported items (ours).

    score = ROUGE-1 (F-measure) with the reference + share of the summary's items that the source supports

Items are numbers, names and pairs of words (text/faithfulness.py, with its limits).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from preflab.labellers import summary
from preflab.text import faithfulness


@dataclass(frozen=True, slots=True)
class AccuracyLabeller:
    """`references`: the reference summary of each query."""

    references: dict[str, str]

    def score(self, queries: list[str], responses: list[str], /) -> np.ndarray:
        """`[texts]` scores in 0 … 2, float64; raises PreflabError for a query without a reference summary."""
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer(["rouge1"], use_stemmer=True)
        references = [summary.reference_of(self.references, query) for query in queries]
        covered = [scorer.score(*pair)["rouge1"].fmeasure for pair in zip(references, responses, strict=True)]
        support = faithfulness.support(responses, queries)
        return np.array(covered, np.float64) + support.found / np.maximum(support.items, 1)


def load(queries: Path) -> AccuracyLabeller:
    """With the references in the folder of the stage `prepare`; raises PreflabError if a query has none."""
    return AccuracyLabeller(summary.references(queries))
