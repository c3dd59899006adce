"""Every policy on held-out contexts: its scores, and each cell's reward and KL."""

from preflab.report import captions
from preflab.report.cells.arms import METHOD, common, mean, seed_mean
from preflab.report.cells.results import UNTRAINED, Arm, CellResults, Family, GridResults
from preflab.report.table import Column, Table, TableRow, Value, WithError

KL_TOLERANCE = 0.25  # final KL counts as on target within this share of it


def scores(grid: GridResults) -> list[Table]:
    """What every policy scores on the test contexts."""
    rows = []
    for family in grid.families:
        for arm in _not_repeated(family, grid):
            values = captions.arm_values(grid, family, arm) | {
                "true_score": mean(arm, "true_score"),
                "judge": mean(arm, "judge"),
                "vader": mean(arm, "vader"),
                **{name: seed_mean(arm, name) for name in ("length", "ended", "distinct_1", "distinct_2")},
            }
            rows.append(TableRow(values, arm.ids))
    columns = (
        *captions.arm_columns(grid),
        Column("true_score", "true score, SD of ρ", "interval", 2),
        Column("judge", "judge's score", "interval", 2),
        Column("vader", "VADER", "interval", 3),
        Column("length", "length, tokens", "number", 1),
        Column("ended", "end token, %", "number", 1, 100),
        Column("distinct_1", "distinct-1", "number", 3),
        Column("distinct_2", "distinct-2", "number", 3),
    )
    contexts = {family.task: len(common(list(family.arms))) for family in grid.families}
    numbers = ", ".join(f"{number} ({task})" for task, number in contexts.items())
    notes = [f"Means over held-out contexts, {numbers}, and over seeds. Brackets: {METHOD}."]
    return [captions.table(grid, "scores", "Scores on held-out contexts", columns, rows, notes)]


def _not_repeated(family: Family, grid: GridResults) -> list[Arm]:
    """The arms of a family but for a reference that an earlier family has shown."""
    earlier = {arm.ids for other in grid.families[: grid.families.index(family)] for arm in other.arms}
    return [arm for arm in family.arms if arm.ids not in earlier]


def cells(grid: GridResults) -> list[Table]:
    """One row for each cell: reward against KL, and whether the KL is where the controller should hold it."""
    rows = []
    for cell in grid.cells:
        target = cell.row["kl_target"]
        ratio = cell.metrics["kl"] / target if target and "kl" in cell.metrics else None
        values: dict[str, Value] = {
            "cell": cell.id,
            "labels": captions.labels_text(grid, cell),
            "source": captions.source_text(cell),
            "true_score": _with_error(cell, "true_score"),
            "reward_model": None if cell.method in UNTRAINED else _with_error(cell, "reward_model"),
            "kl": None if cell.method in UNTRAINED else _with_error(cell, "kl"),
            "target": target,
            "ratio": ratio,
            "on_target": None if ratio is None else "yes" if abs(ratio - 1) <= KL_TOLERANCE else "no",
        }
        rows.append(TableRow(values, (cell.id,)))
    columns = (
        Column("cell", "cell"),
        Column("labels", "labels"),
        Column("source", "labels from"),
        Column("true_score", "true score, SD of ρ", "error", 2),
        Column("reward_model", "reward model's score", "error", 2),
        Column("kl", "KL, nats", "error", 2),
        Column("target", "KL target", "number", 2),
        Column("ratio", "KL / target", "number", 2),
        Column("on_target", f"within {KL_TOLERANCE:.0%}".replace("%", " %")),
    )
    notes = [
        "Means over held-out contexts ± standard error over contexts. KL of the policy from the reference "
        "ρ per response."
    ]
    return [captions.table(grid, "cells", "Every cell: reward and KL", columns, rows, notes, folded=True)]


def _with_error(cell: CellResults, metric: str) -> WithError | None:
    """None where the cell has no such number: a supervised policy no reward model, lead-3 no KL."""
    return WithError(cell.metrics[metric], cell.metrics[f"{metric}_se"]) if metric in cell.metrics else None
