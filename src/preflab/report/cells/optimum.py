"""The best reward that a KL can buy (the paper's Figure 3), from many samples of the reference in zero-shot's cell."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from preflab.evaluate import frontier
from preflab.report.cells.results import Arm, CellResults

SAMPLES = "reference_scores"  # column of zero-shot: the labeller's scores of many samples of a context, or null
BETAS = [float(beta) for beta in np.geomspace(20, 0.1, 40)]  # in standard deviations of ρ


class FrontierPoint(NamedTuple):
    """A policy on the frontier: KL in nats, reward in standard deviations of ρ."""

    kl: float
    reward: float


def points(zero: CellResults) -> list[FrontierPoint]:
    """The frontier by rising KL as far as the samples reach; none where the reference was not sampled for it."""
    optimal = _frontier(zero)
    if optimal is None:
        return []
    feasible = zip(optimal.kl, optimal.reward, optimal.feasible, strict=True)
    return sorted(FrontierPoint(kl.mean, reward.mean) for kl, reward, ok in feasible if ok)


def best_of(zero: CellResults) -> list[FrontierPoint]:
    """What the best of 1, 2, 4 … samples scores by the labeller: below the optimum, but to higher KLs."""
    scores = _scores(zero)
    sizes = [2**power for power in range(min(map(len, scores), default=0).bit_length())]
    return [FrontierPoint(frontier.best_of_n_kl(n), float(frontier.best_of_n(scores, n).mean())) for n in sizes]


def of_arm(arm: Arm, zero: Arm | None) -> float | None:
    """The optimum at the KL of each of its cells, averaged; None where the frontier does not reach as far."""
    optimal = _frontier(zero.first) if zero else None
    kls = [cell.metrics["kl"] for cell in arm.cells if "kl" in cell.metrics]
    rewards = [optimal.reward_at(kl) for kl in kls] if optimal else []
    reached = [reward.mean for reward in rewards if reward is not None]
    return float(np.mean(reached)) if reached and len(reached) == len(rewards) else None


@lru_cache(maxsize=8)
def _frontier(zero: CellResults) -> frontier.Frontier | None:
    scores = _scores(zero)
    return frontier.optimal(scores, BETAS) if scores else None


def _scores(zero: CellResults) -> list[list[float]]:
    return [row for row in zero.samples.get(SAMPLES, []) if row is not None]
