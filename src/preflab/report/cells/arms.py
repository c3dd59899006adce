"""Arms (the cells that differ in nothing but the seed) and what is measured between and within them."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from preflab.errors import PreflabError
from preflab.evaluate.statistics import Interval, bootstrap, majority
from preflab.report.cells.load import REINFORCED, UNTRAINED, Cell, Grid

RESAMPLES = 2000  # of every bootstrap interval
METHOD = f"95 % percentile bootstrap over seeds and contexts, {RESAMPLES} resamples"
ZERO_SHOT, DIRECT = "zero-shot", "direct"
TASKS = ["mock", "sentiment", "descriptiveness", "tldr", "cnndm"]  # in the order of the paper
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Arm:
    """Cells that differ only in their seed, in the order of their seeds."""

    name: str  # "5k offline", "direct", "zero-shot"
    family: str  # what an arm shares with those it is compared with: task, model and the extra axes
    cells: tuple[Cell, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(cell.id for cell in self.cells)

    @property
    def first(self) -> Cell:
        return self.cells[0]

    @property
    def seeds(self) -> list[int | None]:
        return [cell.row["seed"] for cell in self.cells]

    @property
    def ablated(self) -> bool:
        """Whether something of the method is left out or changed in it."""
        return self.first.ablation != "none"


@dataclass(frozen=True, slots=True)
class Family:
    """Arms that can be compared: one task, one model, equal extra axes; with the reference of all of them."""

    name: str
    arms: tuple[Arm, ...]

    def arm(self, name: str) -> Arm | None:
        return next((arm for arm in self.arms if arm.name == name), None)

    @property
    def task(self) -> str:
        return str(self.arms[0].first.row["task"])

    @property
    def axes(self) -> list[str]:
        """What else its cells share: `policy.episodes=1600`; empty for what the grid calls its task and model."""
        return self.name.split(", ")[2:]

    @property
    def summarises(self) -> bool:
        """Whether its responses are summaries, which have tables of their own."""
        return "rouge1" in self.arms[0].first.samples

    @property
    def trained(self) -> list[Arm]:
        """The arms with a training curve: not zero-shot, and not the baselines without reinforcement learning."""
        return [arm for arm in self.arms if arm.first.method in REINFORCED]

    @property
    def plain(self) -> list[Arm]:
        """The trained arms without the ablations, which have a table of their own."""
        return [arm for arm in self.trained if not arm.ablated]


def families(grid: Grid) -> list[Family]:
    """The arms by family, the tasks in the paper's order, each with the zero-shot arm it was judged against."""
    references = {cell.row["zero_shot"]: cell for cell in grid.cells if cell.is_zero_shot}
    trained = sorted((cell for cell in grid.cells if not cell.is_zero_shot), key=_family)
    found = []
    for name, members in groupby(trained, key=_family):
        cells = list(members)
        arms = [
            Arm(key, name, tuple(c for c in cells if arm_name(c) == key)) for key in dict.fromkeys(map(arm_name, cells))
        ]
        if reference := references.get(cells[0].row["zero_shot"]):
            arms.insert(0, Arm(ZERO_SHOT, name, (reference,)))
        found.append(Family(name, tuple(arms)))
    if not found:  # a grid of references only
        found = [Family(_family(c), (Arm(ZERO_SHOT, _family(c), (c,)),)) for c in references.values()]
    return sorted(found, key=lambda family: TASKS.index(family.task) if family.task in TASKS else len(TASKS))


def main(found: list[Family]) -> list[Family]:
    """Of each task and model the family without extra axes, or all of them where every family has some (a sweep)."""
    fewest: dict[tuple[str, str], int] = {}
    for family in found:
        key = _task_and_model(family)
        fewest[key] = min(fewest.get(key, len(family.axes)), len(family.axes))
    return [family for family in found if len(family.axes) == fewest[_task_and_model(family)]]


def _task_and_model(family: Family) -> tuple[str, str]:
    row = family.arms[0].first.row
    return str(row["task"]), str(row["model"])


def arm_name(cell: Cell) -> str:
    """The paper's words: "5k offline", "direct" (trained on the true score), "zero-shot", "5k offline, no_kl"."""
    if cell.method in UNTRAINED:
        return cell.method.replace("_", "-")
    labels = cell.row["labels"]
    name = "" if labels is None else DIRECT if labels == DIRECT else f"{labels} {cell.row['collection']}"
    if cell.method != "rl":
        name = f"{cell.method.replace('_', '-')} {name}".strip()
    return name if cell.ablation == "none" else f"{name}, {cell.ablation}"


def _family(cell: Cell) -> str:
    named = ("model", "method", "ablation")  # these stand in the family's or in the arm's name
    axes = [f"{key}={value}" for key, value in sorted(cell.row["overrides"].items()) if key not in named]
    return ", ".join([f"{cell.row['task']}, {cell.row['model']}", *axes])


def win_rate(a: Arm, b: Arm) -> Interval | None:
    """Share of contexts on which the judge's majority prefers `a`, equal seeds paired; None without any."""
    return _paired(a, b, "judge", _majority)


def vader_rate(a: Arm, b: Arm) -> Interval | None:
    """The same by VADER, a second, unrelated judge without noise: the higher score wins, equal ones split."""
    return _paired(a, b, "vader", lambda one, other, _: np.where(one == other, 0.5, (one > other).astype(float)))


def difference(a: Arm, b: Arm, column: str) -> Interval | None:
    """Mean over contexts of `a` − `b` in a column of the samples, equal seeds against each other."""
    return _paired(a, b, column, lambda one, other, _: one - other)


def mean(arm: Arm, column: str) -> Interval:
    """Mean of a column of the samples over seeds and contexts."""
    contexts = common([arm])
    return bootstrap([_column(cell, column, contexts) for cell in arm.cells], RESAMPLES)


def seed_mean(arm: Arm, metric: str) -> float:
    """Mean over seeds of a number of reports/metrics/."""
    return float(np.mean([cell.metrics[metric] for cell in arm.cells]))


def pairs(a: Arm, b: Arm) -> list[tuple[Cell, Cell]]:
    """Equal seeds of two arms; what has no seed (zero-shot, lead-3) meets all of them."""
    if None in (a.seeds[0], b.seeds[0]):
        return [(one, other) for one in a.cells for other in b.cells]
    by_seed = {cell.row["seed"]: cell for cell in b.cells}
    return [(cell, by_seed[cell.row["seed"]]) for cell in a.cells if cell.row["seed"] in by_seed]


def common_contexts(family: Family) -> list[int]:
    """The test contexts that every cell of the family was evaluated on."""
    return common(list(family.arms))


def _majority(one: Floats, other: Floats, cell: Cell) -> Floats:
    tau, votes = cell.metrics["judge_tau"], int(cell.metrics["votes"])
    return majority(one, other, tau, votes, seed=int(cell.metrics["votes_seed"]))


def _paired(a: Arm, b: Arm, column: str, compare: Callable[[Floats, Floats, Cell], Floats]) -> Interval | None:
    matched = pairs(a, b)
    if not matched:
        return None
    contexts = common([a, b])
    values = [compare(_column(one, column, contexts), _column(other, column, contexts), one) for one, other in matched]
    return bootstrap(values, RESAMPLES)


def common(arms: list[Arm]) -> list[int]:
    """Contexts that all cells have; the same number must be the same text in each of them."""
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


def _column(cell: Cell, name: str, contexts: list[int]) -> Floats:
    return np.array(column_of(cell, name, contexts), np.float64)


def column_of(cell: Cell, name: str, contexts: list[int]) -> list[object]:
    by_context = dict(zip(cell.samples["context"], cell.samples[name], strict=True))
    return [by_context[context] for context in contexts]
