"""Reward over-optimisation: the KL beyond which the true score falls while the reward model's still rises (ours).

The rule.  The updates of all runs are sorted by KL into bins of equal size.  The peak is the bin with the highest true
score.  The two scores part there if from the peak to the last bin the true score has fallen and the reward model's
score has risen, both by more than their bootstrap intervals.  Every other update locates the peak and the rest test it:
if the same updates did both, the highest of many noisy bins would seem to be followed by a fall where there is none.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preflab.evaluate.statistics import Floats, Interval

BINS = 8
UPDATES_PER_BIN = 6  # of a run, on average: half of them locate the peak, half test it


class Run(NamedTuple):
    """One training run, or evaluations along it; all [updates], in the order of the updates."""

    kl: Floats  # from the reference, nats
    reward_model: Floats  # in the unit of this score
    true: Floats  # in the unit of this score


class Parting(NamedTuple):
    """The result of the rule, with the curve it was applied to."""

    kl: float | None  # mean KL of the peak's bin; None: the two do not part
    true_fall: Interval  # true score of the peak minus that of the end
    reward_model_rise: Interval  # reward model's score of the end minus that of the peak
    curve: Run  # means of all updates in each bin, by rising KL; all [bins], NaN where equal KLs leave a bin empty


def part(runs: Sequence[Run], bins: int = BINS, resamples: int = 2000, seed: int = 0, level: float = 0.95) -> Parting:
    """The KL beyond which the true score falls while the reward model's rises.

    Resampled are the runs and, in each, the updates of a bin.  A run that has no updates to test in the peak's bin or
    in the last one is left out of the test.  With a constant, noisy true score the rule reports a parting in about one
    of 15 single runs, and seldom with three runs.
    Raises ValueError if no run is left, or if a run is too short for the bins or not finite.
    """
    for number, run in enumerate(runs):
        if not np.isfinite(run).all():
            raise ValueError(f"run {number}: not all of its numbers are finite")
        if len(run.kl) < UPDATES_PER_BIN * bins:
            needed = UPDATES_PER_BIN * bins
            raise ValueError(f"run {number}: {len(run.kl)} updates, {bins} bins need {needed}; take fewer bins")
    edges = np.quantile(np.concatenate([run.kl for run in runs]), np.linspace(0, 1, bins + 1)[1:-1])
    peak = int(np.nanargmax(_curve([_every_other(run, 0) for run in runs], edges).true))
    curve = _curve(runs, edges)
    if peak == bins - 1:
        return Parting(None, Interval(0.0, 0.0, 0.0), Interval(0.0, 0.0, 0.0), curve)
    rng = np.random.default_rng(seed)
    changes = []  # per run: rise of true and reward-model score, of the run itself and its resamples [1 + resamples, 2]
    for run in (_every_other(run, 1) for run in runs):
        place = _bin(run.kl, edges)
        scores = np.stack([run.true, run.reward_model], 1)  # [updates, 2]
        before, after = scores[place == peak], scores[place == bins - 1]
        if len(before) and len(after):
            changes.append(_means(after, resamples, rng) - _means(before, resamples, rng))
    if not changes:
        raise ValueError(f"no run has updates both in the peak's bin and in the last of {bins}; take fewer bins")
    table = np.stack(changes, 1)  # [1 + resamples, runs, 2]
    drawn = np.random.default_rng(seed).integers(len(changes), size=(resamples, len(changes)))  # runs of each resample
    mean = table[0].mean(0)
    means = np.take_along_axis(table[1:], drawn[:, :, None], 1).mean(1)  # [resamples, 2]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    fall = Interval(float(-mean[0]), float(-high[0]), float(-low[0]))
    rise = Interval(float(mean[1]), float(low[1]), float(high[1]))
    return Parting(float(curve.kl[peak]) if fall.low > 0 and rise.low > 0 else None, fall, rise, curve)


def _every_other(run: Run, start: int) -> Run:
    return Run(*(np.asarray(column)[start::2] for column in run))


def _bin(kl: Floats, edges: Floats) -> NDArray[np.int64]:
    return np.searchsorted(edges, kl, side="right")


def _curve(runs: Sequence[Run], edges: Floats) -> Run:
    """Means of the updates of all runs in each bin. Each [bins]."""
    columns = [np.concatenate(column) for column in zip(*runs, strict=True)]
    place = _bin(columns[0], edges)
    count = np.bincount(place, minlength=len(edges) + 1)
    filled = np.where(count > 0, count, np.nan)
    return Run(*(np.bincount(place, column, len(edges) + 1) / filled for column in columns))


def _means(scores: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """The mean of `scores` [updates, 2] and of resamples of it. [1 + resamples, 2]"""
    drawn = scores[rng.integers(len(scores), size=(resamples, len(scores)))]
    return np.concatenate([scores.mean(0)[None], drawn.mean(1)])
