"""The highest reward at each KL: Fig. 3's optimal frontier from samples of ρ, and best-of-n.

Of all policies with the same KL(π‖ρ), π_opt(y|x) ∝ ρ(y|x)·e^{r(x,y)/β} has the most reward; β runs along the frontier.
Weighting samples of ρ by e^{r/β} gives its reward and KL without training it (the paper's mock experiment).
"""

from collections.abc import Sequence
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preflab.evaluate.statistics import Floats, Interval, bootstrap

ENOUGH = 30.0  # effective samples of a context; ours: of normal scores the point then lies within 1 % of the frontier


class Frontier(NamedTuple):
    """The frontier's points in the order of `beta`; all [betas].  Intervals are over contexts."""

    beta: Floats
    reward: list[Interval]  # mean of r under π_opt, in the unit of r
    kl: list[Interval]  # KL(π_opt‖ρ), nats
    effective: Floats  # effective sample size 1/Σw², the harmonic mean over contexts: the bias is of order 1/this
    feasible: NDArray[np.bool_]  # `effective` is at least `ENOUGH`

    @property
    def limit(self) -> float | None:
        """The highest KL that the samples reach (the paper's reached about 8 nats); None: not even the first point."""
        return max((point.mean for point, ok in zip(self.kl, self.feasible, strict=True) if ok), default=None)

    def reward_at(self, kl: float) -> Interval | None:
        """Reward of the frontier at that KL, between feasible points in a straight line; None outside them."""
        points = sorted((k.mean, r) for k, r, ok in zip(self.kl, self.reward, self.feasible, strict=True) if ok)
        if not points or not points[0][0] <= kl <= points[-1][0]:
            return None
        kls = [k for k, _ in points]
        return Interval(*(float(np.interp(kl, kls, [r[end] for _, r in points])) for end in range(3)))


def optimal(scores: ArrayLike, betas: Sequence[float]) -> Frontier:
    """The frontier from `scores` [contexts, samples] of independent samples of ρ in each context, for positive `betas`.

    Per context, with w ∝ e^{r/β} over its n samples: reward Σ w·r and KL Σ w·log(n·w), which is at most log n.  Few
    effective samples bias both downwards, roughly along the frontier: of normal scores KL k takes some 30·e^{2k}
    samples.  One context gives no interval.  Raises ValueError if a score is not finite or a beta not positive.
    """
    table = np.atleast_2d(np.asarray(scores, np.float64))
    if not np.isfinite(table).all() or min(betas) <= 0:
        raise ValueError("optimal frontier: scores must be finite and betas positive")
    reward, kl, effective = [], [], []
    for beta in betas:
        logs = (table - table.max(1, keepdims=True)) / beta
        logs -= np.log(np.exp(logs).sum(1, keepdims=True))
        weights = np.exp(logs)  # [contexts, samples], sums 1
        reward.append(bootstrap((weights * table).sum(1)))
        kl.append(bootstrap((weights * logs).sum(1) + log(table.shape[1])))
        effective.append(1 / (weights**2).sum(1).mean())
    enough = np.array(effective)
    return Frontier(np.array(betas, np.float64), reward, kl, enough, enough >= ENOUGH)


def best_of_n_kl(n: int) -> float:
    """KL of best-of-n from ρ, nats: log n − (n−1)/n, exact where no two samples tie, else an upper bound."""
    return log(n) - (n - 1) / n


def best_of_n(ranked_by: ArrayLike, n: int, value: ArrayLike | None = None) -> Floats:
    """Expected `value` of the best of n samples of ρ by `ranked_by`, from N ≥ n samples, without bias. [contexts]

    Both [contexts, N]: the score that picks, say a reward model's, and what the picked one is worth, say the true
    score (left out: the same).  The mean over all choices of n among the N: the i-th smallest is the best in
    C(i−1, n−1) of C(N, n).  Ties go to the later sample.  Raises ValueError unless 1 ≤ n ≤ N.
    """
    ranks = np.atleast_2d(np.asarray(ranked_by, np.float64))
    worth = ranks if value is None else np.atleast_2d(np.asarray(value, np.float64))
    count = ranks.shape[1]
    if not 1 <= n <= count:
        raise ValueError(f"best of {n} among {count} samples: n must be 1 … {count}")
    i = np.arange(count - 1, n - 1, -1)  # C(i−1, n−1)/C(i, n−1) = (i−n+1)/i, from the largest downwards
    weights = np.zeros(count)
    weights[n - 1 :] = np.cumprod(np.concatenate([[n / count], (i - n + 1) / i]))[::-1]
    order = np.argsort(ranks, axis=1, kind="stable")
    best: Floats = np.take_along_axis(worth, order, 1) @ weights
    return best
