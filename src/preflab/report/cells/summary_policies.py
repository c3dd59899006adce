"""The policies in the tables and figures of summaries: the paper's, whether or not the grid has them, and others."""

from typing import NamedTuple

from preflab.report.cells import selection
from preflab.report.cells.results import ZERO_SHOT, Arm, CellResults, GridResults
from preflab.report.cells.selection import Selection
from preflab.report.paper.summaries import ONLINE, SUPERVISED_RL, TITLES

LEAD_3, REFERENCE, SUPERVISED = "lead-3", "reference", "supervised"
# The paper's policies as selection.py finds them.
POLICIES: dict[str, Selection] = {
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


class SummaryPolicy(NamedTuple):
    """A policy of a task; no arm where the grid lacks it."""

    task: str
    name: str  # the paper's numbers are under it
    arm: Arm | None


def cells(grid: GridResults) -> list[CellResults]:
    """The cells that summarise."""
    return [cell for cell in grid.cells if cell.row["task"] in TITLES]


def tasks(grid: GridResults) -> list[str]:
    """The summarization tasks that the grid has."""
    present = {cell.row["task"] for cell in cells(grid)}
    return [task for task in TITLES if task in present]


def policies(grid: GridResults, task: str) -> list[SummaryPolicy]:
    """The paper's policies, without an arm where the grid lacks them, then the grid's other policies of the task."""
    listed = []
    for name, query in POLICIES.items():
        arms = selection.arms(grid, task, query, set(query))
        listed += [SummaryPolicy(task, name, arm) for arm in arms] or [SummaryPolicy(task, name, None)]
    ids = {policy.arm.ids for policy in listed if policy.arm}
    others = [arm for family in grid.families if family.task == task for arm in family.arms]
    return listed + [SummaryPolicy(task, arm.name, arm) for arm in others if arm.ids not in ids]
