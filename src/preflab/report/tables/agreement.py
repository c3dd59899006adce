"""Table 9: how often two labellers choose the same of four responses."""

from preflab.report import captions, not_run
from preflab.report.cells.results import CellResults, GridResults
from preflab.report.paper.style import TABLE_9, TABLE_9_DOUBT, TABLE_9_SOURCE
from preflab.report.table import Column, Table, TableRow, Value, WithError

PAIRS = {  # the paper's pairs: ours in their place, and the metrics of the stage `comparisons`
    "labellers": ("two labellers", "labellers_agree"),
    "authors and labellers": ("judge and labeller", "judge_agrees"),
    "authors": ("two judges", None),
}
CHANCE = 0.25  # of two that choose at random


def table_9(grid: GridResults) -> list[Table]:
    """A row for each pair of labellers of each task; the judge stands for the paper's authors."""
    by_comparisons: dict[str, CellResults] = {}
    for cell in grid.cells:
        if "comparisons" in cell.row:
            by_comparisons.setdefault(cell.row["comparisons"], cell)
    rows = [_row(cell, pair) for cell in by_comparisons.values() for pair in PAIRS]
    if not rows:
        return []
    tasks = {cell.row["task"] for cell in by_comparisons.values()}
    missing = [key for key in TABLE_9 if key[0] not in tasks]
    columns = (
        Column("task", "task"),
        Column("labeller", "labeller"),
        Column("pair", "who"),
        Column("source", "labels from"),
        Column("agree", "ours: agree, %", "error", 1, 100),
        Column("questions", "questions", "number", 0),
        Column("chance", "at random, %", "number", 0, 100),
        Column("paper", "paper, %", "error", 0),
        Column("paper_source", "where"),
    )
    notes = [
        "Ours: share of the questions put to several labellers on which two of them choose the same of four, ± its "
        "standard error over questions. Labellers are copies of one scorer with independent noise, set so that "
        "two labellers agree as two people do; the judge, another scorer, stands for the paper's authors. No question "
        "of four is put to two judges.",
        TABLE_9_DOUBT,
        *not_run.notes((task, pair, not_run.LARGE) for task, pair in missing),
    ]
    return [captions.table(grid, "table9", "Table 9. Agreement of labellers", columns, rows, notes)]


def _row(cell: CellResults, pair: str) -> TableRow:
    """The row names one of the cells whose labels these are."""
    name, metric = PAIRS[pair]
    share = cell.comparisons.get(metric) if metric else None
    values: dict[str, Value] = {
        "task": cell.row["task"],
        "labeller": cell.row["labeller"],
        "pair": f"{name} (paper: {pair})",
        "source": captions.source_text(cell),
        "agree": WithError(share, cell.comparisons[f"{metric}_se"]) if share is not None else "not measured",
        "questions": cell.comparisons.get("questions_asked_again") if metric else None,
        "chance": CHANCE,
    }
    return TableRow(values | _published(cell.row["task"], pair), (cell.id,))


def _published(task: str, pair: str) -> dict[str, Value]:
    published = TABLE_9.get((task, pair))
    return {"paper": WithError(*published), "paper_source": TABLE_9_SOURCE} if published else {}
