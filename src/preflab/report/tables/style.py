"""The paper's Table 1 and the numbers of its Figures 2, 3 and 4: the style tasks and mock, ours next to the paper's."""

from collections.abc import Iterator
from functools import lru_cache

from preflab.evaluate.statistics import Interval
from preflab.report import captions, not_run
from preflab.report.cells import arms, optimum
from preflab.report.cells.arms import METHOD, pairs, vader_rate, win_rate
from preflab.report.cells.results import DIRECT, ZERO_SHOT, Arm, Family, GridResults
from preflab.report.paper.style import (
    FIGURE_2,
    FIGURE_2_BAND,
    FIGURE_2_START,
    FIGURE_3_OPTIMAL,
    FIGURE_3_OPTIMAL_KL,
    FIGURE_4,
    FIGURE_4_LABELS,
    TABLE_1,
    preference,
    share_of_direct,
)
from preflab.report.table import Column, Table, TableRow, Value

MOCK_TASKS = ("mock", "sentiment")  # tasks that the paper's mock experiment can be held against, closest first
FIGURE_4_SOURCE = "Figure 4, digitised"
PROXY = "labeller"  # the axis of a grid in which a policy is trained on a stand-in for the labeller

# What Table 1 of the paper compares (its 20k is our 60k where a grid has no 20k), then what we add.
PAPER_PAIRS = [
    ("5k offline", ZERO_SHOT),
    ("5k offline", DIRECT),
    ("5k offline", "20k offline"),
    ("5k offline", "60k offline"),
    ("5k offline", "5k online"),
    ("20k offline", ZERO_SHOT),
    ("60k offline", ZERO_SHOT),
]


def table_1(grid: GridResults) -> list[Table]:
    """The judge's preference on the same contexts: the paper's Table 1, then every policy vs zero-shot."""
    rows = preferences(grid)
    if not rows:
        return []
    compared = {(str(row.values["task"]), str(row.values["comparison"])) for row in rows}
    missing = [pair for pair in TABLE_1 if not {_named(*pair), _named(*_instead(pair))} & compared]
    columns = (
        Column("task", "task"),
        *([Column("model", "model")] if grid.several("model") else []),
        Column("comparison", "A vs B"),
        Column("labels", "labels of A"),
        Column("labels_b", "labels of B"),
        Column("source", "labels from"),
        Column("seeds", "seeds"),
        Column("wins", "ours: judge for A, %", "interval", 1, 100),
        Column("paper", "paper: humans for A, %", "number", 1, 100),
        Column("paper_source", "where"),
        Column("vader", "VADER for A, %", "interval", 1, 100),
    )
    notes = [
        f"Brackets: {METHOD}. Equal seeds are compared with each other on the same contexts; equal texts count ½.",
        captions.judge_note(captions.first_cells(grid.style_families)),
        "The direct policy is trained on the labeller's own score. In the paper people judged, to whom that score was "
        "only a proxy; here labels and judge imitate that score, so this row shows what comparisons cost and not that "
        "a proxy fails. A direct policy of another labeller shows the latter, where the grid has one.",
        *not_run.notes((task, f"{a} vs {b}", not_run.CLAIMS) for task, a, b in missing),
    ]
    return [captions.table(grid, "table1", "Table 1. Which of two policies is preferred", columns, rows, notes)]


@lru_cache(maxsize=1)
def preferences(grid: GridResults) -> tuple[TableRow, ...]:
    """The rows of Table 1, by task; a figure draws them, too."""
    rows = []
    for family in grid.style_families:
        names = list(PAPER_PAIRS)
        names += [(arm.name, ZERO_SHOT) for arm in family.plain if (arm.name, ZERO_SHOT) not in PAPER_PAIRS]
        for a, b in ((family.arm(a_name), family.arm(b_name)) for a_name, b_name in names):
            if a and b and (wins := win_rate(a, b)):
                rows.append(_comparison(grid, family, a, b, wins))
        rows += list(_against_proxies(grid, family))
    tasks = list(dict.fromkeys(row.values["task"] for row in rows))
    return tuple(sorted(rows, key=lambda row: tasks.index(row.values["task"])))


def _named(task: str, a: str, b: str) -> tuple[str, str]:
    return task, f"{a} vs {b}"


def _instead(pair: tuple[str, str, str]) -> tuple[str, str, str]:
    """The same with our 60k in the place of the paper's 20k."""
    task, a, b = pair
    return task, a.replace("20k", "60k"), b.replace("20k", "60k")


def _against_proxies(grid: GridResults, family: Family) -> Iterator[TableRow]:
    """The paper's "5k offline vs mock" as it was: the direct policy was trained on something else than what judges."""
    a = family.arm("5k offline")
    for other in grid.families if a and not family.axes else []:
        b = other.arm(DIRECT)
        axes = [axis.partition("=")[0] for axis in other.axes]
        same = (other.task, other.model) == (family.task, family.model)
        if a and b and same and axes == [PROXY] and (wins := win_rate(a, b)):
            yield _comparison(grid, family, a, b, wins, captions.extra_axes(other))


def _comparison(grid: GridResults, family: Family, a: Arm, b: Arm, wins: Interval, axes_of_b: str = "") -> TableRow:
    published = preference(family.task, a.name, b.name)
    seed_pairs = pairs(a, b)
    values: dict[str, Value] = {
        "task": family.task,
        "model": a.first.row["model"],
        "comparison": f"{a.name} vs {b.name}" + captions.extra_axes(family) + axes_of_b,
        "labels": captions.labels_text(grid, a.first),
        "labels_b": captions.labels_text(grid, b.first),
        "source": captions.source_text(a.first),
        "seeds": ", ".join(str(cell.row["seed"]) for cell, _ in seed_pairs),
        "wins": wins,
        "paper": published.value if published else None,
        "paper_source": published.source if published else None,
        "vader": vader_rate(a, b),
    }
    return TableRow(values, tuple(dict.fromkeys([x.id for x, _ in seed_pairs] + [y.id for _, y in seed_pairs])))


def figure_2(grid: GridResults) -> list[Table]:
    """The end of Figure 2: the true score that each policy reaches, its share of direct training's, the optimum."""
    families = [family for family in grid.families if family.plain and not family.summarises]
    if not families:
        return []
    rows, run = [], set()
    closest = next((task for task in MOCK_TASKS if any(family.task == task for family in families)), None)
    for family in families:
        zero, direct = family.arm(ZERO_SHOT), family.arm(DIRECT)
        for arm in family.plain:
            labels = arm.first.row["labels"]
            plain = arm.name in (DIRECT, f"{labels} offline") and family.task in MOCK_TASKS
            published = _published(labels) if plain and labels in FIGURE_2 else {}
            run |= {labels} if published and family.task == closest else set()
            values = captions.arm_values(grid, family, arm) | {
                "reward": arms.mean(arm, "true_score"),
                "share": _share(arm, direct, zero),
                "kl": arms.mean(arm, "kl"),
                "optimum": optimum.of_arm(arm, zero),
                **published,
            }
            rows.append(TableRow(values, arm.ids))
    columns = (
        *captions.arm_columns(grid, task=True),
        Column("reward", "true score, SD of ρ", "interval", 2),
        Column("share", "share of direct, %", "number", 0, 100),
        Column("kl", "KL, nats", "interval", 2),
        Column("optimum", "optimum at that KL", "number", 2),
        Column("paper", "paper, log-odds", "number", 2),
        Column("paper_band", "its range"),
        Column("paper_share", "its share of direct, %", "number", 0, 100),
        Column("paper_source", "where"),
    )
    notes = [
        "True score: the labeller's, without noise, on the test contexts, in standard deviations of the reference. "
        f"Brackets: {METHOD}.",
        "Share: gain over zero-shot as a share of what direct training gains. The paper's rewards are log-odds of "
        "another classifier, at KL 8 and with noise-free labels, so that only the shares compare; its zero-shot is "
        f"read from the start of its Figure 2 ({FIGURE_2_START}).",
        "Optimum: the reward of the best policy at the same KL, from weighted samples of the reference; the paper's is "
        f"{FIGURE_3_OPTIMAL[-1]} at KL {FIGURE_3_OPTIMAL_KL[-1]} (Figure 3, digitised).",
        *not_run.notes((closest or MOCK_TASKS[0], name, not_run.CLAIMS) for name in FIGURE_2 if name not in run),
    ]
    title = "Figure 2 in numbers. Reward at the end of training"
    return [captions.table(grid, "figure2_end", title, columns, rows, notes)]


def _published(labels: str) -> dict[str, Value]:
    return {
        "paper": FIGURE_2[labels][-1],
        "paper_band": "{:.2f} to {:.2f}".format(*FIGURE_2_BAND[labels]),
        "paper_share": share_of_direct(labels),
        "paper_source": "Figure 2, digitised",
    }


def _share(arm: Arm, direct: Arm | None, zero: Arm | None) -> float | None:
    if direct is None or zero is None:
        return None
    start = arms.point(zero, "true_score")
    gain = arms.point(direct, "true_score") - start
    return (arms.point(arm, "true_score") - start) / gain if gain else None


def figure_4(grid: GridResults) -> list[Table]:
    """Figure 4 in numbers: preference to zero-shot by the number of offline labels, both style tasks."""
    rows = []
    for family in style_by_labels(grid):
        zero = family.arm(ZERO_SHOT)
        for arm in offline(family) if zero else []:
            assert zero is not None
            labels = str(arm.first.row["labels"])
            published = dict(zip(FIGURE_4_LABELS, FIGURE_4.get(family.task, ()), strict=False)).get(labels)
            values = captions.arm_values(grid, family, arm) | {
                "wins": win_rate(arm, zero),
                "paper": published,
                "paper_source": FIGURE_4_SOURCE if published else None,
            }
            rows.append(TableRow(values, (*arm.ids, *zero.ids)))
    if not rows:
        return []
    run = {(family.task, arm.first.row["labels"]) for family in style_by_labels(grid) for arm in offline(family)}
    missing = [(task, labels) for task in FIGURE_4 for labels in FIGURE_4_LABELS if (task, labels) not in run]
    columns = (
        *captions.arm_columns(grid, task=True),
        Column("wins", "ours: judge prefers it to zero-shot, %", "interval", 1, 100),
        Column("paper", "paper: humans do, %", "number", 1, 100),
        Column("paper_source", "where"),
    )
    notes = [f"Brackets: {METHOD}.", captions.judge_note(captions.first_cells(grid.style_families))]
    notes += not_run.notes((task, labels, not_run.FIGURE_4) for task, labels in missing)
    title = "Figure 4 in numbers. Preference to zero-shot by the number of offline labels"
    return [captions.table(grid, "figure4_points", title, columns, rows, notes)]


def style_by_labels(grid: GridResults) -> list[Family]:
    """The families of Figure 4, the paper's tasks first."""
    families = [family for family in grid.main_families if family in grid.style_families and offline(family)]
    tasks = list(dict.fromkeys([*FIGURE_4, *(family.task for family in families)]))
    return sorted(families, key=lambda family: tasks.index(family.task))


def offline(family: Family) -> list[Arm]:
    """The arms of Figure 4, by their number of labels."""
    plain = [arm for arm in family.plain if arm.name == f"{arm.first.row['labels']} offline"]
    return sorted(plain, key=lambda arm: arm.first.row["num_train"])
