"""What a grid has not run: of each table the rows that it lacks, and the paper's tables and figures without any row.

A table or figure without results is not built; the report names those in `ITEMS` with the commands that build them.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

CLAIMS = "claims"  # the grid of conf/grid/ that runs most rows
SUMMARIES = "claims"  # the one that runs cnndm
FIGURE_4 = "figure4"  # the one with all numbers of labels of Figure 4
LARGE = "smollm2"  # the one for a GPU: all tasks, and the budgets between


class PaperItem(NamedTuple):
    """A table or figure of the paper."""

    label: str  # of the Table or Figure
    title: str
    grid: str = CLAIMS  # that builds it


ITEMS = (
    PaperItem("table1", "Table 1. Which of two policies is preferred"),
    PaperItem("figure2", "Figure 2. Reward while policies train"),
    PaperItem("frontier", "Figure 3. Reward against KL"),
    PaperItem("figure4", "Figure 4. Preference by the number of labels", FIGURE_4),
    PaperItem("table4", "Table 4. ROUGE of summaries", SUMMARIES),
    PaperItem("table5", "Table 5. Which of two summaries is preferred", SUMMARIES),
    PaperItem("table7", "Table 7. Summaries that begin as their source does", SUMMARIES),
    PaperItem("table8", "Table 8. Summaries that their source supports", SUMMARIES),
    PaperItem("table9", "Table 9. Agreement of labellers"),
    PaperItem("figure5", "Figure 5. How much of a summary is new", SUMMARIES),
    PaperItem("figure6", "Figure 6. How much of a summary is repeated", SUMMARIES),
    PaperItem("figure7", "Figure 7. Where in the source summaries copy from", SUMMARIES),
    PaperItem("table10", "Table 10. Samples without the KL penalty"),
    PaperItem("ablations", "Ablations, each under its base"),
)


def command(grid: str = CLAIMS) -> str:
    """What builds a grid."""
    return f"python -m pipelines.grid {grid} && dvc repro"


def notes(rows: Iterable[tuple[str, str, str]]) -> list[str]:
    """One note for each grid that builds some of the missing rows `(task, name, grid)`; a task may be empty.

    `Not run: sentiment: 200, 500; descriptiveness: 200. …`
    """
    by_grid: dict[str, dict[str, list[str]]] = {}
    for task, name, grid in rows:
        by_grid.setdefault(grid, {}).setdefault(task, []).append(name)
    return [
        f"Not run: {'; '.join(_of_task(task, names) for task, names in by_task.items())}. `{command(grid)}` runs them."
        for grid, by_task in by_grid.items()
    ]


def _of_task(task: str, names: list[str]) -> str:
    return (f"{task}: " if task else "") + ", ".join(names)


def lines(built: Collection[str]) -> list[tuple[str, str]]:
    """Title and command of every table and figure that is not among the labels `built`."""
    return [(item.title, command(item.grid)) for item in ITEMS if item.label not in built]
