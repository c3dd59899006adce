"""The words that all tables share: the scale of a label count, who labelled, who judged."""

from collections.abc import Iterable

from preflab.report.cells.results import DIRECT, Arm, CellResults, Family, GridResults
from preflab.report.table import NOTHING, Column, Table, TableRow, Value

JUDGES = {  # of the labellers in conf/labeller/
    "classifier": "a classifier trained on other reviews than the labeller's",
    "vader": "a classifier",
    "concreteness": "sensorimotor ratings of words by other people",
    "summary": "ROUGE-1 and the share of supported items",
}
SOURCES = (
    "image: read off the paper's image of the table. digitised: from its vector graphics (error below 1 % of an axis). "
    "notes: quoted by readers of the paper, whose text could not be read. blog, article: by its authors. memory: not "
    "verified, with our confidence in brackets"
)


def labels_text(grid: GridResults, cell: CellResults) -> str:
    """`5k × 1/40 = 120`: the paper's budget, the scale, the number of labels in whole batches."""
    if cell.row["labels"] is None:
        return "none"
    if cell.row["labels"] == DIRECT:
        return "true score"
    return f"{cell.row['labels']} × {scale(grid, cell)} = {cell.row['num_train']}"


def scale(grid: GridResults, cell: CellResults) -> str:
    """What the cell's label budget was multiplied by: a row of a grid may have its own."""
    return str(cell.row.get("scale", grid.scale))


def source_text(cell: CellResults) -> str:
    """Who labelled: `synthetic` or `human`."""
    return "synthetic" if cell.row["synthetic"] else "human"


def labellers(cells: Iterable[CellResults]) -> str:
    """The labellers of these cells: `classifier, two such labellers agree on 42 %`."""
    names = set()
    for cell in cells:
        if not cell.row["synthetic"]:
            names.add(cell.row["labeller"])
            continue
        agreement = cell.row["agreement"]
        noise = "noise-free" if agreement is None else f"two such labellers agree on {100 * agreement:.0f} %"
        names.add(f"{cell.row['labeller']}, {noise}")
    return "; ".join(sorted(names))


def caption_mark(grid: GridResults) -> str:
    """What every caption ends with: who labelled and judged, and the scale."""
    source = "Synthetic labels and judge" if grid.synthetic else "Human labels, synthetic judge"
    if grid.mixed:
        source = "Human and synthetic labels, synthetic judge"
    return f"{source}; labels × {grid.scale}, episodes × {grid.episode_scale} of the paper's."


def judge_note(cells: Iterable[CellResults]) -> str:
    """Who labelled and who judged the responses of these cells, and how noisily."""
    cells = list(cells)
    by_labeller = {cell.row["labeller"]: cell for cell in cells}
    judges = "; ".join(
        f"{JUDGES.get(name, 'as conf/labeller/ says')} (labeller {name}, τ = {cell.metrics['judge_tau']:.3g})"
        for name, cell in by_labeller.items()
    )
    return (
        f"Labeller: {labellers(cells)}. Judge: {judges}; majority of {cells[0].metrics['votes']:.0f} noisy votes, "
        "in place of the paper's three people per excerpt. VADER: a lexicon with rules, trained on none of these texts."
    )


def first_cells(families: Iterable[Family]) -> list[CellResults]:
    """The cell of each family's first arm."""
    return [family.arms[0].first for family in families]


def seeds_text(arm: Arm) -> str:
    """`1, 2`; a dash where nothing is trained."""
    return NOTHING if arm.seeds[0] is None else ", ".join(map(str, arm.seeds))


def extra_axes(family: Family) -> str:
    """The axes of a family other than task and model, for the name of a row; empty in a plain grid."""
    return f" ({', '.join(family.axes)})" if family.axes else ""


def arm_columns(grid: GridResults, task: bool = False, arm: str = "policy") -> tuple[Column, ...]:
    """The columns that name an arm; its task and model where the grid has several, or the table asks for the task."""
    return (
        *([Column("task", "task")] if task or grid.several("task") else []),
        *([Column("model", "model")] if grid.several("model") else []),
        Column("arm", arm),
        Column("labels", "labels"),
        Column("source", "labels from"),
        Column("seeds", "seeds"),
    )


def arm_values(grid: GridResults, family: Family, arm: Arm) -> dict[str, Value]:
    """The values of `arm_columns`."""
    return {
        "task": family.task,
        "model": arm.first.row["model"],
        "arm": arm.name + extra_axes(family),
        "labels": labels_text(grid, arm.first),
        "source": source_text(arm.first),
        "seeds": seeds_text(arm),
    }


def table(
    grid: GridResults,
    label: str,
    title: str,
    columns: tuple[Column, ...],
    rows: Iterable[TableRow],
    notes: Iterable[str] = (),
    folded: bool = False,
) -> Table:
    """A table of this grid: its caption says who labelled, and the scale."""
    caption = f"{title}. {caption_mark(grid)}"
    return Table(label, caption, columns, tuple(rows), references(grid), tuple(notes), folded)


def references(grid: GridResults) -> dict[str, int]:
    """The number under which each cell stands in the provenance."""
    return {cell.id: number for number, cell in enumerate(grid.cells, 1)}
