"""Bradley–Terry ratings of all policies of a task, from the judge's votes on every pair of them."""

from itertools import combinations

import numpy as np

from preflab.evaluate import ratings as ratings_
from preflab.evaluate.statistics import cast
from preflab.report import captions
from preflab.report.cells import columns
from preflab.report.cells.arms import METHOD, RESAMPLES, ZERO_SHOT, Arm, Family
from preflab.report.cells.load import Grid
from preflab.report.table import Column, Row, Table

Policy = tuple[Family, Arm]


def ratings(grid: Grid, found: list[Family]) -> list[Table]:
    """One table with the policies of each task and model from the best to the worst; none of fewer than two."""
    rows, left = [], []
    for policies in _by_judge(found).values():
        shared, others = _of_common_seeds(policies)
        left += [f"{family.task}: {arm.name}{captions.extra_axes(family)}" for family, arm in others]
        if len(shared) > 1:
            rows += _rated(grid, shared)
    if not rows:
        return []
    heads = (
        *captions.arm_columns(grid, task=True),
        Column("rating", "rating, log-odds", "interval", 2),
        Column("beats", "beats zero-shot, %", "number", 1, 100),
        Column("agree", "votes on that agree, %", "number", 1, 100),
    )
    notes = [
        "P(A beats B) = σ(rating of A − rating of B) (Bradley & Terry 1952), fitted to the majority of the judge's "
        f"votes on every pair of policies of a task; their mean is 0. Brackets: {METHOD}, those "
        "seeds that all have.",
        "Beats zero-shot: what the two ratings say. Votes that agree: how often two votes of the judge on the policy "
        "against zero-shot are the same, on the contexts whose texts differ; 50 % for a judge that guesses.",
        captions.judge_note(grid, found),
    ]
    if left:
        notes.append(f"Left out, because they have no seed in common with the others: {', '.join(left)}.")
    return [captions.table(grid, "ratings", "Bradley–Terry ratings of all policies", heads, rows, notes)]


def _by_judge(found: list[Family]) -> dict[tuple[str, str], list[Policy]]:
    """The policies that the same judge saw on the same contexts, each once."""
    groups: dict[tuple[str, str], list[Policy]] = {}
    for family in found:
        row = family.arms[0].first.row
        group = groups.setdefault((str(row["task"]), str(row.get("prepare", row["model"]))), [])
        for arm in family.arms:
            if arm.name != ZERO_SHOT or all(other.name != ZERO_SHOT for _, other in group):
                group.append((family, arm))
    return groups


def _of_common_seeds(policies: list[Policy]) -> tuple[list[Policy], list[Policy]]:
    """The policies that have the first seed of most of them (or none at all), and the others."""
    first = [arm.seeds[0] for _, arm in policies if arm.seeds[0] is not None]
    wanted = max(first, key=first.count, default=None)
    shared = [pair for pair in policies if pair[1].seeds[0] is None or wanted in pair[1].seeds]
    return shared, [pair for pair in policies if pair not in shared]


def _rated(grid: Grid, policies: list[Policy]) -> list[Row]:
    names = [arm.name + (captions.extra_axes(family) if arm.name != ZERO_SHOT else "") for family, arm in policies]
    both = columns.stack([(arm, "judge") for _, arm in policies])
    matches, agree = [], {}
    for a, b in combinations(range(len(policies)), 2):
        cell = policies[b][1].first
        tau, count, seed = cell.metrics["judge_tau"], int(cell.metrics["votes"]), int(cell.metrics["votes_seed"])
        pairs = zip(both.tables[a], both.tables[b], strict=True)
        votes = [cast(one, other, tau, count, seed) for one, other in pairs]
        wins = [np.where(vote.same, 0.5, vote.for_a.sum(0) > count / 2) for vote in votes]
        matches.append(ratings_.Match(names[a], names[b], np.array(wins)))
        if names[a] == ZERO_SHOT:
            agree[names[b]] = [ratings_.agreement(vote).mean for vote in votes if not vote.same.all()]
    found = ratings_.bradley_terry(matches, RESAMPLES)
    zero = found.get(ZERO_SHOT)
    rows = []
    for (family, arm), name in zip(policies, names, strict=True):
        values = captions.arm_values(grid, family, arm) | {
            "arm": name,
            "seeds": ", ".join(map(str, both.seeds)) if arm.seeds[0] is not None else captions.seeds_text(arm),
            "rating": found[name],
            "beats": 1 / (1 + np.exp(zero.mean - found[name].mean)) if zero and name != ZERO_SHOT else None,
            "agree": float(np.mean(agree[name])) if agree.get(name) else None,
        }
        rows.append(Row(values, arm.ids))
    return sorted(rows, key=lambda row: -found[str(row.values["arm"])].mean)
