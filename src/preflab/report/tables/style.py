"""The paper's Table 1 and the numbers of its Figures 2, 3 and 4: the style tasks and mock, the paper's beside ours."""

from collections.abc import Iterator

from preflab.evaluate.statistics import Interval
from preflab.report import absent, captions
from preflab.report.cells import arms as arms_cells
from preflab.report.cells import optimum
from preflab.report.cells.arms import DIRECT, METHOD, ZERO_SHOT, Arm, Family, main, pairs, vader_rate, win_rate
from preflab.report.cells.load import Grid
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
from preflab.report.table import Column, Row, Table, Value

MOCK_TASKS = ("mock", "sentiment")  # tasks that the paper's mock experiment can be held against, closest first
FIGURE_4_GRID = "figure4"  # the grid of conf/grid/ that has all its numbers of labels
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


def of_style(found: list[Family]) -> list[Family]:
    """The families of Table 1: every task whose responses are no summaries, but the mock experiment."""
    return [family for family in found if not family.summarises and family.task != "mock"]


def table_1(grid: Grid, found: list[Family]) -> Table:
    """The judge's preference on the same contexts: the paper's Table 1, then every policy vs zero-shot."""
    rows, run = [], set()
    for family in of_style(found):
        wanted = list(PAPER_PAIRS)
        wanted += [(arm.name, ZERO_SHOT) for arm in family.plain if (arm.name, ZERO_SHOT) not in PAPER_PAIRS]
        for a_name, b_name in wanted:
            a, b = family.arm(a_name), family.arm(b_name)
            wins = win_rate(a, b) if a and b else None
            if a and b and wins:
                rows.append(_comparison(grid, family, a, b, wins))
                run.add((family.task, a_name, b_name))
        rows += list(_against_proxies(grid, family, found))
    missing = [pair for pair in TABLE_1 if not {pair, _instead(pair)} & run]
    rows += [_not_compared(*pair) for pair in missing]
    order = {task: at for at, task in enumerate(dict.fromkeys(str(row.values["task"]) for row in rows))}
    rows.sort(key=lambda row: order[str(row.values["task"])])
    columns = (
        Column("task", "task"),
        *([Column("model", "model")] if captions.several(grid, "model") else []),
        Column("comparison", "A vs B"),
        Column("labels", "labels of A"),
        Column("labels_b", "labels of B"),
        Column("source", "labels from"),
        Column("seeds", "seeds"),
        Column("wins", "ours: judge for A, %", "interval", 1, 100),
        Column("paper", "paper: people for A, %", "number", 1, 100),
        Column("paper_source", "where"),
        Column("vader", "VADER for A, %", "interval", 1, 100),
    )
    notes = [
        f"Brackets: {METHOD}. Equal seeds are compared with each other on the same contexts; equal texts count ½.",
        captions.judge_note(grid, of_style(found)),
        "The direct policy is trained on the labeller's own score. In the paper people judged, to whom that "
        "score was only a proxy; here it is the truth that labels and judge imitate, so this row shows what "
        "comparisons cost and not that a proxy fails. That is shown by a direct policy of another labeller, where the "
        "grid has one.",
        captions.SOURCES,
        *absent.notes((f"{task}: {a} vs {b}", absent.CLAIMS) for task, a, b in missing),
    ]
    return captions.table(grid, "table1", "Table 1. Which of two policies is preferred", columns, rows, notes)


def _instead(pair: tuple[str, str, str]) -> tuple[str, str, str]:
    """The same with our 60k in the place of the paper's 20k."""
    task, a, b = pair
    return task, a.replace("20k", "60k"), b.replace("20k", "60k")


def _against_proxies(grid: Grid, family: Family, found: list[Family]) -> Iterator[Row]:
    """The paper's "5k offline vs mock" as it was: the direct policy was trained on something else than what judges."""
    a = family.arm("5k offline")
    for other in found if a and not family.axes else []:
        b = other.arm(DIRECT)
        axes = [axis.partition("=")[0] for axis in other.axes]
        same = (other.task, other.arms[0].first.row["model"]) == (family.task, family.arms[0].first.row["model"])
        if a and b and same and axes == [PROXY] and (wins := win_rate(a, b)):
            yield _comparison(grid, family, a, b, wins, captions.extra_axes(other))


def _comparison(grid: Grid, family: Family, a: Arm, b: Arm, wins: Interval, axes_of_b: str = "") -> Row:
    published = preference(family.task, a.name, b.name)
    matched = pairs(a, b)
    values: dict[str, Value] = {
        "task": family.task,
        "model": a.first.row["model"],
        "comparison": f"{a.name} vs {b.name}" + captions.extra_axes(family) + axes_of_b,
        "labels": captions.labels_text(grid, a.first),
        "labels_b": captions.labels_text(grid, b.first),
        "source": captions.source_text(a.first),
        "seeds": ", ".join(str(one.row["seed"]) for one, _ in matched),
        "wins": wins,
        "paper": published.value if published else None,
        "paper_source": published.source if published else None,
        "vader": vader_rate(a, b),
    }
    return Row(values, tuple(dict.fromkeys([one.id for one, _ in matched] + [other.id for _, other in matched])))


def _not_compared(task: str, a: str, b: str) -> Row:
    published = TABLE_1[task, a, b]
    values: dict[str, Value] = {"task": task, "comparison": f"{a} vs {b}"}
    return absent.row(values | {"paper": published.value, "paper_source": published.source}, "wins")


def figure_2(grid: Grid, found: list[Family]) -> Table:
    """The end of Figure 2: the true score that each policy reaches, its share of direct training's, the optimum."""
    rows, run = [], set()
    likest = next((task for task in MOCK_TASKS if any(family.task == task for family in found)), None)
    for family in found:
        zero, direct = family.arm(ZERO_SHOT), family.arm(DIRECT)
        for arm in family.plain:
            name = arm.first.row["labels"]
            plain = arm.name in (DIRECT, f"{name} offline") and family.task in MOCK_TASKS
            end = FIGURE_2.get(name) if plain else None
            run |= {name} if end and family.task == likest else set()
            values = captions.arm_values(grid, family, arm) | {
                "reward": arms_cells.mean(arm, "true_score"),
                "share": _share(arm, direct, zero),
                "kl": arms_cells.mean(arm, "kl"),
                "optimum": optimum.of_arm(arm, zero),
                **(_published(name) if end else {}),
            }
            rows.append(Row(values, arm.ids))
    missing = [name for name in FIGURE_2 if name not in run]
    for name in missing:
        arm_name = DIRECT if name == DIRECT else f"{name} offline"
        rows.append(absent.row(_published(name) | {"task": likest or MOCK_TASKS[0], "arm": arm_name}, "reward"))
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
        "Mock reward: the labeller's score on the test contexts, in standard deviations of the reference. "
        f"Brackets: {METHOD}.",
        "Share: gain over zero-shot as a share of what direct training gains. The paper's rewards are "
        "log-odds of another classifier, at KL 8 and with noise-free labels, so only the shares compare; "
        f"its zero-shot is read from the start of its Figure 2 ({FIGURE_2_START}).",
        "Optimum: the reward of the best policy at the same KL, from weighted samples of the reference; the paper's is "
        f"{FIGURE_3_OPTIMAL[-1]} at KL {FIGURE_3_OPTIMAL_KL[-1]} (Figure 3, digitised).",
        captions.SOURCES,
        *absent.notes((f"{likest or MOCK_TASKS[0]}: {name}", absent.CLAIMS) for name in missing),
    ]
    title = "Figure 2 in numbers. Reward at the end of training"
    return captions.table(grid, "figure2_end", title, columns, rows, notes)


def _published(name: str) -> dict[str, Value]:
    return {
        "paper": FIGURE_2[name][-1],
        "paper_band": "{:.2f} to {:.2f}".format(*FIGURE_2_BAND[name]),
        "paper_share": share_of_direct(name),
        "paper_source": "Figure 2, digitised",
    }


def _share(arm: Arm, direct: Arm | None, zero: Arm | None) -> float | None:
    if direct is None or zero is None:
        return None
    start = arms_cells.mean(zero, "true_score").mean
    gain = arms_cells.mean(direct, "true_score").mean - start
    return (arms_cells.mean(arm, "true_score").mean - start) / gain if gain else None


def figure_4(grid: Grid, found: list[Family]) -> Table:
    """Figure 4 in numbers: preference to zero-shot by the number of offline labels, both style tasks."""
    rows, missing = [], []
    families = main(of_style(found))
    for task in dict.fromkeys([*FIGURE_4, *(family.task for family in families)]):
        run = set()
        for family in families:
            zero = family.arm(ZERO_SHOT)
            for arm in offline(family) if family.task == task and zero else []:
                assert zero is not None
                name = str(arm.first.row["labels"])
                run.add(name)
                published = dict(zip(FIGURE_4_LABELS, FIGURE_4.get(task, ()), strict=False)).get(name)
                values = captions.arm_values(grid, family, arm) | {
                    "wins": win_rate(arm, zero),
                    "paper": published,
                    "paper_source": FIGURE_4_SOURCE if published else None,
                }
                rows.append(Row(values, (*arm.ids, *zero.ids)))
        for name, value in zip(FIGURE_4_LABELS, FIGURE_4.get(task, ()), strict=False):
            if name not in run:
                missing.append(f"{task}: {name}")
                values = {"task": task, "arm": f"{name} offline", "paper": value}
                rows.append(absent.row(values | {"paper_source": FIGURE_4_SOURCE}, "wins"))
    columns = (
        *captions.arm_columns(grid, task=True),
        Column("wins", "ours: judge prefers it to zero-shot, %", "interval", 1, 100),
        Column("paper", "paper: people do, %", "number", 1, 100),
        Column("paper_source", "where"),
    )
    notes = [f"Brackets: {METHOD}.", captions.judge_note(grid, of_style(found)), captions.SOURCES]
    notes += absent.notes((name, FIGURE_4_GRID) for name in missing)
    title = "Figure 4 in numbers. Preference to zero-shot by the number of offline labels"
    return captions.table(grid, "figure4_points", title, columns, rows, notes)


def offline(family: Family) -> list[Arm]:
    """The arms of Figure 4, by their number of labels."""
    arms = [arm for arm in family.plain if arm.name == f"{arm.first.row['labels']} offline"]
    return sorted(arms, key=lambda arm: arm.first.row["num_train"])
