"""What a check can measure of one arm or between two: name in conf/claims.yaml → evidence, a text, and its unit.

Every number comes from the per-context samples, the metrics, the training curve or the reward model's file of a cell.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from preflab.evaluate import frontier
from preflab.evaluate.statistics import majority
from preflab.report.cells.arms import Arm
from preflab.report.cells.columns import (
    BEST_OF,
    DISTINCT,
    ROUGE,
    AbsentError,
    Stack,
    curve,
    metric,
    rights,
    same_seeds,
    stack,
)
from preflab.report.cells.load import Grid
from preflab.report.cells.select import zero_shot
from preflab.report.claims.evidence import Evidence, Spreads, bootstrap


class Unit(NamedTuple):
    """What a measure is printed in; conf/claims.yaml gives its bounds in the same."""

    name: str
    decimals: int


@dataclass(frozen=True, slots=True)
class Asked:
    """One check on one pair of arms, with its entry of conf/claims.yaml."""

    grid: Grid
    of: Arm
    against: Arm | None
    settings: dict[str, Any]

    @property
    def other(self) -> Arm:
        assert self.against is not None, self.settings
        return self.against


class Measured(NamedTuple):
    """`contexts`: on how many the seeds were compared, None where that is not what was resampled."""

    evidence: Evidence
    text: str
    seeds: list[int]
    contexts: int | None


def win_rate(asked: Asked) -> Measured:
    """Share of contexts on which the judge's majority prefers `of`."""
    both = stack([(asked.of, "judge"), (asked.other, "judge")])
    wins = []
    for one, other, (cell, _) in zip(*both.tables, both.cells, strict=True):
        tau, votes, seed = (metric(cell, name) for name in ("judge_tau", "votes", "votes_seed"))
        wins.append(majority(one, other, tau, int(votes), int(seed)))
    text = f"judge prefers {asked.of.name} to {asked.other.name}"
    return _measured(both._replace(tables=[100 * np.array(wins)]), lambda share: np.clip(share, 0, 100), text)


def difference(column: str, words: str) -> Callable[[Asked], Measured]:
    """Mean over contexts of a column of `of` less that of `against`."""

    def measure(asked: Asked) -> Measured:
        both = stack([(asked.of, column), (asked.other, column)])
        return _measured(both, lambda a, b: a - b, f"{words}, {asked.of.name} − {asked.other.name}")

    return measure


def reward_share(asked: Asked) -> Measured:
    """What `of` gains over zero-shot, as a share of what `against` gains."""
    zero = _zero_shot(asked)
    three = stack([(asked.of, "true_score"), (asked.other, "true_score"), (zero, "true_score")])
    text = f"gain over zero-shot, {asked.of.name} as a share of {asked.other.name}"
    return _measured(three, lambda a, b, z: 100 * (a - z) / (b - z), text)


def shortfall(asked: Asked) -> Measured:
    """What `of` lacks of the gain over zero-shot that is possible at its KL, at least.

    The best of n samples of the reference costs a KL of log n − (n − 1)/n and can be counted without a model; the most
    that its KL allows stands for the optimum, which lies above it (paper, Figure 3, reweights such samples).
    """
    zero = _zero_shot(asked)
    cell, kl = zero.first, float(np.mean([metric(cell, "kl") for cell in asked.of.cells]))
    samples = max(len(row or []) for row in cell.samples.get("reference_scores", [[]]))
    n = max((2**k for k in range(samples.bit_length()) if frontier.best_of_n_kl(2**k) <= kl), default=0)
    if n < 2:
        raise AbsentError(f"{cell.id}: no more samples of the reference (evaluation.frontier), or too small a KL")
    three = stack([(asked.of, "true_score"), (zero, "true_score"), (zero, f"{BEST_OF}{n}")])
    text = f"gain over zero-shot that {asked.of.name} (KL {kl:.1f}) lacks of best-of-{n}'s (KL "
    text += f"{frontier.best_of_n_kl(n):.1f})"
    return _measured(three, lambda a, z, o: 100 * (o - a) / (o - z), text)


def kl_ratio(asked: Asked) -> Measured:
    """The KL over its target."""
    target = asked.of.first.row["kl_target"]
    if not target:
        raise AbsentError(f"{asked.of.first.id}: has no KL target")
    one = stack([(asked.of, "kl")])
    return _measured(one, lambda kl: kl / target, f"KL over its target, {asked.of.name}")


def kl_times(asked: Asked) -> Measured:
    """The KL of `of` over that of `against`."""
    both = stack([(asked.of, "kl"), (asked.other, "kl")])
    return _measured(both, lambda a, b: a / b, f"KL, {asked.of.name} over {asked.other.name}")


def kl_spread(asked: Asked) -> Measured:
    """The standard deviation over seeds of the final KL's logarithm, of `of` over that of `against`.

    Of the logarithm, so that a policy does not spread less for having moved less.
    """
    finals = [[float(np.log(metric(cell, "kl"))) for cell in arm.cells] for arm in (asked.of, asked.other)]
    if min(map(len, finals)) < 2:
        raise AbsentError("a spread over seeds needs two seeds of each policy")
    spreads = [float(np.std(kl, ddof=1)) for kl in finals]
    if min(spreads) == 0:
        raise AbsentError("the final KLs of the seeds do not differ")
    evidence = Spreads(spreads[0] / spreads[1], (len(finals[0]), len(finals[1])))
    text = f"spread of the final log KL over seeds, {asked.of.name} over {asked.other.name}"
    seeds = min(asked.of.cells, asked.other.cells, key=len)
    return Measured(evidence, text, [cell.row["seed"] for cell in seeds], None)


def accuracy(asked: Asked) -> Measured:
    """Held-out accuracy of the reward model in force at the end."""
    return _of_rights(rights([asked.of]), lambda share: share, f"held-out accuracy, {asked.of.name}")


def accuracy_difference(asked: Asked) -> Measured:
    """The same of two reward models, on the same comparisons."""
    text = f"held-out accuracy, {asked.of.name} − {asked.other.name}"
    return _of_rights(rights([asked.of, asked.other]), lambda a, b: a - b, text)


def curve_difference(asked: Asked) -> Measured:
    """True score in training between two shares of the episodes (`over`); updates take the place of contexts."""
    start, end = asked.settings["over"]
    rows = same_seeds([asked.of, asked.other])
    windows = []
    for side in range(2):
        curves = [curve(row[side]) for row in rows]
        updates = min(map(len, curves))
        first, last = round(start * updates), max(round(end * updates), round(start * updates) + 1)
        windows.append(np.array([curve[first:last] for curve in curves]))
    if windows[0].shape != windows[1].shape:
        raise AbsentError(f"{asked.of.name} and {asked.other.name} were not trained for the same number of updates")
    evidence = bootstrap(windows, lambda a, b: a - b, unit="updates")
    window = f"between {100 * start:g} and {100 * end:g} % of the episodes"
    text = f"true score {window}, {asked.of.name} − {asked.other.name}"
    return Measured(evidence, text, [row[0].row["seed"] for row in rows], None)


def preamble(asked: Asked) -> Measured:
    """How often the first three words are the source's, where the source has a preamble less over all contexts."""
    two = stack([(asked.of, "copies_start"), (asked.of, "preamble")])
    copies, has = two.tables
    if not has.any():
        raise AbsentError(f"{asked.of.first.id}: no context has a preamble")
    three = two._replace(tables=[copies * has, has, copies])
    text = f"first three words copied, {asked.of.name}: with a preamble − all"
    return _measured(three, lambda both, some, every: 100 * (both / some - every), text)


class Measure(NamedTuple):
    """A measure, its unit, and which keys of a check it needs beside `of`."""

    function: Callable[[Asked], Measured]
    unit: Unit
    needs: tuple[str, ...] = ("against",)


CONTEXTS, POINTS = Unit("% of contexts", 1), Unit("percentage points", 1)
SCORE = Unit("SD of ρ", 2)
ACCURACY = Unit("% of comparisons", 1)

MEASURES = {
    "win_rate": Measure(win_rate, CONTEXTS),
    "reward_difference": Measure(difference("true_score", "labeller's score"), SCORE, ("against", "kl_within")),
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


def kl_gap(asked: Asked) -> tuple[float, float, bool]:
    """Mean KL of both arms, and whether they differ by no more than the share `kl_within` of the larger."""
    one, other = (float(np.mean([metric(cell, "kl") for cell in arm.cells])) for arm in (asked.of, asked.other))
    return one, other, abs(one - other) <= asked.settings["kl_within"] * max(one, other)


def _measured(stack: Stack, combine: Callable[..., Any], text: str) -> Measured:
    try:
        return Measured(bootstrap(stack.tables, combine), text, stack.seeds, stack.contexts)
    except ZeroDivisionError:
        raise AbsentError(f"{text}: too many resamples divide by zero; more contexts are needed") from None


def _of_rights(stack: Stack, combine: Callable[..., Any], text: str) -> Measured:
    return Measured(bootstrap(stack.tables, combine, unit="comparisons"), text, stack.seeds, None)


def _zero_shot(asked: Asked) -> Arm:
    zero = zero_shot(asked.grid, asked.of)
    if zero is None:
        raise AbsentError(f"the grid lacks the zero-shot reference of {asked.of.name}")
    return zero
