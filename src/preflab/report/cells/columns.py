"""The numbers of arms side by side: columns of the samples by seed and context, metrics, training curves.

Beside the columns of every evaluation, those of summaries are read where they are there: rouge1, rouge2, rougeLsum (or
rougeL), copied_sentences, supported, copies_start and preamble, each 0 … 1 and null where a response has no sentence.
Where a column or a metric is not there, AbsentError says which.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preflab.evaluate import frontier
from preflab.report.cells import arms as arms_cells
from preflab.report.cells.arms import Arm, column_of
from preflab.report.cells.load import Cell

Floats = NDArray[np.float64]

DISTINCT, ROUGE = "distinct", "rouge"  # no columns of the samples: worked out from their texts, from three others
BEST_OF = "best_of_"  # with a number: what the best of so many samples of the reference scores, from `reference_scores`
SHARES = {"copied_sentences", "supported"}  # kept as shares, printed as percentages


class AbsentError(Exception):
    """A check cannot be measured on these arms; the message says what is not there."""


class Stack(NamedTuple):
    """The same seeds and contexts of several columns: `tables` [seeds, contexts] each, `cells` by seed."""

    tables: list[Floats]
    cells: list[tuple[Cell, ...]]
    seeds: list[int]
    contexts: int


def stack(wanted: Sequence[tuple[Arm, str]]) -> Stack:
    """Columns of the samples, equal seeds and contexts beside each other; contexts without a value are left out."""
    rows = same_seeds([arm for arm, _ in wanted])
    contexts = arms_cells.common([arm for arm, _ in wanted])
    tables = [np.array([_column(row[at], name, contexts) for row in rows]) for at, (_, name) in enumerate(wanted)]
    complete = ~np.isnan(tables).any(axis=(0, 1))
    if not complete.any():
        names = ", ".join(dict.fromkeys(name for _, name in wanted))
        raise AbsentError(f"{' and '.join(arm.name for arm, _ in wanted)}: no context has a value of {names}")
    seeds = [seed for seed in (_seed(row) for row in rows) if seed is not None]
    return Stack([table[:, complete] for table in tables], rows, seeds, int(complete.sum()))


def rights(arms: Sequence[Arm]) -> Stack:
    """Which held-out comparisons the reward models of each arm get right, 0 or 100; comparisons stand for contexts."""
    rows = same_seeds(arms)
    for cell in (cell for row in rows for cell in row):
        if not cell.right:
            raise AbsentError(f"{cell.id} has no held-out accuracy of a reward model")
        if cell.row["comparisons"] != rows[0][0].row["comparisons"]:
            raise AbsentError(f"{cell.id} and {rows[0][0].id} were held against other comparisons")
    tables = [100 * np.array([row[at].right for row in rows], np.float64) for at in range(len(arms))]
    seeds = [seed for seed in (_seed(row) for row in rows) if seed is not None]
    return Stack(tables, rows, seeds, tables[0].shape[1])


def same_seeds(arms: Sequence[Arm]) -> list[tuple[Cell, ...]]:
    """For each seed that all arms have, the cell of each; what has no seed (zero-shot, lead-3) stands beside all."""
    seeded = [set(arm.seeds) for arm in arms if arm.seeds[0] is not None]
    common = sorted(seed for seed in set.intersection(*seeded) if seed is not None) if seeded else [None]
    if not common:
        raise AbsentError(f"{' and '.join(arm.name for arm in arms)}: no seed in common")
    return [
        tuple(next((cell for cell in arm.cells if cell.row["seed"] == seed), arm.first) for arm in arms)
        for seed in common
    ]


def _seed(row: Sequence[Cell]) -> int | None:
    return next((cell.row["seed"] for cell in row if cell.row["seed"] is not None), None)


def _column(cell: Cell, name: str, contexts: list[int]) -> Floats:
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


def _values(cell: Cell, name: str, contexts: list[int]) -> list[Any]:
    if name not in cell.samples:
        raise AbsentError(f"the samples of {cell.id} have no column {name}")
    return column_of(cell, name, contexts)


def metric(cell: Cell, name: str) -> float:
    if name not in cell.metrics:
        raise AbsentError(f"the metrics of {cell.id} have no {name}")
    return cell.metrics[name]


def curve(cell: Cell) -> Floats:
    if "true_score" not in cell.curve:
        raise AbsentError(f"the training curve of {cell.id} has no column true_score")
    return cell.curve["true_score"]
