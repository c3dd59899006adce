"""The numbers of arms side by side: columns of the samples by seed and context, metrics, training curves.

Evaluations of summaries have more columns than others: rouge1, rouge2, rougeLsum (or rougeL), copied_sentences,
supported, copies_start and preamble, each 0 … 1 and null where a response has no sentence.  NotMeasuredError names a
column or a metric that a cell lacks.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from preflab.evaluate import frontier
from preflab.report.cells import arms as arms_cells
from preflab.report.cells.arms import column_of
from preflab.report.cells.results import Arm, CellResults, Floats

DISTINCT, ROUGE = "distinct", "rouge"  # no columns of the samples: worked out from their texts, from three others
BEST_OF = "best_of_"  # with a number n: what the best of n samples of the reference scores, from `reference_scores`
SHARES = {"copied_sentences", "supported"}  # kept as shares, printed as percentages


class NotMeasuredError(Exception):
    """A check cannot be measured on these arms; the message says what they lack."""


class StackedColumns(NamedTuple):
    """The same seeds and contexts of several columns: `tables` [seeds, contexts] each, `cells` by seed."""

    tables: list[Floats]
    cells: list[tuple[CellResults, ...]]
    seeds: list[int]
    contexts: int


def stack(columns: Sequence[tuple[Arm, str]]) -> StackedColumns:
    """Columns of the samples of arms, equal seeds and contexts side by side, without the contexts that lack a value.

    Raises NotMeasuredError where an arm lacks the column, or no context has all values.
    """
    rows = same_seeds([arm for arm, _ in columns])
    contexts = arms_cells.common([arm for arm, _ in columns])
    tables = [np.array([_column(row[side], name, contexts) for row in rows]) for side, (_, name) in enumerate(columns)]
    complete = ~np.isnan(tables).any(axis=(0, 1))
    if not complete.any():
        names = ", ".join(dict.fromkeys(name for _, name in columns))
        raise NotMeasuredError(f"{' and '.join(arm.name for arm, _ in columns)}: no context has a value of {names}")
    seeds = [seed for seed in (_seed(row) for row in rows) if seed is not None]
    return StackedColumns([table[:, complete] for table in tables], rows, seeds, int(complete.sum()))


def rights(arms: Sequence[Arm]) -> StackedColumns:
    """Which held-out comparisons the reward models of each arm get right, 0 or 100; their columns are comparisons.

    Raises NotMeasuredError where a cell has no reward model, or other comparisons than the first.
    """
    rows = same_seeds(arms)
    for cell in (cell for row in rows for cell in row):
        if not cell.right:
            raise NotMeasuredError(f"{cell.id} has no held-out accuracy of a reward model")
        if cell.row["comparisons"] != rows[0][0].row["comparisons"]:
            raise NotMeasuredError(f"{cell.id} and {rows[0][0].id} were held against other comparisons")
    tables = [100 * np.array([row[side].right for row in rows], np.float64) for side in range(len(arms))]
    seeds = [seed for seed in (_seed(row) for row in rows) if seed is not None]
    return StackedColumns(tables, rows, seeds, tables[0].shape[1])


def same_seeds(arms: Sequence[Arm]) -> list[tuple[CellResults, ...]]:
    """For each seed that all arms have, the cell of each arm; one without a seed (zero-shot, lead-3) is repeated.

    Raises NotMeasuredError where the arms have no seed in common.
    """
    seeded = [set(arm.seeds) for arm in arms if arm.seeds[0] is not None]
    common = sorted(seed for seed in set.intersection(*seeded) if seed is not None) if seeded else [None]
    if not common:
        raise NotMeasuredError(f"{' and '.join(arm.name for arm in arms)}: no seed in common")
    return [
        tuple(next((cell for cell in arm.cells if cell.row["seed"] == seed), arm.first) for arm in arms)
        for seed in common
    ]


def _seed(row: Sequence[CellResults]) -> int | None:
    return next((cell.row["seed"] for cell in row if cell.row["seed"] is not None), None)


def _column(cell: CellResults, name: str, contexts: list[int]) -> Floats:
    """A column of the samples in the unit of its measure; NaN where a context has no value. [contexts]"""
    if name == DISTINCT:
        texts = [str(text).lower().split() for text in _values(cell, "response", contexts)]
        return np.array([len(set(words)) / len(words) if words else np.nan for words in texts])
    if name == ROUGE:
        longest = "rougeLsum" if "rougeLsum" in cell.samples else "rougeL"
        kinds = [_values(cell, kind, contexts) for kind in ("rouge1", "rouge2", longest)]
        return 100 * np.array(kinds, np.float64).mean(0)
    if name.startswith(BEST_OF):
        rows = _values(cell, "reference_scores", contexts)
        n = int(name.removeprefix(BEST_OF))
        return np.array([frontier.best_of_n(row, n).item() if row else np.nan for row in rows])
    return (100 if name in SHARES else 1) * np.array(_values(cell, name, contexts), np.float64)


def _values(cell: CellResults, name: str, contexts: list[int]) -> list[Any]:
    if name not in cell.samples:
        raise NotMeasuredError(f"the samples of {cell.id} have no column {name}")
    return column_of(cell, name, contexts)


def metric(cell: CellResults, name: str) -> float:
    """A number of reports/metrics/.  Raises NotMeasuredError where the cell lacks it."""
    if name not in cell.metrics:
        raise NotMeasuredError(f"the metrics of {cell.id} have no {name}")
    return cell.metrics[name]


def curve(cell: CellResults) -> Floats:
    """The true score in training, [updates].  Raises NotMeasuredError where the cell lacks it."""
    if "true_score" not in cell.curve:
        raise NotMeasuredError(f"the training curve of {cell.id} has no column true_score")
    return cell.curve["true_score"]
