"""Table 9: how often two labellers choose the same of four responses."""

from preflab.report import absent, captions
from preflab.report.cells.load import Cell, Grid
from preflab.report.paper.style import TABLE_9, TABLE_9_DOUBT, TABLE_9_SOURCE
from preflab.report.table import Column, Row, Table, Value, WithError

PAIRS = {  # the paper's pairs: ours in their place, and the metrics of the stage `comparisons`
    "labellers": ("two labellers", "labellers_agree"),
    "authors and labellers": ("judge and labeller", "judge_agrees"),
    "authors": ("two judges", None),
}
CHANCE = 0.25  # of two that choose at random


def table_9(grid: Grid) -> Table:
    """A row for each pair of labellers of each task; the judge stands for the paper's authors."""
    first: dict[str, Cell] = {}
    for cell in grid.cells:
        if "comparisons" in cell.row:
            first.setdefault(cell.row["comparisons"], cell)
    rows = []
    for cell in first.values():
        rows += [_row(cell, pair) for pair in PAIRS]
    tasks = {cell.row["task"] for cell in first.values()}
    missing = [key for key in TABLE_9 if key[0] not in tasks]
    for task, pair in missing:
        values: dict[str, Value] = {"task": task, "pair": f"{PAIRS[pair][0]} (paper: {pair})", "chance": CHANCE}
        rows.append(absent.row(values | _published(task, pair), "agree"))
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
        "standard error over questions. Labellers are copies of one scorer with independent noise, which was set so "
        "that two of them agree as two people do; the judge, a scorer of its own, stands for the paper's authors. Two "
        "judges are not asked the same question of four.",
        TABLE_9_DOUBT,
        captions.SOURCES,
        *absent.notes((f"{task}: {pair}", absent.LARGE) for task, pair in missing),
    ]
    return captions.table(grid, "table9", "Table 9. Agreement of labellers", columns, rows, notes)


def _row(cell: Cell, pair: str) -> Row:
    """It names one of the cells whose labels these are."""
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
    return Row(values | _published(cell.row["task"], pair), (cell.id,))


def _published(task: str, pair: str) -> dict[str, Value]:
    found = TABLE_9.get((task, pair))
    return {"paper": WithError(*found), "paper_source": TABLE_9_SOURCE} if found else {}
