"""The tables of results: our number ± interval beside the paper's, the scale beside every label count."""

from preflab.report.cells import arms
from preflab.report.cells.load import Grid
from preflab.report.table import Table
from preflab.report.tables import ablations, agreement, overoptimisation, policies, ratings, reward_models
from preflab.report.tables import summaries as summaries_tables
from preflab.report.tables.style import figure_2, figure_4, of_style, table_1


def all_tables(grid: Grid) -> list[Table]:
    """Every table of results, in the order of the page."""
    found = arms.families(grid)
    style = of_style(found)
    known = [family for family in found if family.plain and not family.summarises]
    return [
        *([table_1(grid, found), figure_4(grid, found)] if style else []),
        *([figure_2(grid, known)] if known else []),
        *summaries_tables.all_tables(grid),
        policies.cells(grid),
        reward_models.reward_models(grid, found),
        policies.scores(grid, found),
        *ratings.ratings(grid, found),
        agreement.table_9(grid),
        ablations.ablations(grid, found),
        *ablations.table_10(grid, found),
        *overoptimisation.partings(grid, found),
    ]
