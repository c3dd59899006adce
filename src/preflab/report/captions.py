"""The words that all tables share: the scale beside a label count, who labelled, who judged."""

from preflab.report.compare import MOCK, Arm, Family
from preflab.report.load import Cell, Grid
from preflab.report.table import NOTHING


def labels_text(grid: Grid, cell: Cell) -> str:
    """`5k × 1/40 = 120`: the paper's budget, the scale, what it comes to in whole batches."""
    if cell.row["labels"] is None:
        return "none"
    if cell.row["labels"] == MOCK:
        return "known reward"
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


def judge_note(grid: Grid) -> str:
    metrics = grid.cells[0].metrics
    return (
        f"Labeller: {labellers(grid)}. Judge: a classifier trained on other reviews than the labeller's; "
        f"majority of {metrics['votes']:.0f} noisy votes (τ = {metrics['judge_tau']:.3g}), in place of the "
        "paper's three people per excerpt. VADER: a lexicon with rules, trained on none of these texts."
    )


def seeds_text(arm: Arm) -> str:
    return NOTHING if arm.seeds[0] is None else ", ".join(map(str, arm.seeds))


def extra_axes(family: Family) -> str:
    """The axes of a family beside task and model, for the name of a row; empty in a plain grid."""
    axes = family.name.split(", ")[2:]
    return f" ({', '.join(axes)})" if axes else ""


def references(grid: Grid) -> dict[str, int]:
    """The number under which each cell stands in the provenance table."""
    return {cell.id: number for number, cell in enumerate(grid.cells, 1)}
