"""The words that all tables share: the scale beside a label count, who labelled, who judged."""

from collections.abc import Iterable

from preflab.report.cells.arms import DIRECT, Arm, Family
from preflab.report.cells.load import Cell, Grid
from preflab.report.table import NOTHING, Column, Row, Table, Value

JUDGES = {  # of the labellers in conf/labeller/
    "classifier": "a classifier trained on other reviews than the labeller's",
    "vader": "a classifier",
    "concreteness": "sensorimotor ratings of words by other people",
    "summary": "ROUGE-1 and the share of supported items",
}
SOURCES = (
    "Where the paper's numbers are from: image, read off its image of the table; digitised, from its vector graphics "
    "(error below 1 % of an axis); notes, quoted by readers of the paper (its text could not be read); blog, the "
    "article of its authors."
)


def labels_text(grid: Grid, cell: Cell) -> str:
    """`5k × 1/40 = 120`: the paper's budget, the scale, what it comes to in whole batches."""
    if cell.row["labels"] is None:
        return "none"
    if cell.row["labels"] == DIRECT:
        return "true score"
    return f"{cell.row['labels']} × {scale(grid, cell)} = {cell.row['num_train']}"


def scale(grid: Grid, cell: Cell) -> str:
    """What the cell's label budget was multiplied by: a row of a grid may have its own."""
    return str(cell.row.get("scale", grid.scale))


def source_text(cell: Cell) -> str:
    """Who labelled."""
    return "synthetic" if cell.row["synthetic"] else "people"


def labellers(grid: Grid) -> str:
    """The labellers of the grid: `classifier, two of it agree on 42 %`."""
    found = set()
    for cell in grid.cells:
        if not cell.row["synthetic"]:
            found.add(cell.row["labeller"])
            continue
        agreement = cell.row["agreement"]
        noise = "noise-free" if agreement is None else f"two of it agree on {100 * agreement:.0f} %"
        found.add(f"{cell.row['labeller']}, {noise}")
    return "; ".join(sorted(found))


def caption_mark(grid: Grid) -> str:
    """What every caption ends with: where the labels are from, and the scale."""
    source = "SYNTHETIC labels and judge" if grid.synthetic else "Labels from people, synthetic judge"
    if grid.mixed:
        source = "Labels from people and SYNTHETIC ones, synthetic judge"
    return f"{source}; grid {grid.name}, labels × {grid.scale}, episodes × {grid.episode_scale} of the paper's."


def judge_note(grid: Grid, found: Iterable[Family]) -> str:
    """Who labelled and who judged the responses of these families, and how noisily."""
    first = {cell.row["labeller"]: cell for family in found for cell in family.arms[0].cells}
    judges = "; ".join(
        f"{JUDGES.get(name, 'as conf/labeller/ says')} (labeller {name}, τ = {cell.metrics['judge_tau']:.3g})"
        for name, cell in first.items()
    )
    return (
        f"Labeller: {labellers(grid)}. Judge: {judges}; majority of {grid.cells[0].metrics['votes']:.0f} noisy votes, "
        "in place of the paper's three people per excerpt. VADER: a lexicon with rules, trained on none of these texts."
    )


def seeds_text(arm: Arm) -> str:
    return NOTHING if arm.seeds[0] is None else ", ".join(map(str, arm.seeds))


def extra_axes(family: Family) -> str:
    """The axes of a family beside task and model, for the name of a row; empty in a plain grid."""
    return f" ({', '.join(family.axes)})" if family.axes else ""


def several(grid: Grid, key: str) -> bool:
    """Whether the grid's cells differ in `key` (task, model)."""
    return len({cell.row[key] for cell in grid.cells}) > 1


def arm_columns(grid: Grid, task: bool = False, arm: str = "policy") -> tuple[Column, ...]:
    """The columns that name an arm; its task and model where the grid has several, or the table asks for the task."""
    return (
        *([Column("task", "task")] if task or several(grid, "task") else []),
        *([Column("model", "model")] if several(grid, "model") else []),
        Column("arm", arm),
        Column("labels", "labels"),
        Column("source", "labels from"),
        Column("seeds", "seeds"),
    )


def arm_values(grid: Grid, family: Family, arm: Arm) -> dict[str, Value]:
    return {
        "task": family.task,
        "model": arm.first.row["model"],
        "arm": arm.name + extra_axes(family),
        "labels": labels_text(grid, arm.first),
        "source": source_text(arm.first),
        "seeds": seeds_text(arm),
    }


def table(
    grid: Grid, label: str, title: str, columns: tuple[Column, ...], rows: list[Row], notes: Iterable[str]
) -> Table:
    """A table of this grid: its caption says where the labels are from, and the scale."""
    return Table(label, f"{title}. {caption_mark(grid)}", columns, tuple(rows), references(grid), tuple(notes))


def references(grid: Grid) -> dict[str, int]:
    """The number under which each cell stands in the provenance table."""
    return {cell.id: number for number, cell in enumerate(grid.cells, 1)}
