"""The results of a grid: cells, arms (cells that differ in nothing but the seed) and families of arms to compare."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preflab.grid.kinds import BASE, EVALUATIONS, METHODS, method_of

Floats = NDArray[np.float64]
JsonObject = dict[str, Any]

# The reference model, and what no model writes: the same for all labels, collections and settings of training.
UNTRAINED = {method for method, chain in METHODS.items() if len(chain) == 1}
REINFORCED = {method for method, chain in METHODS.items() if "ppo" in chain}  # these have a training curve
ZERO_SHOT, DIRECT = "zero-shot", "direct"  # names of arms
TASKS = ["mock", "sentiment", "descriptiveness", "tldr", "cnndm"]  # in the order of the paper


@dataclass(frozen=True, slots=True, eq=False)
class CellResults:
    """One policy (or the zero-shot reference): its row of params/report.yaml and the results of its stages.

    Equal only to itself, so that it can be the key of a cache.
    """

    id: str
    row: JsonObject
    metrics: dict[str, float]  # reports/metrics/ID.json
    samples: dict[str, list[Any]]  # samples.parquet by column, in the order of `context`
    curve: dict[str, Floats]  # training curve by column, [updates]; empty without reinforcement learning
    reward: dict[str, float]  # reports/reward/ID.json; empty without a reward model
    prepare: JsonObject  # reports/prepare/ID.json: the two classifiers; empty without the file
    comparisons: JsonObject  # reports/comparisons/ID.json: the labels' noise; empty without the file
    runs: dict[str, JsonObject]  # stage -> run record; a stage restored from the cache may have none
    right: tuple[bool, ...] = ()  # whether its reward model is right, for each held-out comparison; empty without one
    settings: JsonObject = field(default_factory=dict)  # of its evaluation stage; empty without the file

    @property
    def method(self) -> str:
        """One of kinds.METHODS."""
        return method_of(self.row)

    @property
    def ablation(self) -> str:
        """What of the method is left out or changed; `none` in the paper's own runs."""
        return str(self.row.get("ablation") or "none")

    @property
    def is_zero_shot(self) -> bool:
        """Whether it is the reference model."""
        return self.method == "zero_shot"

    def value(self, key: str) -> Any:
        """A key of the row, with its default where the row does not have it."""
        return {"method": self.method, "ablation": self.ablation}.get(key, self.row.get(key))

    def instance(self, kind: str) -> str | None:
        """The instance id of this cell's stage `kind`, where it has that stage."""
        if kind in BASE:
            return self.row.get("base", {}).get(kind)
        final = METHODS[self.method][-1]
        if kind in EVALUATIONS and kind not in ("zero_shot", final):
            return None
        return self.row.get("evaluate" if kind == final else kind)


@dataclass(frozen=True, slots=True)
class Arm:
    """Cells that differ only in their seed, in the order of their seeds."""

    name: str  # "5k offline", "direct", "zero-shot"
    family: str  # what an arm shares with those it is compared with: task, model and the extra axes
    cells: tuple[CellResults, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Of its cells."""
        return tuple(cell.id for cell in self.cells)

    @property
    def first(self) -> CellResults:
        """The cell of the first seed."""
        return self.cells[0]

    @property
    def seeds(self) -> list[int | None]:
        """Of its cells; [None] where nothing is trained."""
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
        """The arm of that name, if the family has it."""
        return next((arm for arm in self.arms if arm.name == name), None)

    @property
    def task(self) -> str:
        """`sentiment`."""
        return str(self.arms[0].first.row["task"])

    @property
    def model(self) -> str:
        """`tiny`."""
        return str(self.arms[0].first.row["model"])

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


@dataclass(frozen=True, eq=False)
class GridResults:
    """A finished grid: budgets are the paper's times `scale` (labels) and `episode_scale` (episodes).

    Equal only to itself, as its cells.
    """

    name: str
    scale: str
    episode_scale: str
    cells: tuple[CellResults, ...]

    @property
    def synthetic(self) -> bool:
        """Whether some labels are synthetic."""
        return any(cell.row["synthetic"] for cell in self.cells)

    @property
    def mixed(self) -> bool:
        """Whether some labels are synthetic and some human."""
        return self.synthetic and not all(cell.row["synthetic"] for cell in self.cells)

    @cached_property
    def families(self) -> tuple[Family, ...]:
        """The arms by family, tasks in the paper's order, each family with the zero-shot arm it was judged against."""
        references = {cell.row["zero_shot"]: cell for cell in self.cells if cell.is_zero_shot}
        others = sorted((cell for cell in self.cells if not cell.is_zero_shot), key=_family_name)
        families = []
        for name, members in groupby(others, key=_family_name):
            arms = _arms(name, tuple(members))
            if reference := references.get(arms[0].first.row["zero_shot"]):
                arms.insert(0, Arm(ZERO_SHOT, name, (reference,)))
            families.append(Family(name, tuple(arms)))
        if not families:  # a grid of references only
            lone = [Arm(ZERO_SHOT, _family_name(cell), (cell,)) for cell in references.values()]
            families = [Family(arm.family, (arm,)) for arm in lone]
        return tuple(sorted(families, key=lambda family: TASKS.index(family.task) if family.task in TASKS else 99))

    @property
    def main_families(self) -> list[Family]:
        """Of each task and model the family without extra axes, or all where every family has some (a sweep)."""
        fewest: dict[tuple[str, str], int] = {}
        for family in self.families:
            key = family.task, family.model
            fewest[key] = min(fewest.get(key, len(family.axes)), len(family.axes))
        return [family for family in self.families if len(family.axes) == fewest[family.task, family.model]]

    @property
    def style_families(self) -> list[Family]:
        """The families of Table 1: every task whose responses are no summaries, but the mock experiment."""
        return [family for family in self.families if not family.summarises and family.task != "mock"]

    def several(self, key: str) -> bool:
        """Whether its cells differ in `key` (task, model)."""
        return len({cell.row[key] for cell in self.cells}) > 1


def _arms(family: str, cells: tuple[CellResults, ...]) -> list[Arm]:
    names = dict.fromkeys(map(arm_name, cells))
    return [Arm(name, family, tuple(cell for cell in cells if arm_name(cell) == name)) for name in names]


def arm_name(cell: CellResults) -> str:
    """The paper's words: "5k offline", "direct" (trained on the true score), "zero-shot", "5k offline, no_kl"."""
    if cell.method in UNTRAINED:
        return cell.method.replace("_", "-")
    labels = cell.row["labels"]
    name = "" if labels is None else DIRECT if labels == DIRECT else f"{labels} {cell.row['collection']}"
    if cell.method != "rl":
        name = f"{cell.method.replace('_', '-')} {name}".strip()
    return name if cell.ablation == "none" else f"{name}, {cell.ablation}"


def setting(cell: CellResults, named: Iterable[str]) -> str:
    """Task, model, and the axes of its grid other than `named`: `sentiment, tiny, policy.lr=1e-05`."""
    axes = [f"{key}={value}" for key, value in sorted(cell.row["overrides"].items()) if key not in set(named)]
    return ", ".join([str(cell.row["task"]), str(cell.row["model"]), *axes])


def _family_name(cell: CellResults) -> str:
    return setting(cell, ("model", "method", "ablation"))  # these stand in the family's or in the arm's name
