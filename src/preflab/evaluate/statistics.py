"""Win rates by majority of noisy votes, and the bootstrap of every interval that is printed.  Pure numpy.

The bootstrap (ours; Owen 2007, the pigeonhole bootstrap): seeds share their contexts, so a resample draws seeds and,
for all of them alike, contexts, both with replacement.  The variance of a mean of S resampled seeds is (S − 1)/S of
what it should be: the seeds' deviations are widened by √(S/(S − 1)).  One seed shows no spread between seeds, and the
interval holds for that seed alone.  Tables of equal size are resampled by the same draws, in every process.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import floor, inf, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

RESAMPLES = 20_000  # so that the 0.01 % tail, which many claims of many checks ask for, still holds two of them
LEVEL = 0.95  # of the intervals that tables and claims print
_BLOCK = 500  # resamples at a time: their counts and the sums stay in the processor's cache


class Interval(NamedTuple):
    """A mean and the ends of its interval."""

    mean: float
    low: float
    high: float


class Votes(NamedTuple):
    """Single votes on pairs of responses."""

    for_a: Booleans  # [votes, contexts] A was chosen
    same: Booleans  # [contexts] equal scores: the same text, which no vote can tell apart


def cast(judge_a: ArrayLike, judge_b: ArrayLike, tau: float, votes: int, seed: int) -> Votes:
    """Noisy votes on each context's pair: A with probability σ((a − b)/τ).

    `judge_a`, `judge_b`: `[contexts]` scores of the judge; τ = 0 is a judge without noise.  `seed` fixes the votes;
    swapping A and B gives the complement.
    """
    gap = np.asarray(judge_a, np.float64) - np.asarray(judge_b, np.float64)  # [contexts]
    rng = np.random.default_rng(seed)
    noise = rng.logistic(size=(votes, *gap.shape)) * tau  # σ(x/τ) = P(τ · logistic < x)
    turn = np.where(gap < 0, -1, 1)  # the noise is symmetric: turned with the pair, so that A and B can be swapped
    return Votes(gap + noise * turn > 0, gap == 0)


def majority(judge_a: ArrayLike, judge_b: ArrayLike, tau: float, votes: int, seed: int) -> Floats:
    """Which side wins each context by the majority of `votes` (odd): 1 = A, 0 = B, ½ = equal scores. [contexts]

    Paper 3.1: three labellers per pair, the majority wins.  Each vote is for A with probability σ((a − b)/τ),
    the labeller's choice rule for two options; equal scores mean the same text, which no vote can tell apart.
    τ = 0 is a judge without noise.  `seed` fixes the votes; swapping A and B gives the complement.
    Raises ValueError for an even number of votes.
    """
    if votes % 2 == 0:
        raise ValueError(f"votes={votes}: must be odd")
    ballots = cast(judge_a, judge_b, tau, votes, seed)
    return np.where(ballots.same, 0.5, (ballots.for_a.sum(0) > votes / 2).astype(np.float64))


class Resamples(NamedTuple):
    """A statistic and its values on RESAMPLES resamples."""

    value: float
    draws: Floats  # sorted, [RESAMPLES − lost]
    lost: int = 0  # resamples without a value, such as a ratio to nothing: they count against every statement

    def interval(self, alpha: float = 1 - LEVEL) -> Interval:
        """The percentile interval at 1 − `alpha`, by order statistics.

        A bound lies outside exactly if twice its p-value is `alpha` or less.
        """
        number = len(self.draws) + self.lost + 1
        tail = max(1, floor(alpha / 2 * number * (1 + 1e-12)) - self.lost)
        return Interval(self.value, float(self.draws[tail - 1]), float(self.draws[-tail]))


def bootstrap(values: ArrayLike, low: float = -inf, high: float = inf) -> Interval:
    """Mean of `values` [contexts] or [seeds, contexts] and its interval at LEVEL.

    `low`, `high`: what no mean can pass, 0 and 1 for shares; widened seeds may.  Raises ValueError for no values.
    """
    return resample([np.atleast_2d(np.asarray(values, np.float64))], lambda mean: np.clip(mean, low, high)).interval()


def bootstrap_ratio(part: ArrayLike, whole: ArrayLike) -> Interval:
    """Σ `part` / Σ `whole`, a share, and its interval at LEVEL; both [contexts] or [seeds, contexts].

    For shares of things of which a context has few or none, such as the novel sentences of all sentences.  Raises
    ValueError where the whole is 0.
    """
    parts, wholes = (np.atleast_2d(np.asarray(values, np.float64)) for values in (part, whole))
    if not wholes.sum() > 0:
        raise ValueError("bootstrap_ratio of nothing: the whole is 0")
    return resample([parts, wholes], lambda p, w: np.clip(np.where(w > 0, p / w, np.nan), 0, 1)).interval()


def resample(tables: Sequence[Floats], combine: Callable[..., Floats]) -> Resamples:
    """`combine(mean of table 1, …)` of `tables` [seeds, contexts], all of one shape, and the same of their resamples.

    `combine` takes numbers and arrays [RESAMPLES]; resamples where it is not finite are lost.  Raises ValueError for
    empty tables.
    """
    stacked = np.stack([np.asarray(table, np.float64) for table in tables])  # [tables, seeds, contexts]
    if stacked.size == 0:
        raise ValueError("bootstrap of no values")
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(combine(*stacked.mean((1, 2))))
        draws = np.asarray(combine(*resampled_means(stacked)))
    finite = np.sort(draws[np.isfinite(draws)])
    return Resamples(value, finite, len(draws) - len(finite))


def resampled_means(tables: Floats) -> Floats:
    """Means over seeds and contexts of `tables` [tables, seeds, contexts] in each resample. [tables, RESAMPLES]

    Sums come before all else: of wins (multiples of ½) they are exact, whatever the order in which a machine adds.
    """
    number, seeds, contexts = tables.shape
    columns = np.ascontiguousarray(tables.reshape(number * seeds, contexts).T)
    counts, sums = _counts(contexts, stream=0), np.empty((RESAMPLES, number * seeds))
    for start in range(0, RESAMPLES, _BLOCK):
        block = slice(start, start + _BLOCK)
        np.matmul(counts[block].astype(np.float64), columns, out=sums[block])
    by_seed = sums.reshape(RESAMPLES, number, seeds) / contexts
    centre = by_seed.mean(2, keepdims=True)
    wide = centre + (by_seed - centre) * sqrt(seeds / max(1, seeds - 1))
    weights = _counts(seeds, stream=1).astype(np.float64) / seeds  # [RESAMPLES, seeds]
    means: Floats = np.einsum("rs,rts->tr", weights, wide)
    return means


@lru_cache(maxsize=4)
def _counts(size: int, stream: int) -> NDArray[np.uint8]:
    """Number of times that each of `size` items is drawn in each resample. [RESAMPLES, size]"""
    rng, block = np.random.default_rng([stream, size]), 2_000
    counts = np.empty((RESAMPLES, size), np.uint8)
    for start in range(0, RESAMPLES, block):
        draws = rng.integers(size, size=(block, size)) + np.arange(block)[:, None] * size
        counts[start : start + block] = np.bincount(draws.ravel(), minlength=block * size).reshape(block, size)
    return counts
