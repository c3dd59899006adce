"""The rule that turns numbers into verdicts.  It is written down here and nowhere else, in RULE.

check   an estimate with its evidence (resampled means, a normal error, or a ratio of spreads), and a region
claim   several checks; its two p-values are the smallest α at which its intervals reproduce or contradict it
claims  Holm's step-down gives every claim its α, and the intervals at 1 − α decide
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite
from typing import NamedTuple

from preflab.evaluate.statistics import LEVEL, RESAMPLES
from preflab.report.claims.evidence import Evidence

REPRODUCED, CONTRADICTED = "reproduced", "contradicted"
INCONCLUSIVE, NOT_RUN = "inconclusive", "not run"

ALPHA = 0.05  # ours: chance of one wrong verdict or more, over all claims of a report

RULE = (
    "Each check measures something and names the region in which it must lie. Its interval is a percentile bootstrap "
    f"over seeds and contexts ({RESAMPLES:,} resamples; equal seeds are paired, and their deviations widened by "
    "√(S/(S − 1)), because resampling S seeds understates them by that); that of held-out accuracies is over seeds and "
    f"comparisons, that of a ratio of spreads is by the F distribution. Printed are intervals at {100 * LEVEL:.0f} %, "
    "as in the tables; intervals at the level named after each verdict decide.",
    "A claim is reproduced if the intervals of all its checks lie wholly in their regions. It is contradicted if the "
    "interval of one check lies wholly outside; with k checks there are k chances to do so by accident, so that this "
    "interval is taken at 1 − α/k. It is inconclusive otherwise, and if policies that must be compared at equal KL are "
    "not at equal KL. It is not run if a check lacks its cells or its metric, unless another check contradicts it.",
    f"Testing many claims is corrected for by Holm's method at {100 * ALPHA:.0f} %: of m claims with a check that was "
    f"measured, the one with the smallest p-value gets α = {ALPHA}/m, the next {ALPHA}/(m − 1) and so on, up to the "
    "first that stays undecided; it and the rest keep its α. The level of a claim is 1 − α. With one seed an interval "
    "holds for that seed alone.",
    "What would settle an inconclusive check: its interval must shrink from the half-width h towards a bound to the "
    "distance d of the estimate from it. The variance of the mean is σ²(seeds)/S + σ²(contexts)/C + σ²(rest)/(S C), "
    "its parts as observed, and must fall by (d/h)²: solved for C at the present S, and for S at the present C.",
)


class Region(NamedTuple):
    """Where a value must lie: strictly between the two."""

    above: float = -inf
    below: float = inf


class Finding(NamedTuple):
    """What the rule sees of a check: `comparable` is False where policies are not at equal KL."""

    evidence: Evidence
    region: Region
    comparable: bool = True

    @property
    def p_inside(self) -> float:
        """The smallest α at which the whole interval lies in the region."""
        tails = self.evidence.at_most(self.region.above), self.evidence.at_least(self.region.below)
        bounded = [p for p, bound in zip(tails, self.region, strict=True) if isfinite(bound)]
        return min(1, 2 * max(bounded)) if self.comparable else 1

    @property
    def p_outside(self) -> float:
        """The smallest α at which the whole interval lies outside, on one side."""
        tails = self.evidence.at_least(self.region.above), self.evidence.at_most(self.region.below)
        bounded = [p for p, bound in zip(tails, self.region, strict=True) if isfinite(bound)]
        return min(1, 2 * min(bounded)) if self.comparable else 1

    def verdict(self, alpha: float, checks: int = 1) -> str:
        """What the intervals of this check of `checks` say at `alpha`."""
        if self.p_inside <= alpha:
            return REPRODUCED
        return CONTRADICTED if self.p_outside <= alpha / checks else INCONCLUSIVE

    def settle(self, alpha: float, checks: int = 1) -> dict[str, int | None]:
        """How many contexts or seeds take the interval off every bound in it; {} where policies are not at equal KL."""
        inside = self.region.above < self.evidence.value < self.region.below
        alpha = alpha if inside else alpha / checks
        _, low, high = self.evidence.interval(alpha)
        needs = [self.evidence.needed(bound, alpha) for bound in self.region if low <= bound <= high]
        return most(needs) if self.comparable else {}


@dataclass(frozen=True)
class Case:
    """The findings on one claim; not `complete`: a check lacks its cells or its metric."""

    findings: tuple[Finding, ...]
    complete: bool = True

    @cached_property
    def p_reproduced(self) -> float:
        return max(finding.p_inside for finding in self.findings) if self.findings and self.complete else 1

    @cached_property
    def p_contradicted(self) -> float:
        return min([1, *(len(self.findings) * finding.p_outside for finding in self.findings)])

    def verdict(self, alpha: float) -> str:
        """What the intervals say at `alpha`."""
        if self.p_contradicted <= alpha:
            return CONTRADICTED
        if not self.findings or not self.complete:
            return NOT_RUN
        return REPRODUCED if self.p_reproduced <= alpha else INCONCLUSIVE


def holm(cases: Sequence[Case], alpha: float = ALPHA) -> list[float]:
    """The α of each case (Holm 1979); those without findings were not run, do not count and get the strictest."""
    p_values = [min(case.p_reproduced, case.p_contradicted) for case in cases]
    run = sorted((number for number, case in enumerate(cases) if case.findings), key=lambda number: p_values[number])
    alphas = [alpha / max(1, len(run))] * len(cases)
    for rank, number in enumerate(run):
        alphas[number] = alpha / (len(run) - rank)
        if p_values[number] > alphas[number]:
            for later in run[rank:]:
                alphas[later] = alphas[number]
            break
    return alphas


def most(needs: Sequence[dict[str, int | None]]) -> dict[str, int | None]:
    """What settles all of them: the largest of each number, None where one of those that ask for it has none."""
    settles: dict[str, int | None] = {}
    for unit in dict.fromkeys(unit for need in needs for unit in need):
        numbers = [need[unit] for need in needs if unit in need]
        finite = [number for number in numbers if number is not None]
        settles[unit] = max(finite) if len(finite) == len(numbers) else None
    return settles
