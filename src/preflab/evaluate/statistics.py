"""Win rates by majority of noisy votes, and bootstrap intervals.  Pure numpy."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


class Interval(NamedTuple):
    """A mean and the ends of its interval."""

    mean: float
    low: float
    high: float


class Votes(NamedTuple):
    """Single votes on pairs of responses, each pair shown in an order of its own to each voter."""

    for_a: Booleans  # [votes, contexts] A was chosen
    a_first: Booleans  # [votes, contexts] A was shown first
    same: Booleans  # [contexts] equal scores: the same text, which no vote can tell apart


def cast(judge_a: ArrayLike, judge_b: ArrayLike, tau: float, votes: int, seed: int, bias: float = 0.0) -> Votes:
    """Noisy votes on each context's pair: A with probability σ((a − b ± bias)/τ).

    `judge_a`, `judge_b`: `[contexts]` scores of the judge; τ = 0 is a judge without noise.  `bias`, in the unit of the
    scores, is added to whatever is shown first; the order is drawn anew for each vote, so a bias costs agreement and
    shows in who was first, but favours neither policy.  `seed` fixes the votes; swapping A and B gives the complement.
    """
    gap = np.asarray(judge_a, np.float64) - np.asarray(judge_b, np.float64)  # [contexts]
    rng = np.random.default_rng(seed)
    noise = rng.logistic(size=(votes, *gap.shape)) * tau  # σ(x/τ) = P(τ · logistic < x)
    first = np.where(rng.random(noise.shape) < 0.5, 1.0, -1.0)  # +1: A is shown first
    turn = np.where(gap < 0, -1, 1)  # both are symmetric: turned with the pair, so that A and B can be swapped
    return Votes(gap + noise * turn + bias * first * turn > 0, first * turn > 0, gap == 0)


def majority(judge_a: ArrayLike, judge_b: ArrayLike, tau: float, votes: int, seed: int, bias: float = 0.0) -> Floats:
    """Who wins each context by the majority of `votes` (odd): 1 = A, 0 = B, ½ = equal scores. [contexts]

    Paper 3.1: three labellers per pair, the majority wins.  Each vote is for A with probability σ((a − b)/τ),
    the labeller's choice rule for two options; equal scores mean the same text, which no vote can tell apart.
    τ = 0 is a judge without noise.  `seed` fixes the votes; swapping A and B gives the complement.  `bias`: see `cast`.
    """
    if votes % 2 == 0:
        raise ValueError(f"votes={votes}: must be odd")
    found = cast(judge_a, judge_b, tau, votes, seed, bias)
    return np.where(found.same, 0.5, (found.for_a.sum(0) > votes / 2).astype(np.float64))


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
    draws = resample(seeds, contexts, resamples, seed)
    low, high = np.quantile(draws.sums(table) / table.size, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(table.mean()), float(low), float(high))


def bootstrap_ratio(
    part: ArrayLike, whole: ArrayLike, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Σ `part` / Σ `whole` and its interval, both [contexts] or [seeds, contexts], resampled as in `bootstrap`.

    For shares of things of which a context has few or none, such as the novel sentences of all sentences.
    """
    parts, wholes = (np.atleast_2d(np.asarray(values, np.float64)) for values in (part, whole))
    if not wholes.sum() > 0:
        raise ValueError("bootstrap_ratio of nothing: the whole is 0")
    seeds, contexts = wholes.shape
    draws = resample(seeds, contexts, resamples, seed)
    sums = draws.sums(wholes)
    shares = draws.sums(parts)[sums > 0] / sums[sums > 0]  # a small sample may draw no whole at all
    low, high = np.quantile(shares, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(parts.sum() / wholes.sum()), float(low), float(high))


class Draws(NamedTuple):
    """How often each resample of the pigeonhole bootstrap holds each seed and each context."""

    seeds: Floats  # [resamples, seeds]
    contexts: Floats  # [resamples, contexts]

    def sums(self, table: Floats) -> Floats:
        """Sum over each resample of a table [seeds, contexts]. [resamples]"""
        total: Floats = ((self.seeds @ table) * self.contexts).sum(1)
        return total


def resample(seeds: int, contexts: int, resamples: int, seed: int) -> Draws:
    """`resamples` draws of seeds and, independently of them, of contexts, with replacement."""
    rng = np.random.default_rng(seed)
    seed_counts = _counts(rng.integers(seeds, size=(resamples, seeds)), seeds)
    return Draws(seed_counts, _counts(rng.integers(contexts, size=(resamples, contexts)), contexts))


def _counts(draws: NDArray[np.int64], size: int) -> Floats:
    """How often each of `size` items was drawn in each row. [resamples, size]"""
    rows = np.arange(len(draws))[:, None] * size
    return np.bincount((draws + rows).ravel(), minlength=len(draws) * size).reshape(len(draws), size).astype(np.float64)
