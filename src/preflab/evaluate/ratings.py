"""From pairwise votes to one scale: how far the votes agree, and Bradley–Terry ratings of all policies.

The paper's protocol: 1024 contexts for each pair of policies, three labellers each, the majority wins (Tables 1, 5).
In this project a noisy judge votes (ours): `statistics.cast` makes the votes, `statistics.majority` the wins.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from preflab.evaluate.statistics import RESAMPLES, Floats, Interval, Resamples, Votes, bootstrap, resampled_means

BLOCK = 1_000  # resamples fitted at a time, for memory


class Match(NamedTuple):
    """Two policies on the same contexts."""

    a: str
    b: str
    wins: ArrayLike  # [contexts] or [seeds, contexts]: 1 = a wins, 0 = b does, ½ = a tie


def agreement(votes: Votes) -> Interval:
    """Share of contexts on which two votes agree, over all pairs of votes, and its interval over contexts.

    Only contexts whose two texts differ count.  Raises ValueError for fewer than two votes.
    """
    count = len(votes.for_a)
    if count < 2:
        raise ValueError(f"agreement of {count} vote(s): needs two or more")
    for_a = votes.for_a[:, ~votes.same].sum(0).astype(np.float64)  # [contexts]
    against = count - for_a
    return bootstrap((for_a * (for_a - 1) + against * (against - 1)) / (count * (count - 1)))


def bradley_terry(matches: Sequence[Match]) -> dict[str, Interval]:
    """Rating of each policy in log-odds, their mean 0: P(a beats b) = σ(rating a − rating b) (Bradley & Terry 1952).

    A tie is half a win for each.  Contexts count, seeds are averaged; both are resampled as in `statistics.bootstrap`,
    the same draw for all matches.  Each compared policy gets half a win more against the other (Haldane 1955), or one
    that never loses would have no finite rating: two policies with w wins in n contexts lie
    log((w + ½)/(n − w + ½)) apart.
    Raises ValueError unless all matches have the same contexts, the same seeds or one seed, and a chain of matches
    joins all policies.
    """
    names = list(dict.fromkeys(name for match in matches for name in (match.a, match.b)))
    tables = [np.atleast_2d(np.asarray(match.wins, np.float64)) for match in matches]
    seeds, contexts = max(len(table) for table in tables), tables[0].shape[1]
    for match, table in zip(matches, tables, strict=True):
        if table.shape[1] != contexts or len(table) not in (1, seeds):
            expected = f"[{seeds} or 1 seeds, {contexts} contexts]"
            raise ValueError(f"{match.a} against {match.b}: wins are {list(table.shape)}, expected {expected}")
    stacked = np.stack([np.broadcast_to(table, (seeds, contexts)) for table in tables])
    pairs = [(names.index(match.a), names.index(match.b)) for match in matches]
    wins = _counted(stacked.mean((1, 2))[:, None], pairs, len(names), contexts)
    _require_connected(wins[0], names)
    ratings = _fit(wins, np.zeros((1, len(names))))
    shares = np.clip(resampled_means(stacked), 0, 1)  # widened seeds may pass all or no wins
    draws = np.empty((RESAMPLES, len(names)))
    for start in range(0, RESAMPLES, BLOCK):
        block = slice(start, start + BLOCK)
        draws[block] = _fit(_counted(shares[:, block], pairs, len(names), contexts), ratings)
    draws.sort(axis=0)
    return {
        name: Resamples(float(mean), column).interval()
        for name, mean, column in zip(names, ratings[0], draws.T, strict=True)
    }


def _counted(shares: Floats, pairs: list[tuple[int, int]], policies: int, contexts: int) -> Floats:
    """Wins [tables, winner, loser] from the share of wins of each pair's first, [pairs, tables]."""
    wins = np.zeros((shares.shape[1], policies, policies))
    for share, (a, b) in zip(shares, pairs, strict=True):
        wins[:, a, b] += contexts * share + 0.5
        wins[:, b, a] += contexts * (1 - share) + 0.5
    return wins


def _fit(wins: Floats, start: Floats) -> Floats:
    """Ratings `[tables, policies]` of the highest likelihood for `wins` [tables, winner, loser], by Newton's method.

    From `start`, [1 or tables, policies] with mean 0.  No rating moves by more than 1 in a step; the likelihood is
    concave, and the mean of the ratings stays 0.  Raises ArithmeticError if 100 steps do not converge.
    """
    games = wins + wins.swapaxes(1, 2)
    ratings = np.broadcast_to(start, wins.shape[:2])
    for _ in range(100):
        chance = _preferred(ratings[:, :, None] - ratings[:, None, :], 1.0)
        slope = (wins - games * chance).sum(2)
        if np.abs(slope).max() <= 1e-9 * games.max():
            return ratings
        weight = games * chance * (1 - chance)
        curvature = weight.sum(2)[:, :, None] * np.eye(wins.shape[1]) - weight + 1.0  # + 1: makes the mean count
        step = np.linalg.solve(curvature, slope[:, :, None])[:, :, 0]
        ratings = ratings + step / np.maximum(np.abs(step).max(1, keepdims=True), 1.0)
    raise ArithmeticError("Bradley–Terry ratings: no convergence in 100 steps")


def _require_connected(wins: Floats, names: list[str]) -> None:
    """Raises ValueError unless a chain of matches joins all policies: otherwise their ratings have no common scale."""
    reached = {0}
    for _ in names:
        reached |= {j for i in reached for j in range(len(names)) if wins[i, j] > 0}
    if left := [name for i, name in enumerate(names) if i not in reached]:
        raise ValueError(f"ratings: no chain of matches joins {names[0]} and {', '.join(left)}")


def _preferred(gap: Floats, tau: float) -> Floats:
    """σ(gap/τ); for τ = 0 the step from 0 to 1, ½ on it."""
    return np.heaviside(gap, 0.5) if tau == 0 else (1 + np.tanh(gap / (2 * tau))) / 2
