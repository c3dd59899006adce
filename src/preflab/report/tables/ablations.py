"""What leaving out or changing a part of the method does: every ablation under its base, and the paper's Table 10."""

from collections.abc import Iterator

from preflab.evaluate.statistics import Interval, bootstrap
from preflab.report import captions, not_run
from preflab.report.cells import accuracy, arms, columns
from preflab.report.cells.arms import METHOD, column_of, common, difference, seed_mean, win_rate
from preflab.report.cells.columns import NotMeasuredError
from preflab.report.cells.results import ZERO_SHOT, Arm, Family, GridResults
from preflab.report.paper.style import ABLATIONS, TABLE_10, TABLE_10_REWARD, TABLE_10_SOURCE
from preflab.report.table import Column, Table, TableRow, Value

NO_KL, ENTROPY = "no_kl", "entropy"  # Table 10's
CONTEXTS = 4  # of Table 10: the first ones, not the best


def ablations(grid: GridResults) -> list[Table]:
    """Each ablation under the policy that differs from it in nothing else."""
    rows, run = [], set()
    for family in grid.families:
        for base, changed in pairs(family):
            if base:
                rows.append(_row(grid, family, base, None))
            for arm in changed:
                rows.append(_row(grid, family, arm, base))
                run.add(arm.first.ablation)
    if not rows:
        return []
    missing = [name for name in ABLATIONS if name not in run]
    heads = (
        *captions.arm_columns(grid),
        Column("reward", "true score, SD of ρ", "interval", 2),
        Column("change", "less its base's", "interval", 2),
        Column("wins", "judge prefers it to its base, %", "interval", 1, 100),
        Column("kl", "KL, nats", "interval", 2),
        Column("distinct_1", "distinct-1", "number", 3),
        Column("distinct", "distinct words of a response", "interval", 3),
        Column("accuracy", "held-out accuracy, %", "error", 1, 100),
        Column("paper", "in the paper"),
    )
    notes = [
        f"Brackets: {METHOD}; equal seeds are paired. An ablation stands under its base, which differs from it "
        "in nothing else. Distinct-1: different words over all words of all responses. Held-out accuracy: that of the "
        "reward model in force at the end, mean over seeds ± standard error over comparisons.",
        "conf/ablation/ says what each of them changes.",
        *not_run.notes(("", name, not_run.CLAIMS) for name in missing),
    ]
    return [captions.table(grid, "ablations", "Ablations, each under its base", heads, rows, notes)]


def pairs(family: Family) -> Iterator[tuple[Arm | None, list[Arm]]]:
    """Each base of the family that has ablations, with these; None where the grid lacks the base."""
    bases: dict[str, list[Arm]] = {}
    for arm in family.arms:
        if arm.ablated:
            bases.setdefault(arm.name.removesuffix(f", {arm.first.ablation}"), []).append(arm)
    for name, changed in bases.items():
        yield family.arm(name), changed


def _row(grid: GridResults, family: Family, arm: Arm, base: Arm | None) -> TableRow:
    values = captions.arm_values(grid, family, arm) | {
        "reward": arms.mean(arm, "true_score"),
        "change": difference(arm, base, "true_score") if base else None,
        "wins": win_rate(arm, base) if base else None,
        "kl": arms.mean(arm, "kl"),
        "distinct_1": seed_mean(arm, "distinct_1"),
        "distinct": _distinct(arm),
        "accuracy": accuracy.accuracy_in_force(arm),
        "paper": ABLATIONS.get(arm.first.ablation),
    }
    return TableRow(values, arm.ids)


def _distinct(arm: Arm) -> Interval | None:
    """Different words over words within a response, as the claims measure it."""
    try:
        return bootstrap(columns.stack([(arm, columns.DISTINCT)]).tables[0], low=0, high=1)
    except NotMeasuredError:  # every response is empty
        return None


def table_10(grid: GridResults) -> list[Table]:
    """Samples with the KL penalty, without it, and with an entropy bonus instead; none where neither was run."""
    rows, missing = [], set()
    for family in grid.families:
        for base, changed in pairs(family):
            by_name = {arm.first.ablation: arm for arm in changed}
            if not {NO_KL, ENTROPY} & set(by_name):
                continue
            sides = {"zero": family.arm(ZERO_SHOT), "base": base, NO_KL: by_name.get(NO_KL)}
            sides |= {ENTROPY: by_name.get(ENTROPY)}
            missing |= {f"{base.name if base else family.name}, {name}" for name, arm in sides.items() if arm is None}
            rows += list(_samples(grid, family, {name: arm for name, arm in sides.items() if arm}))
    if not rows:
        return []
    published: dict[str, Value] = {"query": f"the paper's sample ({TABLE_10_SOURCE})", **TABLE_10}
    rows.append(TableRow(published, ()))
    heads = (
        Column("task", "task"),
        Column("arm", "policy"),
        Column("source", "labels from"),
        Column("query", "query", "quote"),
        Column("zero", "zero-shot", "quote"),
        Column("base", "with the KL penalty", "quote"),
        Column(NO_KL, "without it", "quote"),
        Column(ENTROPY, "entropy bonus instead", "quote"),
    )
    notes = [
        f"The first {CONTEXTS} test contexts, not chosen; first seed of each policy. In brackets the true score "
        "in standard deviations of the reference; means over all contexts in the first row of a policy.",
        f"In the paper the reward without the penalty is about +{TABLE_10_REWARD:.1f} log-odds ({TABLE_10_SOURCE}).",
        *not_run.notes(("", name, not_run.CLAIMS) for name in sorted(missing)),
    ]
    return [captions.table(grid, "table10", "Table 10. Samples without the KL penalty", heads, rows, notes)]


def _samples(grid: GridResults, family: Family, sides: dict[str, Arm]) -> Iterator[TableRow]:
    """The mean scores of the policies, then their responses to the first contexts."""
    policy = sides.get("base") or sides.get(NO_KL) or sides[ENTROPY]
    about = captions.arm_values(grid, family, policy)
    cells = tuple(arm.first.id for arm in sides.values())
    means: dict[str, Value] = {name: f"({arms.point(arm, 'true_score'):+.2f})" for name, arm in sides.items()}
    yield TableRow(about | {"query": "mean score of all contexts"} | means, cells)
    contexts = common(list(sides.values()))[:CONTEXTS]
    texts = {name: column_of(arm.first, "response", contexts) for name, arm in sides.items()}
    scores = {name: column_of(arm.first, "true_score", contexts) for name, arm in sides.items()}
    for position, query in enumerate(column_of(policy.first, "query", contexts)):
        responses: dict[str, Value] = {
            name: f"{texts[name][position]} ({scores[name][position]:+.1f})" for name in sides
        }
        yield TableRow(about | {"query": str(query)} | responses, cells)
