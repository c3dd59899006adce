"""What a check can measure of one arm or between two: name in conf/claims.yaml → evidence, a text, and its unit.

Every number comes from the per-context samples, the metrics, the training curve or the reward model's file of a cell.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from preflab.evaluate import frontier
from preflab.evaluate.statistics import majority
from preflab.report.cells.columns import (
    BEST_OF,
    DISTINCT,
    ROUGE,
    NotMeasuredError,
    StackedColumns,
    curve,
    metric,
    rights,
    same_seeds,
    stack,
)
from preflab.report.cells.results import Arm, GridResults
from preflab.report.cells.selection import zero_shot
from preflab.report.claims.evidence import Evidence, SpreadRatio, bootstrap


class Unit(NamedTuple):
    """What a measure is printed in; conf/claims.yaml gives its bounds in the same."""

    name: str
    decimals: int

    @property
    def sign(self) -> str:
        """Of its bounds: ` %`, or nothing."""
        return " %" if self.name[0] == "%" else ""


@dataclass(frozen=True, slots=True)
class ArmPair:
    """The arms that one check compares, with its entry of conf/claims.yaml."""

    grid: GridResults
    of: Arm
    against: Arm | None
    settings: dict[str, Any]

    @property
    def other(self) -> Arm:
        """The arm that `of` is measured against, of a check that has one."""
        assert self.against is not None, self.settings
        return self.against


class Measurement(NamedTuple):
    """`contexts`: on how many the seeds were compared, None where that is not what was resampled."""

    evidence: Evidence
    text: str
    seeds: list[int]
    contexts: int | None


def win_rate(pair: ArmPair) -> Measurement:
    """Share of contexts on which the judge's majority prefers `of`."""
    both = stack([(pair.of, "judge"), (pair.other, "judge")])
    wins = []
    for a, b, (cell, _) in zip(*both.tables, both.cells, strict=True):
        tau, votes, seed = (metric(cell, name) for name in ("judge_tau", "votes", "votes_seed"))
        wins.append(majority(a, b, tau, int(votes), int(seed)))
    text = f"judge prefers {pair.of.name} to {pair.other.name}"
    return _measured(both._replace(tables=[100 * np.array(wins)]), lambda share: np.clip(share, 0, 100), text)


def difference(column: str, words: str) -> Callable[[ArmPair], Measurement]:
    """Mean over contexts of a column of `of` less that of `against`."""

    def measure(pair: ArmPair) -> Measurement:
        both = stack([(pair.of, column), (pair.other, column)])
        return _measured(both, lambda a, b: a - b, f"{words}, {pair.of.name} − {pair.other.name}")

    return measure


def reward_share(pair: ArmPair) -> Measurement:
    """What `of` gains over zero-shot, as a share of what `against` gains."""
    zero = _zero_shot(pair)
    three = stack([(pair.of, "true_score"), (pair.other, "true_score"), (zero, "true_score")])
    text = f"gain over zero-shot, {pair.of.name} as a share of {pair.other.name}"
    return _measured(three, lambda a, b, z: 100 * (a - z) / (b - z), text)


def shortfall(pair: ArmPair) -> Measurement:
    """The share of the gain over zero-shot possible at its KL that `of` lacks, at least.

    The best of n samples of the reference has a KL of log n − (n − 1)/n and a score that needs no other model.  The
    largest n within the KL of `of` takes the place of the optimum, which lies above it (ours; the paper's Figure 3
    reweights such samples).  Raises NotMeasuredError without enough samples.
    """
    zero = _zero_shot(pair)
    cell, kl = zero.first, float(np.mean([metric(cell, "kl") for cell in pair.of.cells]))
    samples = max(len(row or []) for row in cell.samples.get("reference_scores", [[]]))
    n = max((2**k for k in range(samples.bit_length()) if frontier.best_of_n_kl(2**k) <= kl), default=0)
    if n < 2:
        raise NotMeasuredError(f"{cell.id}: too few samples of the reference (evaluation.frontier), or too small a KL")
    three = stack([(pair.of, "true_score"), (zero, "true_score"), (zero, f"{BEST_OF}{n}")])
    best = f"best-of-{n} (KL {frontier.best_of_n_kl(n):.1f})"
    text = f"share of the gain of {best} over zero-shot that {pair.of.name} (KL {kl:.1f}) does not reach"
    return _measured(three, lambda a, z, o: 100 * (o - a) / (o - z), text)


def kl_ratio(pair: ArmPair) -> Measurement:
    """The KL over its target."""
    target = pair.of.first.row["kl_target"]
    if not target:
        raise NotMeasuredError(f"{pair.of.first.id}: has no KL target")
    return _measured(stack([(pair.of, "kl")]), lambda kl: kl / target, f"KL over its target, {pair.of.name}")


def kl_times(pair: ArmPair) -> Measurement:
    """The KL of `of` over that of `against`."""
    both = stack([(pair.of, "kl"), (pair.other, "kl")])
    return _measured(both, lambda a, b: a / b, f"KL, {pair.of.name} over {pair.other.name}")


def kl_spread(pair: ArmPair) -> Measurement:
    """The standard deviation over seeds of the final KL's logarithm, of `of` over that of `against`.

    Of the logarithm, so that a policy does not spread less for having moved less.
    """
    finals = [[float(np.log(metric(cell, "kl"))) for cell in arm.cells] for arm in (pair.of, pair.other)]
    if min(map(len, finals)) < 2:
        raise NotMeasuredError("a spread over seeds needs two seeds of each policy")
    spreads = [float(np.std(kl, ddof=1)) for kl in finals]
    if min(spreads) == 0:
        raise NotMeasuredError("the final KLs of the seeds do not differ")
    evidence = SpreadRatio(spreads[0] / spreads[1], (len(finals[0]), len(finals[1])))
    text = f"spread of the final log KL over seeds, {pair.of.name} over {pair.other.name}"
    seeds = min(pair.of.cells, pair.other.cells, key=len)
    return Measurement(evidence, text, [cell.row["seed"] for cell in seeds], None)


def accuracy(pair: ArmPair) -> Measurement:
    """Held-out accuracy of the reward model in force at the end."""
    return _of_rights(rights([pair.of]), lambda share: share, f"held-out accuracy, {pair.of.name}")


def accuracy_difference(pair: ArmPair) -> Measurement:
    """The same of two reward models, on the same comparisons."""
    text = f"held-out accuracy, {pair.of.name} − {pair.other.name}"
    return _of_rights(rights([pair.of, pair.other]), lambda a, b: a - b, text)


def curve_difference(pair: ArmPair) -> Measurement:
    """True score in training between two shares of the episodes (`over`); updates take the place of contexts."""
    start, end = pair.settings["over"]
    rows = same_seeds([pair.of, pair.other])
    windows = []
    for side in range(2):
        curves = [curve(row[side]) for row in rows]
        updates = min(map(len, curves))
        first, last = round(start * updates), max(round(end * updates), round(start * updates) + 1)
        windows.append(np.array([curve[first:last] for curve in curves]))
    if windows[0].shape != windows[1].shape:
        raise NotMeasuredError(f"{pair.of.name} and {pair.other.name} were not trained for the same number of updates")
    evidence = bootstrap(windows, lambda a, b: a - b, unit="updates")
    window = f"between {100 * start:g} and {100 * end:g} % of the episodes"
    text = f"true score {window}, {pair.of.name} − {pair.other.name}"
    return Measurement(evidence, text, [row[0].row["seed"] for row in rows], None)


def preamble(pair: ArmPair) -> Measurement:
    """Share of responses that begin with the source's first three words: of sources with a preamble less of all."""
    two = stack([(pair.of, "copies_start"), (pair.of, "preamble")])
    copies, has = two.tables
    if not has.any():
        raise NotMeasuredError(f"{pair.of.first.id}: no context has a preamble")
    three = two._replace(tables=[copies * has, has, copies])
    text = f"first three words copied, {pair.of.name}: with a preamble − all"
    return _measured(three, lambda both, some, every: 100 * (both / some - every), text)


class Measure(NamedTuple):
    """A measure, its unit, and the keys that a check needs in addition to `of`."""

    function: Callable[[ArmPair], Measurement]
    unit: Unit
    needs: tuple[str, ...] = ("against",)


CONTEXTS, POINTS = Unit("% of contexts", 1), Unit("percentage points", 1)
SCORE = Unit("SD of ρ", 2)
ACCURACY = Unit("% of comparisons", 1)

MEASURES = {
    "win_rate": Measure(win_rate, CONTEXTS),
    "reward_difference": Measure(difference("true_score", "true score"), SCORE, ("against", "kl_within")),
    "reward_share": Measure(reward_share, Unit("% of the gain", 0), ("against", "kl_within")),
    "shortfall": Measure(shortfall, Unit("% of the gain", 0), ()),
    "curve_difference": Measure(curve_difference, SCORE, ("against", "over")),
    "kl_ratio": Measure(kl_ratio, Unit("× target", 2), ()),
    "kl_times": Measure(kl_times, Unit("times", 2)),
    "kl_spread": Measure(kl_spread, Unit("times", 2)),
    "accuracy": Measure(accuracy, ACCURACY, ()),
    "accuracy_difference": Measure(accuracy_difference, ACCURACY),
    "rouge": Measure(difference(ROUGE, "ROUGE (mean of 1, 2, L)"), Unit("points", 2)),
    "copied": Measure(difference("copied_sentences", "sentences copied from the source"), POINTS),
    "supported": Measure(difference("supported", "responses supported by the source"), POINTS),
    "distinct": Measure(difference(DISTINCT, "different words over words of a response"), Unit("of the words", 3)),
    "preamble": Measure(preamble, POINTS, ()),
}


def kl_gap(pair: ArmPair) -> tuple[float, float, bool]:
    """Mean KL of both arms, and whether they differ by no more than the share `kl_within` of the larger."""
    a, b = (float(np.mean([metric(cell, "kl") for cell in arm.cells])) for arm in (pair.of, pair.other))
    return a, b, abs(a - b) <= pair.settings["kl_within"] * max(a, b)


def _measured(stack: StackedColumns, combine: Callable[..., Any], text: str) -> Measurement:
    try:
        return Measurement(bootstrap(stack.tables, combine), text, stack.seeds, stack.contexts)
    except ZeroDivisionError:
        raise NotMeasuredError(f"{text}: too many resamples divide by zero; more contexts are needed") from None


def _of_rights(stack: StackedColumns, combine: Callable[..., Any], text: str) -> Measurement:
    return Measurement(bootstrap(stack.tables, combine, unit="comparisons"), text, stack.seeds, None)


def _zero_shot(pair: ArmPair) -> Arm:
    zero = zero_shot(pair.grid, pair.of)
    if zero is None:
        raise NotMeasuredError(f"the grid lacks the zero-shot reference of {pair.of.name}")
    return zero
