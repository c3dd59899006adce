"""Tables 6 and 13 to 18: an article, its reference summary, and the summary of each policy, one below the other."""

from preflab.report.cells.arms import column_of
from preflab.report.cells.results import Arm, Family
from preflab.report.cells.summary_policies import REFERENCE
from preflab.report.paper.summaries import TITLES
from preflab.report.table import one_line

TITLE = "Tables 6 and 13 to 18 of the paper, with our policies"


def markdown(family: Family, contexts: list[int]) -> list[str]:
    """The lines of samples.md about one family of a summarization task; first seed of each policy."""
    lines = [f"## {TITLES[family.task]} ({family.name}): {TITLE}", ""]
    written = [arm for arm in family.arms if arm.name != REFERENCE]
    for number, context in enumerate(contexts, 1):
        first = family.arms[0]
        lines += [f"### Article {number}", "", f"> {one_line(_of(first, 'query', context))}", ""]
        if "reference" in first.first.samples:
            lines.append(f"* **reference**: {one_line(_of(first, 'reference', context))}")
        for arm in written:
            score = float(_of(arm, "true_score", context))
            lines.append(f"* **{arm.name}** ({score:+.1f}): {one_line(_of(arm, 'response', context))}")
        lines.append("")
    return lines


def _of(arm: Arm, column: str, context: int) -> str:
    return str(column_of(arm.first, column, [context])[0])
