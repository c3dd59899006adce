"""Responses of the policies to the first test contexts, side by side: samples.md, and the same on the page."""

from typing import Any, NamedTuple

from preflab.report.cells.arms import column_of, common
from preflab.report.cells.results import Arm, CellResults, Family, GridResults
from preflab.report.paper.summaries import TITLES as SUMMARIES
from preflab.report.samples import summaries
from preflab.report.table import one_line

SAMPLES = 20  # contexts: the first ones, not the best
FEWER = 8  # of each task where there are several


class ContextSample(NamedTuple):
    """One context: its task and query, and for each policy its name, its response and that response's scores."""

    task: str
    query: str
    responses: list[tuple[str, str, str]]


def families(grid: GridResults) -> list[tuple[Family, list[Arm]]]:
    """Every task with its policies, without those that an ablation or an extra axis changes."""
    return [(family, [arm for arm in family.arms if not arm.ablated]) for family in grid.main_families]


def samples(grid: GridResults) -> list[ContextSample]:
    """The first contexts of each family with the responses of all policies (their first seed)."""
    chosen = []
    all_families = families(grid)
    for family, arms in all_families:
        for context in common(arms)[: SAMPLES if len(all_families) == 1 else FEWER]:
            responses = [(arm.name, *_response(arm.first, context)) for arm in arms]
            chosen.append(ContextSample(family.name, str(_of(arms[0].first, "query", context)), responses))
    return chosen


def _response(cell: CellResults, context: int) -> tuple[str, str]:
    named = (("true score", "true_score"), ("judge", "judge"))
    scores = ", ".join(f"{name} {_of(cell, column, context):+.1f}" for name, column in named)
    return str(_of(cell, "response", context)), scores


def _of(cell: CellResults, column: str, context: int) -> Any:
    return column_of(cell, column, [context])[0]


def markdown(grid: GridResults, warning: str) -> str:
    """samples.md: a row for each context, a column for each policy; summaries below their article."""
    note = (
        f"The first {SAMPLES} test contexts, not chosen; first seed of each policy. "
        "In brackets the true score in standard deviations of the reference."
    )
    lines = [f"# Samples of the grid `{grid.name}`", "", warning, "", note, ""]
    for family, arms in families(grid):
        contexts = common(arms)[:SAMPLES]
        if family.task in SUMMARIES:
            lines += summaries.markdown(Family(family.name, tuple(arms)), contexts)
        else:
            lines += _table(family, arms, contexts)
    return "\n".join(lines)


def _table(family: Family, arms: list[Arm], contexts: list[int]) -> list[str]:
    heads = ["query", *(arm.name for arm in arms)]
    lines = [f"## {family.name}", "", "| " + " | ".join(heads) + " |", "|" + " :-- |" * len(heads)]
    for context in contexts:
        texts = [str(_of(arms[0].first, "query", context))]
        for arm in arms:
            texts.append(f"{_of(arm.first, 'response', context)} ({_of(arm.first, 'true_score', context):+.1f})")
        lines.append("| " + " | ".join(one_line(text) for text in texts) + " |")
    return [*lines, ""]
