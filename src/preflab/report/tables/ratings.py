"""Bradley–Terry ratings of all policies of a task, from the judge's votes on every pair of them."""

from itertools import combinations

import numpy as np

from preflab.evaluate import ratings as bradley_terry
from preflab.evaluate.statistics import cast
from preflab.report import captions
from preflab.report.cells import columns
from preflab.report.cells.arms import METHOD
from preflab.report.cells.results import ZERO_SHOT, Arm, Family, GridResults
from preflab.report.table import Column, Table, TableRow

Policy = tuple[Family, Arm]


def ratings(grid: GridResults) -> list[Table]:
    """One table with the policies of each task and model from the best to the worst; none of fewer than two."""
    rows, left_out = [], []
    for policies in _by_judge(grid):
        rated, others = _of_common_seeds(policies)
        left_out += [f"{family.task}: {arm.name}{captions.extra_axes(family)}" for family, arm in others]
        if len(rated) > 1:
            rows += _rated(grid, rated)
    if not rows:
        return []
    heads = (
        *captions.arm_columns(grid, task=True),
        Column("rating", "rating, log-odds", "interval", 2),
        Column("beats", "beats zero-shot, %", "number", 1, 100),
        Column("agree", "votes that agree, %", "number", 1, 100),
    )
    notes = [
        "P(A beats B) = σ(rating of A − rating of B) (Bradley & Terry 1952), fitted to the majority of the judge's "
        f"votes on every pair of policies of a task; their mean is 0. Brackets: {METHOD}, over the seeds that all "
        "policies have.",
        "Beats zero-shot: as the two ratings say. Votes that agree: how often two votes of the judge on the policy "
        "against zero-shot are the same, on the contexts whose texts differ; 50 % for a judge that guesses.",
        captions.judge_note(captions.first_cells(grid.families)),
    ]
    if left_out:
        notes.append(f"Left out, because they have no seed in common with the others: {', '.join(left_out)}.")
    return [captions.table(grid, "ratings", "Bradley–Terry ratings of all policies", heads, rows, notes)]


def _by_judge(grid: GridResults) -> list[list[Policy]]:
    """The policies that the same judge saw on the same contexts, each once."""
    groups: dict[tuple[str, str], list[Policy]] = {}
    for family in grid.families:
        row = family.arms[0].first.row
        group = groups.setdefault((str(row["task"]), str(row.get("prepare", row["model"]))), [])
        for arm in family.arms:
            if arm.name != ZERO_SHOT or all(other.name != ZERO_SHOT for _, other in group):
                group.append((family, arm))
    return list(groups.values())


def _of_common_seeds(policies: list[Policy]) -> tuple[list[Policy], list[Policy]]:
    """The policies that have the first seed of most of them (or none at all), and the others."""
    first_seeds = [arm.seeds[0] for _, arm in policies if arm.seeds[0] is not None]
    most_common = max(first_seeds, key=first_seeds.count, default=None)
    rated = [(family, arm) for family, arm in policies if arm.seeds[0] is None or most_common in arm.seeds]
    return rated, [policy for policy in policies if policy not in rated]


def _rated(grid: GridResults, policies: list[Policy]) -> list[TableRow]:
    names = [arm.name + (captions.extra_axes(family) if arm.name != ZERO_SHOT else "") for family, arm in policies]
    judged = columns.stack([(arm, "judge") for _, arm in policies])
    matches, agreements = [], {}
    for a, b in combinations(range(len(policies)), 2):
        cell = policies[b][1].first
        tau, count, seed = cell.metrics["judge_tau"], int(cell.metrics["votes"]), int(cell.metrics["votes_seed"])
        score_pairs = zip(judged.tables[a], judged.tables[b], strict=True)
        votes = [cast(of_a, of_b, tau, count, seed) for of_a, of_b in score_pairs]
        wins = [np.where(vote.same, 0.5, vote.for_a.sum(0) > count / 2) for vote in votes]
        matches.append(bradley_terry.Match(names[a], names[b], np.array(wins)))
        if names[a] == ZERO_SHOT:
            agreements[names[b]] = [bradley_terry.agreement(vote).mean for vote in votes if not vote.same.all()]
    by_name = bradley_terry.bradley_terry(matches)
    zero = by_name.get(ZERO_SHOT)
    rows = []
    for (family, arm), name in zip(policies, names, strict=True):
        values = captions.arm_values(grid, family, arm) | {
            "arm": name,
            "seeds": ", ".join(map(str, judged.seeds)) if arm.seeds[0] is not None else captions.seeds_text(arm),
            "rating": by_name[name],
            "beats": 1 / (1 + np.exp(zero.mean - by_name[name].mean)) if zero and name != ZERO_SHOT else None,
            "agree": float(np.mean(agreements[name])) if agreements.get(name) else None,
        }
        rows.append(TableRow(values, arm.ids))
    return sorted(rows, key=lambda row: -by_name[str(row.values["arm"])].mean)
