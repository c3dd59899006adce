"""The tables of results: our number ± interval beside the paper's, the scale beside every label count."""

from preflab.report import (
    ablations,
    agreement_table,
    compare,
    overoptimised,
    policy_tables,
    ratings_table,
    reward_table,
    style_tables,
    summaries,
)
from preflab.report.load import Grid
from preflab.report.table import Table


def all_tables(grid: Grid) -> list[Table]:
    """Every table of results, in the order of the page."""
    found = compare.families(grid)
    style = style_tables.of_style(found)
    known = [family for family in found if family.plain and not family.summarises]
    return [
        *([style_tables.table_1(grid, found), style_tables.figure_4(grid, found)] if style else []),
        *([style_tables.figure_2(grid, known)] if known else []),
        *summaries.all_tables(grid),
        policy_tables.cells(grid),
        reward_table.reward_models(grid, found),
        policy_tables.scores(grid, found),
        *ratings_table.ratings(grid, found),
        agreement_table.table_9(grid),
        ablations.ablations(grid, found),
        *ablations.table_10(grid, found),
        *overoptimised.partings(grid, found),
    ]
