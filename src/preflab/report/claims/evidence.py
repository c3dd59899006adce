"""Estimates and how sure they are: p-values, intervals at any level, how much data would take them off a bound."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, isfinite, sqrt
from typing import NamedTuple, Protocol

import numpy as np

from preflab.evaluate.statistics import RESAMPLES, Interval, Resamples, resample
from preflab.report.cells.results import Floats

MAX_LOST = RESAMPLES // 2_000  # resamples that may have no value, such as none with a preamble
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
class BootstrapEvidence:
    """Resampled values of a statistic of seeds and contexts."""

    resamples: Resamples
    table: Floats  # [seeds, contexts] its linear part: the mean of this table varies as the statistic does
    unit: str = "contexts"  # what the columns of `table` are

    @property
    def value(self) -> float:
        """The estimate."""
        return self.resamples.value

    def at_most(self, bound: float) -> float:
        """One-sided p-value of "the true value is `bound` or less"."""
        draws, lost = self.resamples.draws, self.resamples.lost
        return float(np.searchsorted(draws, bound, "right") + lost + 1) / (len(draws) + lost + 1)

    def at_least(self, bound: float) -> float:
        """The same of "`bound` or more"."""
        draws, lost = self.resamples.draws, self.resamples.lost
        return float(len(draws) - np.searchsorted(draws, bound, "left") + lost + 1) / (len(draws) + lost + 1)

    def interval(self, alpha: float) -> Interval:
        """A bound lies outside exactly if twice its p-value is `alpha` or less."""
        return self.resamples.interval(alpha)

    def needed(self, bound: float, alpha: float) -> dict[str, int | None]:
        """Contexts with these seeds, and seeds with these contexts, that would take the interval off `bound`."""
        half = _half(self, bound, alpha)
        if half == 0:  # all values are the bound: no number of more of them takes the interval off it
            return {self.unit: None, "seeds": None}
        data = needed(self.table, (abs(self.value - bound) / half) ** 2)
        return {self.unit: data.contexts, "seeds": data.seeds}


@dataclass(frozen=True)
class SpreadRatio:
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
            more = SpreadRatio(self.value, (seeds, seeds))
            if 2 * min(more.at_most(bound), more.at_least(bound)) <= alpha:
                return {"seeds": seeds}
        return {"seeds": None}

    @property
    def _freedom(self) -> tuple[int, int]:
        return self.seeds[0] - 1, self.seeds[1] - 1


def bootstrap(tables: Sequence[Floats], combine: Callable[..., Floats], unit: str = "contexts") -> BootstrapEvidence:
    """The evidence on `combine(mean of table 1, mean of table 2, …)`, tables [seeds, contexts] of one shape.

    Resampled as every interval of the report (statistics.resample).  Raises ZeroDivisionError where the value, or that
    of many resamples, is not finite.
    """
    stacked = np.stack([np.asarray(table, np.float64) for table in tables])  # [tables, seeds, contexts]
    resamples = resample(list(stacked), combine)
    if not isfinite(resamples.value) or resamples.lost > MAX_LOST:
        raise ZeroDivisionError
    linear = np.einsum("t,tsc->sc", _gradient(combine, stacked.mean((1, 2))), stacked)
    return BootstrapEvidence(resamples, linear, unit)


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


class NeededData(NamedTuple):
    """More contexts with the seeds that there are, or more seeds on the same contexts; None: not by these alone."""

    contexts: int | None
    seeds: int | None


def needed(table: Floats, share: float) -> NeededData:
    """The data that bring the variance of the mean of [seeds, contexts] down to a `share` of it; see RULE."""
    seeds, contexts = table.shape
    part = components(table)
    target = share * (part.seeds / seeds + part.contexts / contexts + part.rest / (seeds * contexts))
    over_contexts, over_seeds = target - part.seeds / seeds, target - part.contexts / contexts
    return NeededData(
        ceil((part.contexts + part.rest / seeds) / over_contexts) if over_contexts > 0 else None,
        ceil((part.seeds + part.rest / contexts) / over_seeds) if over_seeds > 0 and seeds > 1 else None,
    )


def _half(evidence: Evidence, bound: float, alpha: float) -> float:
    """Half of the interval on the side of the bound."""
    value, low, high = evidence.interval(alpha)
    return value - low if bound < value else high - value
