"""Numbers of one policy on held-out queries: means with standard errors, distinct n-grams, measures of summaries."""

import math
from collections.abc import Sequence

import numpy as np

from preflab.text import copying, faithfulness, rouge


def mean_and_se(name: str, values: np.ndarray) -> dict[str, float]:
    """`{name: mean, name_se: standard error of the mean}` over contexts; `values` `[contexts]`."""
    return {name: float(values.mean()), f"{name}_se": float(values.std(ddof=1) / math.sqrt(len(values)))}


def distinct(texts: Sequence[str], n: int) -> float:
    """Different word n-grams over all word n-grams of all texts (Li et al. 2016), lower-cased; 0 if there are none."""
    grams = [tuple(words[i : i + n]) for words in (t.lower().split() for t in texts) for i in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def of_summaries(texts: list[str], sources: list[str], references: list[str]) -> dict[str, np.ndarray]:
    """The measures of Tables 4, 7, 8 and Figure 5 for each summary, `[summaries]` in 0 … 1.

    ROUGE: F-measures, stemmed, R-L over sentences (rouge.protocol); `copied_sentences`: the share of its sentences that
    occur in the source, NaN if it has none; `supported`: whether the source supports all of them (faithfulness.py);
    `copies_start`: whether it begins with the source's first three words.
    """
    scores = rouge.score(texts, references)
    novel = copying.novel(texts, sources)[copying.SENTENCES]
    return {
        **scores,
        "copied_sentences": np.where(novel.whole > 0, 1 - novel.part / np.maximum(novel.whole, 1), np.nan),
        "supported": faithfulness.support(texts, sources).accurate.astype(float),
        "copies_start": copying.same_start(texts, sources).astype(float),
    }


def vader(texts: list[str]) -> np.ndarray:
    """`[texts]` compound scores of VADER in −1 … 1: a lexicon that was not fitted to the reviews."""
    from preflab.labellers.vader import VaderLabeller

    return VaderLabeller().score(texts, texts)
