"""Win rates by majority of noisy votes, and bootstrap intervals.  Pure numpy."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """A mean and the ends of its interval."""

    mean: float
    low: float
    high: float


def majority(judge_a: ArrayLike, judge_b: ArrayLike, tau: float, votes: int, seed: int) -> Floats:
    """Who wins each context by the majority of `votes` (odd): 1 = A, 0 = B, ½ = equal scores. [contexts]

    Paper 3.1: three labellers per pair, the majority wins.  Each vote is for A with probability σ((a − b)/τ),
    the labeller's choice rule for two options; equal scores mean the same text, which no vote can tell apart.
    τ = 0 is a judge without noise.  `seed` fixes the votes; swapping A and B gives the complement.
    """
    if votes % 2 == 0:
        raise ValueError(f"votes={votes}: must be odd")
    gap = np.asarray(judge_a, np.float64) - np.asarray(judge_b, np.float64)  # [contexts]
    noise = np.random.default_rng(seed).logistic(size=(votes, *gap.shape)) * tau  # σ(x/τ) = P(τ · logistic < x)
    noise *= np.where(gap < 0, -1, 1)  # symmetric noise, turned with the pair, so that A and B can be swapped
    for_a = (gap + noise > 0).sum(0)
    return np.where(gap == 0, 0.5, (for_a > votes / 2).astype(np.float64))


def bootstrap(values: ArrayLike, resamples: int = 2000, seed: int = 0, level: float = 0.95) -> Interval:
    """Mean and percentile bootstrap interval of `values`, [contexts] or [seeds, contexts].

    Seeds share their contexts, so a resample draws seeds and, for all of them alike, contexts, both with
    replacement (Owen 2007, the pigeonhole bootstrap).  Two seeds say little about the spread between seeds:
    the interval is then that of the contexts, widened.
    """
    table = np.atleast_2d(np.asarray(values, np.float64))  # [seeds, contexts]
    if table.size == 0:
        raise ValueError("bootstrap of no values")
    seeds, contexts = table.shape
    rng = np.random.default_rng(seed)
    seed_counts = _counts(rng.integers(seeds, size=(resamples, seeds)), seeds)  # [resamples, seeds]
    context_counts = _counts(rng.integers(contexts, size=(resamples, contexts)), contexts)  # [resamples, contexts]
    means = ((seed_counts @ table) * context_counts).sum(1) / table.size  # [resamples]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(table.mean()), float(low), float(high))


def _counts(draws: NDArray[np.int64], size: int) -> Floats:
    """How often each of `size` items was drawn in each row. [resamples, size]"""
    rows = np.arange(len(draws))[:, None] * size
    return np.bincount((draws + rows).ravel(), minlength=len(draws) * size).reshape(len(draws), size).astype(np.float64)
