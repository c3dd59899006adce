"""What leaving out or changing a part of the method does: every ablation beside its base, and the paper's Table 10."""

from collections.abc import Iterator

from preflab.evaluate.statistics import Interval, bootstrap
from preflab.report import absent, captions
from preflab.report.cells import accuracy, columns
from preflab.report.cells import arms as arms_cells
from preflab.report.cells.arms import (
    METHOD,
    RESAMPLES,
    ZERO_SHOT,
    Arm,
    Family,
    column_of,
    common,
    difference,
    seed_mean,
    win_rate,
)
from preflab.report.cells.columns import AbsentError
from preflab.report.cells.load import Grid
from preflab.report.paper.style import ABLATIONS, TABLE_10, TABLE_10_REWARD, TABLE_10_SOURCE
from preflab.report.table import Column, Row, Table, Value

NO_KL, ENTROPY = "no_kl", "entropy"  # Table 10's
CONTEXTS = 4  # of Table 10: the first ones, not the best


def ablations(grid: Grid, found: list[Family]) -> Table:
    """Each ablation under the policy that differs from it in nothing else."""
    rows, run = [], set()
    for family in found:
        for base, changed in pairs(family):
            if base:
                rows.append(_row(grid, family, base, None))
            for arm in changed:
                rows.append(_row(grid, family, arm, base))
                run.add(arm.first.ablation)
    missing = [name for name in ABLATIONS if name not in run]
    rows += [absent.row({"arm": name, "paper": ABLATIONS[name]}, "reward") for name in missing]
    heads = (
        *captions.arm_columns(grid),
        Column("reward", "labeller, SD of ρ", "interval", 2),
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
        "What each of them changes stands in conf/ablation/.",
        captions.SOURCES,
        *absent.notes((name, absent.CLAIMS) for name in missing),
    ]
    return captions.table(grid, "ablations", "Ablations, each under its base", heads, rows, notes)


def pairs(family: Family) -> Iterator[tuple[Arm | None, list[Arm]]]:
    """Each base of the family that has ablations, with these; None where the grid lacks the base."""
    bases: dict[str, list[Arm]] = {}
    for arm in family.arms:
        if arm.ablated:
            bases.setdefault(arm.name.removesuffix(f", {arm.first.ablation}"), []).append(arm)
    for name, changed in bases.items():
        yield family.arm(name), changed


def _row(grid: Grid, family: Family, arm: Arm, base: Arm | None) -> Row:
    values = captions.arm_values(grid, family, arm) | {
        "reward": arms_cells.mean(arm, "true_score"),
        "change": difference(arm, base, "true_score") if base else None,
        "wins": win_rate(arm, base) if base else None,
        "kl": arms_cells.mean(arm, "kl"),
        "distinct_1": seed_mean(arm, "distinct_1"),
        "distinct": _distinct(arm),
        "accuracy": accuracy.accuracy_in_force(arm),
        "paper": ABLATIONS.get(arm.first.ablation),
    }
    return Row(values, arm.ids)


def _distinct(arm: Arm) -> Interval | None:
    """Different words over words within a response, as the claims measure it."""
    try:
        return bootstrap(columns.stack([(arm, columns.DISTINCT)]).tables[0], RESAMPLES)
    except AbsentError:  # every response is empty
        return None


def table_10(grid: Grid, found: list[Family]) -> list[Table]:
    """Samples with the KL penalty, without it, and with an entropy bonus instead; none where neither was run."""
    rows, lacks = [], set()
    for family in found:
        for base, changed in pairs(family):
            by_name = {arm.first.ablation: arm for arm in changed}
            if not {NO_KL, ENTROPY} & set(by_name):
                continue
            arms = {"zero": family.arm(ZERO_SHOT), "base": base, NO_KL: by_name.get(NO_KL)}
            arms |= {ENTROPY: by_name.get(ENTROPY)}
            lacks |= {f"{base.name if base else family.name}, {name}" for name, arm in arms.items() if arm is None}
            rows += list(_samples(grid, family, {name: arm for name, arm in arms.items() if arm}))
    if not rows:
        return []
    published: dict[str, Value] = {"query": f"the paper's sample ({TABLE_10_SOURCE})", **TABLE_10}
    rows.append(Row(published, ()))
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
        f"The first {CONTEXTS} test contexts, not chosen; first seed of each policy. In brackets the labeller's score "
        "in standard deviations of the reference; means over all contexts in the first row of a policy.",
        f"In the paper the reward without the penalty is about +{TABLE_10_REWARD:.1f} log-odds ({TABLE_10_SOURCE}).",
        *absent.notes((name, absent.CLAIMS) for name in sorted(lacks)),
    ]
    return [captions.table(grid, "table10", "Table 10. Samples without the KL penalty", heads, rows, notes)]


def _samples(grid: Grid, family: Family, arms: dict[str, Arm]) -> Iterator[Row]:
    """The mean scores of the policies, then their responses to the first contexts."""
    policy = arms.get("base") or arms.get(NO_KL) or arms[ENTROPY]
    about = captions.arm_values(grid, family, policy)
    cells = tuple(arm.first.id for arm in arms.values())
    absentees: dict[str, Value] = {name: "not run" for name in ("base", NO_KL, ENTROPY) if name not in arms}
    means: dict[str, Value] = {name: f"({arms_cells.mean(arm, 'true_score').mean:+.2f})" for name, arm in arms.items()}
    yield Row(about | absentees | {"query": "mean score of all contexts"} | means, cells)
    contexts = common(list(arms.values()))[:CONTEXTS]
    texts = {name: column_of(arm.first, "response", contexts) for name, arm in arms.items()}
    scores = {name: column_of(arm.first, "true_score", contexts) for name, arm in arms.items()}
    queries = column_of(policy.first, "query", contexts)
    for at, query in enumerate(queries):
        said: dict[str, Value] = {name: f"{texts[name][at]} ({scores[name][at]:+.1f})" for name in arms}
        yield Row(about | absentees | {"query": str(query)} | said, cells)
