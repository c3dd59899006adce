"""What a grid has not run: the rows that say so, and one line for each table or figure of the paper without any.

A table or figure of which the grid has nothing is not built; being in `ITEMS`, it is then named with its command.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from preflab.report.claims.verdicts import NOT_RUN
from preflab.report.table import Row, Value

CLAIMS = "claims"  # the grid of conf/grid/ that runs most of what is missing elsewhere
SUMMARIES = "claims"  # the one that runs cnndm
LARGE = "smollm2"  # the one for a GPU: all tasks, and the budgets between


class Item(NamedTuple):
    """A table or figure of the paper."""

    label: str  # of the Table or Figure
    title: str
    grid: str = CLAIMS  # that builds it


ITEMS = (
    Item("table1", "Table 1. Which of two policies is preferred"),
    Item("figure2", "Figure 2. Reward while policies train"),
    Item("frontier", "Figure 3. Reward against KL"),
    Item("figure4", "Figure 4. Preference by the number of labels", "figure4"),
    Item("table4", "Table 4. ROUGE of summaries", SUMMARIES),
    Item("table5", "Table 5. Which of two summaries is preferred", SUMMARIES),
    Item("table7", "Table 7. Summaries that begin as their source does", SUMMARIES),
    Item("table8", "Table 8. Summaries that their source supports", SUMMARIES),
    Item("figure5", "Figure 5. How much of a summary is new", SUMMARIES),
    Item("figure6", "Figure 6. How much of a summary is repeated", SUMMARIES),
    Item("figure7", "Figure 7. Where in the source summaries copy from", SUMMARIES),
    Item("table10", "Table 10. Samples without the KL penalty"),
)


def command(grid: str = CLAIMS) -> str:
    """What builds a grid."""
    return f"python -m pipelines.grid {grid} && dvc repro"


def row(values: dict[str, Value], column: str) -> Row:
    """A row of the paper that the grid lacks: its name and the paper's numbers, and "not run" in our `column`."""
    return Row(values | {column: NOT_RUN}, ())


def notes(missing: Iterable[tuple[str, str]]) -> list[str]:
    """One note for each grid that builds some of the rows `(name, grid)` which say "not run"."""
    names: dict[str, list[str]] = {}
    for name, grid in missing:
        names.setdefault(grid, []).append(name)
    return [f"Not run here: {'; '.join(found)}. `{command(grid)}` runs it." for grid, found in names.items()]


def lines(built: Collection[str]) -> list[tuple[str, str]]:
    """Title and command of every table and figure that is not among the labels `built`."""
    return [(item.title, command(item.grid)) for item in ITEMS if item.label not in built]
