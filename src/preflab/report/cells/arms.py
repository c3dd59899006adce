"""What is measured within an arm and between two: win rates, differences and means with their 95 % intervals."""

from collections.abc import Callable
from math import inf

import numpy as np

from preflab.errors import PreflabError
from preflab.evaluate.statistics import LEVEL, RESAMPLES, Interval, bootstrap, majority
from preflab.report.cells.results import Arm, CellResults, Floats

METHOD = f"{100 * LEVEL:.0f} % percentile bootstrap over seeds and contexts, {RESAMPLES:,} resamples"


def win_rate(a: Arm, b: Arm) -> Interval | None:
    """Share of contexts on which the judge's majority prefers `a`, equal seeds paired; None without a pair of seeds."""
    return _paired(a, b, "judge", _majority, 0, 1)


def vader_rate(a: Arm, b: Arm) -> Interval | None:
    """The same by VADER, a second, unrelated judge without noise: the higher score wins, equal ones split."""
    return _paired(a, b, "vader", lambda x, y, _: np.where(x == y, 0.5, (x > y).astype(float)), 0, 1)


def difference(a: Arm, b: Arm, column: str) -> Interval | None:
    """Mean over contexts of `a` − `b` in a column of the samples, equal seeds against each other."""
    return _paired(a, b, column, lambda one, other, _: one - other)


def mean(arm: Arm, column: str) -> Interval:
    """Mean of a column of the samples over seeds and contexts."""
    return bootstrap(_table(arm, column))


def point(arm: Arm, column: str) -> float:
    """The same mean without its interval."""
    return float(_table(arm, column).mean())


def _table(arm: Arm, column: str) -> Floats:
    """A column of the samples, [seeds, contexts]."""
    contexts = common([arm])
    return np.array([_column(cell, column, contexts) for cell in arm.cells])


def seed_mean(arm: Arm, metric: str) -> float:
    """Mean over seeds of a number of reports/metrics/."""
    return float(np.mean([cell.metrics[metric] for cell in arm.cells]))


def pairs(a: Arm, b: Arm) -> list[tuple[CellResults, CellResults]]:
    """The cells of equal seeds of two arms; an arm without seeds (zero-shot, lead-3) is paired with every seed."""
    if None in (a.seeds[0], b.seeds[0]):
        return [(one, other) for one in a.cells for other in b.cells]
    by_seed = {cell.row["seed"]: cell for cell in b.cells}
    return [(cell, by_seed[cell.row["seed"]]) for cell in a.cells if cell.row["seed"] in by_seed]


def _majority(a: Floats, b: Floats, cell: CellResults) -> Floats:
    tau, votes = cell.metrics["judge_tau"], int(cell.metrics["votes"])
    return majority(a, b, tau, votes, seed=int(cell.metrics["votes_seed"]))


def _paired(
    a: Arm,
    b: Arm,
    column: str,
    compare: Callable[[Floats, Floats, CellResults], Floats],
    low: float = -inf,
    high: float = inf,
) -> Interval | None:
    seed_pairs = pairs(a, b)
    if not seed_pairs:
        return None
    contexts = common([a, b])
    table = [compare(_column(x, column, contexts), _column(y, column, contexts), x) for x, y in seed_pairs]
    return bootstrap(table, low, high)


def common(arms: list[Arm]) -> list[int]:
    """The contexts that all cells have.

    Raises PreflabError where there is none, or where one number stands for different texts.
    """
    cells = [cell for arm in arms for cell in arm.cells]
    contexts = sorted(set.intersection(*(set(cell.samples["context"]) for cell in cells)))
    if not contexts:
        names = ", ".join(cell.id for cell in cells)
        raise PreflabError(f"samples of {names}: no common context; evaluate them on the same queries")
    reference = column_of(cells[0], "query", contexts)
    for cell in cells[1:]:
        if column_of(cell, "query", contexts) != reference:
            names = f"{cells[0].id} and {cell.id}"
            raise PreflabError(f"samples of {names}: equal contexts hold different queries; evaluate them anew")
    return contexts


def _column(cell: CellResults, name: str, contexts: list[int]) -> Floats:
    return np.array(column_of(cell, name, contexts), np.float64)


def column_of(cell: CellResults, name: str, contexts: list[int]) -> list[object]:
    """A column of the samples on these contexts, in their order."""
    by_context = dict(zip(cell.samples["context"], cell.samples[name], strict=True))
    return [by_context[context] for context in contexts]
