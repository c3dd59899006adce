"""The policies in the tables and figures of summaries: the paper's, also where the grid lacks them, and others."""

from typing import NamedTuple

from preflab.report.cells import select as select_cells
from preflab.report.cells.arms import ZERO_SHOT, Arm, families
from preflab.report.cells.load import Cell, Grid
from preflab.report.cells.select import Wanted
from preflab.report.paper.summaries import ONLINE, SUPERVISED_RL, TITLES

LEAD_3, REFERENCE, SUPERVISED = "lead-3", "reference", "supervised"
# The paper's policies as select.py finds them.
POLICIES: dict[str, Wanted] = {
    REFERENCE: {"method": "reference"},
    ZERO_SHOT: {"method": "zero_shot"},
    SUPERVISED: {"method": "supervised"},
    LEAD_3: {"method": "lead_3"},
    SUPERVISED_RL: {"method": "supervised_rl", "labels": "60k"},
    "60k offline": {"labels": "60k", "collection": "offline"},
    "15k online": {"labels": "15k", "collection": "online"},
    "30k online": {"labels": "30k", "collection": "online"},
    ONLINE: {"labels": "60k", "collection": "online"},
}


class Entry(NamedTuple):
    """A policy of a task; no arm where the grid lacks it."""

    task: str
    name: str  # the paper's numbers are under it
    arm: Arm | None


def cells(grid: Grid) -> list[Cell]:
    """The cells that summarise."""
    return [cell for cell in grid.cells if cell.row["task"] in TITLES]


def tasks(grid: Grid) -> list[str]:
    """The summarization tasks that the grid has."""
    found = {cell.row["task"] for cell in cells(grid)}
    return [task for task in TITLES if task in found]


def entries(grid: Grid, task: str) -> list[Entry]:
    """The paper's policies, those too that the grid lacks, then what else the grid has of the task."""
    found = []
    for name, wanted in POLICIES.items():
        arms = select_cells.arms(grid, task, wanted, set(wanted))
        found += [Entry(task, name, arm) for arm in arms] or [Entry(task, name, None)]
    seen = {entry.arm.ids for entry in found if entry.arm}
    others = [arm for family in families(grid) if family.task == task for arm in family.arms]
    return found + [Entry(task, arm.name, arm) for arm in others if arm.ids not in seen]
