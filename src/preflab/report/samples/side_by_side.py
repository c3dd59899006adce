"""What the policies say to the first test contexts, side by side: samples.md, and the same on the page."""

from typing import Any, NamedTuple

from preflab.report.cells import arms as arms_cells
from preflab.report.cells.arms import Arm, Family, common, main
from preflab.report.cells.load import Cell, Grid
from preflab.report.paper.summaries import TITLES as SUMMARIES
from preflab.report.samples import summaries as summaries_samples
from preflab.report.table import one_line

SAMPLES = 20  # contexts: the first ones, not the best
FEWER = 8  # of each task where there are several


class Sample(NamedTuple):
    """One context: its task and query, and for each policy its name, its response and that response's scores."""

    task: str
    query: str
    responses: list[tuple[str, str, str]]


def families(grid: Grid) -> list[tuple[Family, list[Arm]]]:
    """Every task with its policies; those that an ablation or an extra axis changes stand elsewhere."""
    found = main(arms_cells.families(grid))
    return [(family, [arm for arm in family.arms if not arm.ablated]) for family in found]


def samples(grid: Grid) -> list[Sample]:
    """The first contexts of each family, all its policies side by side (their first seed)."""
    found = []
    every = families(grid)
    for family, arms in every:
        for context in common(arms)[: SAMPLES if len(every) == 1 else FEWER]:
            responses = [(arm.name, *_response(arm.first, context)) for arm in arms]
            found.append(Sample(family.name, str(_of(arms[0].first, "query", context)), responses))
    return found


def _response(cell: Cell, context: int) -> tuple[str, str]:
    scores = ", ".join(f"{name} {_of(cell, name, context):+.1f}" for name in ("true_score", "judge"))
    return str(_of(cell, "response", context)), scores


def _of(cell: Cell, column: str, context: int) -> Any:
    return cell.samples[column][cell.samples["context"].index(context)]


def markdown(grid: Grid, warning: str) -> str:
    """samples.md: a row for each context, a column for each policy; summaries below their article."""
    note = (
        f"The first {SAMPLES} test contexts, not chosen; first seed of each policy. "
        "In brackets the labeller's score in standard deviations of the reference."
    )
    lines = [f"# Samples of the grid `{grid.name}`", "", warning, "", note, ""]
    for family, arms in families(grid):
        contexts = common(arms)[:SAMPLES]
        if family.task in SUMMARIES:
            lines += summaries_samples.markdown(Family(family.name, tuple(arms)), contexts)
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
