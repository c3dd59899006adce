"""Estimates and how sure they are: p-values, intervals at any level, how much data would take them off a bound."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor, isfinite, sqrt
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from preflab.evaluate.statistics import Interval

Floats = NDArray[np.float64]

RESAMPLES = 20_000  # so that the 0.01 % tail, which many claims of many checks ask for, still holds two of them
BLOCK = 2_000  # resamples at a time, for memory
LOST = RESAMPLES // 2_000  # resamples that may have no value, such as none with a preamble
MOST_SEEDS = 1_000  # where the search for a number of seeds gives up


class Evidence(Protocol):
    """An estimate and how sure it is."""

    @property
    def value(self) -> float: ...

    def at_most(self, bound: float) -> float:
        """One-sided p-value of "the true value is `bound` or less"."""

    def at_least(self, bound: float) -> float:
        """The same of "`bound` or more"."""

    def interval(self, alpha: float) -> Interval:
        """The two-sided interval at 1 − `alpha`."""

    def needed(self, bound: float, alpha: float) -> dict[str, int | None]:
        """How much of each would take the interval off `bound`; None: no number of it alone would."""


@dataclass(frozen=True)
class Bootstrap:
    """Resampled values of a statistic of seeds and contexts."""

    value: float
    draws: Floats  # sorted, [RESAMPLES − lost]
    table: Floats  # [seeds, contexts] its linear part: the mean of this table varies as the statistic does
    unit: str = "contexts"  # what the columns of `table` are
    lost: int = 0  # resamples without a value: they count against every statement

    def at_most(self, bound: float) -> float:
        return float(np.searchsorted(self.draws, bound, "right") + self.lost + 1) / self._of

    def at_least(self, bound: float) -> float:
        return float(len(self.draws) - np.searchsorted(self.draws, bound, "left") + self.lost + 1) / self._of

    def interval(self, alpha: float) -> Interval:
        """Order statistics: a bound is left out of the interval exactly if twice its p-value is `alpha` or less."""
        tail = max(1, floor(alpha / 2 * self._of * (1 + 1e-12)) - self.lost)
        return Interval(self.value, float(self.draws[tail - 1]), float(self.draws[-tail]))

    def needed(self, bound: float, alpha: float) -> dict[str, int | None]:
        half = _half(self, bound, alpha)
        if half == 0:  # all values are the bound: no number of more of them takes the interval off it
            return {self.unit: None, "seeds": None}
        found = needed(self.table, (abs(self.value - bound) / half) ** 2)
        return {self.unit: found.contexts, "seeds": found.seeds}

    @property
    def _of(self) -> int:
        return len(self.draws) + self.lost + 1


@dataclass(frozen=True)
class Spreads:
    """The ratio of two standard deviations over `seeds` of one policy and of another, of normal values."""

    value: float
    seeds: tuple[int, int]

    def at_most(self, bound: float) -> float:
        from scipy.stats import f

        return float(f.sf((self.value / bound) ** 2, *self._freedom)) if bound > 0 else 0.0

    def at_least(self, bound: float) -> float:
        return 1 - self.at_most(bound)

    def interval(self, alpha: float) -> Interval:
        from scipy.stats import f

        ends = (sqrt(f.ppf(p, *self._freedom)) for p in (1 - alpha / 2, alpha / 2))
        return Interval(self.value, *(self.value / end for end in ends))

    def needed(self, bound: float, alpha: float) -> dict[str, int | None]:
        """Seeds of each policy at which the same ratio would be clear of the bound."""
        for seeds in range(max(self.seeds) + 1, MOST_SEEDS):
            more = Spreads(self.value, (seeds, seeds))
            if 2 * min(more.at_most(bound), more.at_least(bound)) <= alpha:
                return {"seeds": seeds}
        return {"seeds": None}

    @property
    def _freedom(self) -> tuple[int, int]:
        return self.seeds[0] - 1, self.seeds[1] - 1


def bootstrap(tables: Sequence[Floats], combine: Callable[..., Floats], unit: str = "contexts") -> Bootstrap:
    """The evidence on `combine(mean of table 1, mean of table 2, …)`, tables [seeds, contexts] of one shape.

    A resample draws seeds and, for all of them alike, contexts, both with replacement (Owen 2007), the same ones for
    all tables.  The variance of a mean of S resampled seeds is (S − 1)/S of what it should be, so that the seeds'
    deviations are widened by the root of its inverse.  Raises ZeroDivisionError where many resamples
    have no value.
    """
    stacked = np.stack([np.asarray(table, np.float64) for table in tables])  # [tables, seeds, contexts]
    seeds, contexts = stacked.shape[1:]
    centre = stacked.mean(1, keepdims=True)
    wide = centre + (stacked - centre) * sqrt(seeds / max(1, seeds - 1))
    weights = _counts(seeds, stream=1).astype(np.float64) / seeds  # [RESAMPLES, seeds]
    counts, means = _counts(contexts, stream=0), np.empty((len(stacked), RESAMPLES))
    for start in range(0, RESAMPLES, BLOCK):
        block = slice(start, start + BLOCK)
        by_seed = np.einsum("rc,tsc->tsr", counts[block].astype(np.float64), wide) / contexts  # no BLAS: same bits
        means[:, block] = np.einsum("rs,tsr->tr", weights[block], by_seed)
    seen = stacked.mean((1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        value, draws = float(combine(*seen)), np.asarray(combine(*means))
    draws = np.sort(draws[np.isfinite(draws)])
    lost = RESAMPLES - len(draws)
    if not isfinite(value) or lost > LOST:
        raise ZeroDivisionError
    return Bootstrap(value, draws, np.einsum("t,tsc->sc", _gradient(combine, seen), stacked), unit, lost)


@lru_cache(maxsize=4)
def _counts(size: int, stream: int) -> NDArray[np.uint8]:
    """How often each of `size` items is drawn in each resample. [RESAMPLES, size]"""
    rng = np.random.default_rng([stream, size])
    counts = np.empty((RESAMPLES, size), np.uint8)
    for start in range(0, RESAMPLES, BLOCK):
        draws = rng.integers(size, size=(BLOCK, size)) + np.arange(BLOCK)[:, None] * size
        counts[start : start + BLOCK] = np.bincount(draws.ravel(), minlength=BLOCK * size).reshape(BLOCK, size)
    return counts


def _gradient(combine: Callable[..., Floats], means: Floats) -> Floats:
    """∂combine/∂means, by central differences. [tables]"""
    steps = np.diag(1e-5 * np.maximum(1, np.abs(means)))
    return np.array([(combine(*(means + step)) - combine(*(means - step))) / (2 * step.sum()) for step in steps])


class Components(NamedTuple):
    """Variances of a two-way table: between seeds, between contexts, and the rest."""

    seeds: float
    contexts: float
    rest: float


def components(table: Floats) -> Components:
    """Analysis of variance of [seeds, contexts].  One seed shows no spread of seeds: it counts as none."""
    seeds, contexts = table.shape
    if seeds == 1:
        return Components(0, float(table.var(ddof=1)) if contexts > 1 else 0, 0)
    if contexts == 1:
        return Components(float(table.var(ddof=1)), 0, 0)
    rows, columns = table.mean(1), table.mean(0)
    residual = table - rows[:, None] - columns + table.mean()
    rest = float((residual**2).sum()) / ((seeds - 1) * (contexts - 1))
    return Components(
        max(0, float(rows.var(ddof=1)) - rest / contexts), max(0, float(columns.var(ddof=1)) - rest / seeds), rest
    )


class Needed(NamedTuple):
    """More contexts with the seeds that there are, or more seeds on the same contexts; None: not by these alone."""

    contexts: int | None
    seeds: int | None


def needed(table: Floats, share: float) -> Needed:
    """What brings the variance of the mean of [seeds, contexts] down to `share` of what it is; see RULE."""
    seeds, contexts = table.shape
    part = components(table)
    target = share * (part.seeds / seeds + part.contexts / contexts + part.rest / (seeds * contexts))
    over_contexts, over_seeds = target - part.seeds / seeds, target - part.contexts / contexts
    return Needed(
        ceil((part.contexts + part.rest / seeds) / over_contexts) if over_contexts > 0 else None,
        ceil((part.seeds + part.rest / contexts) / over_seeds) if over_seeds > 0 and seeds > 1 else None,
    )


def _half(evidence: Evidence, bound: float, alpha: float) -> float:
    """Half of the interval on the side of the bound."""
    value, low, high = evidence.interval(alpha)
    return value - low if bound < value else high - value
