"""Numbers of one policy on held-out queries: scores with standard errors, KL, length, distinct n-grams, ROUGE."""

import math
from collections.abc import Sequence

import numpy as np


def mean_and_se(name: str, values: np.ndarray) -> dict[str, float]:
    """`{name: mean, name_se: standard error of the mean}` over contexts."""
    return {name: float(values.mean()), f"{name}_se": float(values.std(ddof=1) / math.sqrt(len(values)))}


def distinct(texts: Sequence[str], n: int) -> float:
    """Different word n-grams over all word n-grams of all texts (Li et al. 2016), lower-cased; 0 if there are none."""
    grams = [tuple(words[i : i + n]) for words in (t.lower().split() for t in texts) for i in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def rouge(responses: Sequence[str], references: Sequence[str | None]) -> dict[str, float]:
    """Mean ROUGE F-measures (stemmed; ROUGE-L over the whole text) where there is a reference; else {}."""
    pairs = [(r, ref) for r, ref in zip(responses, references, strict=True) if ref]
    if not pairs:
        return {}
    from rouge_score.rouge_scorer import RougeScorer

    kinds = ["rouge1", "rouge2", "rougeL"]
    scorer = RougeScorer(kinds, use_stemmer=True)
    scores = [scorer.score(ref, r) for r, ref in pairs]
    return {kind: float(np.mean([s[kind].fmeasure for s in scores])) for kind in kinds}


def vader(texts: list[str]) -> np.ndarray:
    """`[texts]` compound scores of VADER in −1 … 1: a lexicon that has seen none of the reviews."""
    from preflab.labellers.vader import Vader

    return Vader().score(texts)
