"""The tables of results: our number ± interval beside the paper's, the scale beside every label count."""

import numpy as np

from preflab.evaluate.statistics import Interval
from preflab.report import captions, compare, paper, summaries
from preflab.report.compare import MOCK, ZERO_SHOT, Arm, Family
from preflab.report.load import UNTRAINED, Cell, Grid
from preflab.report.table import Column, Row, Table, Value, WithError

CHANCE = 0.25  # of picking the best of four
KL_TOLERANCE = 0.25  # final KL counts as on target within this share of it

# What Table 1 of the paper compares (its 20k is our 60k where a grid has no 20k), then what we add.
PAPER_PAIRS = [
    ("5k offline", ZERO_SHOT),
    ("5k offline", MOCK),
    ("5k offline", "20k offline"),
    ("5k offline", "60k offline"),
]
PAPER_PAIRS += [("5k offline", "5k online"), ("60k offline", ZERO_SHOT)]

ARM_COLUMNS = (
    Column("arm", "policy"),
    Column("labels", "labels"),
    Column("source", "labels from"),
    Column("seeds", "seeds"),
)


def all_tables(grid: Grid) -> list[Table]:
    """Every table of results, in the order of the page."""
    found = compare.families(grid)
    return [
        table_1(grid, found),
        figure_2(grid, found),
        *summaries.all_tables(grid),
        scores(grid, found),
        reward_models(grid, found),
        cells(grid),
    ]


def table_1(grid: Grid, found: list[Family]) -> Table:
    """The judge's preference on the same contexts: the paper's Table 1, then every policy vs zero-shot."""
    rows, missing = [], []
    for family in found:
        wanted = list(PAPER_PAIRS)
        wanted += [(arm.name, ZERO_SHOT) for arm in family.trained if (arm.name, ZERO_SHOT) not in PAPER_PAIRS]
        for a_name, b_name in wanted:
            a, b = family.arm(a_name), family.arm(b_name)
            wins = compare.win_rate(a, b) if a and b else None
            if a and b and wins:
                rows.append(_comparison(grid, family, a, b, wins))
            elif "20k" not in b_name:
                missing.append(f"{a_name} vs {b_name}")
    columns = (
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
        f"Brackets: {compare.METHOD}. Equal seeds are compared with each other on the same contexts; equal "
        "texts count ½.",
        captions.judge_note(grid),
        "The mock policy is trained on the labeller's own score. In the paper people judged, to whom that "
        "score was only a proxy; here it is the truth that labels and judge imitate, so this row shows "
        "what comparisons cost and not that a proxy fails.",
    ]
    if missing:
        names = ", ".join(dict.fromkeys(missing))
        notes.append(f"Left out, because the grid lacks a policy or an equal seed: {names}.")
    return _table(grid, "table1", "Table 1. Which of two policies is preferred", columns, rows, notes)


def _comparison(grid: Grid, family: Family, a: Arm, b: Arm, wins: Interval) -> Row:
    published = paper.TABLE_1.get((family.task, a.name, b.name))
    matched = compare.pairs(a, b)
    values: dict[str, Value] = {
        "comparison": f"{a.name} vs {b.name}" + captions.extra_axes(family),
        "labels": captions.labels_text(grid, a.first),
        "labels_b": captions.labels_text(grid, b.first),
        "source": captions.source_text(a.first),
        "seeds": ", ".join(str(one.row["seed"]) for one, _ in matched),
        "wins": wins,
        "paper": published.value if published else None,
        "paper_source": published.source if published else None,
        "vader": compare.vader_rate(a, b),
    }
    return Row(values, tuple(dict.fromkeys([one.id for one, _ in matched] + [other.id for _, other in matched])))


def figure_2(grid: Grid, found: list[Family]) -> Table:
    """The end of Figure 2: the known reward that each policy reaches, and its share of direct training's."""
    rows = []
    for family in found:
        zero, mock = family.arm(ZERO_SHOT), family.arm(MOCK)
        for arm in family.trained:
            name = arm.first.row["labels"]
            end = paper.FIGURE_2.get(name) if arm.name in (MOCK, f"{name} offline") else None
            values = _arm_values(grid, family, arm) | {
                "reward": compare.mean(arm, "labeller"),
                "share": _share(arm, mock, zero),
                "kl": compare.mean(arm, "kl"),
                "paper": end[-1] if end else None,
                "paper_band": "{:.2f} to {:.2f}".format(*paper.FIGURE_2_BAND[name]) if end else None,
                "paper_share": paper.share_of_direct(name) if end else None,
            }
            rows.append(Row(values, arm.ids))
    columns = (
        *ARM_COLUMNS,
        Column("reward", "mock reward, SD of ρ", "interval", 2),
        Column("share", "share of direct, %", "number", 0, 100),
        Column("kl", "KL, nats", "interval", 2),
        Column("paper", "paper, log-odds", "number", 2),
        Column("paper_band", "its range"),
        Column("paper_share", "its share of direct, %", "number", 0, 100),
    )
    notes = [
        "Mock reward: the labeller's score on the test contexts, in standard deviations of the reference. "
        f"Brackets: {compare.METHOD}.",
        "Share: gain over zero-shot as a share of what direct training gains. The paper's rewards are "
        "log-odds of another classifier, at KL 8 and with noise-free labels, so only the shares compare; "
        f"its zero-shot is read from the start of its Figure 2 ({paper.FIGURE_2_START}).",
    ]
    return _table(grid, "figure2_end", "Figure 2 in numbers. Reward at the end of training", columns, rows, notes)


def _share(arm: Arm, mock: Arm | None, zero: Arm | None) -> float | None:
    if mock is None or zero is None:
        return None
    start = compare.mean(zero, "labeller").mean
    return (compare.mean(arm, "labeller").mean - start) / (compare.mean(mock, "labeller").mean - start)


def scores(grid: Grid, found: list[Family]) -> Table:
    """What every policy scores on the test contexts."""
    rows = []
    for family in found:
        for arm in family.arms:
            values = _arm_values(grid, family, arm) | {
                "labeller": compare.mean(arm, "labeller"),
                "judge": compare.mean(arm, "judge"),
                "vader": compare.mean(arm, "vader"),
                **{name: compare.seed_mean(arm, name) for name in ("length", "ended", "distinct_1", "distinct_2")},
            }
            rows.append(Row(values, arm.ids))
    columns = (
        *ARM_COLUMNS,
        Column("labeller", "labeller, SD of ρ", "interval", 2),
        Column("judge", "judge, log-odds", "interval", 2),
        Column("vader", "VADER", "interval", 3),
        Column("length", "length, tokens", "number", 1),
        Column("ended", "end token, %", "number", 1, 100),
        Column("distinct_1", "distinct-1", "number", 3),
        Column("distinct_2", "distinct-2", "number", 3),
    )
    contexts = len(compare.common_contexts(found[0])) if found else 0
    notes = [f"Means over {contexts} held-out contexts and over seeds. Brackets: {compare.METHOD}."]
    return _table(grid, "scores", "Scores on held-out contexts", columns, rows, notes)


def reward_models(grid: Grid, found: list[Family]) -> Table:
    """Held-out accuracy of the models that the stage `reward` trained (online: the first, from N⁰ labels)."""
    groups: dict[tuple[str, ...], list[Arm]] = {}
    for family in found:
        for arm in family.trained:
            if arm.name != MOCK:
                groups.setdefault(tuple(cell.row["reward"] for cell in arm.cells), []).append(arm)
    rows = []
    for arms in groups.values():
        accuracy = reward_accuracy(arms[0])
        values: dict[str, Value] = {
            "arm": "; ".join(arm.name for arm in arms),
            "labels": _trained_on(grid, arms[0]),
            "source": captions.source_text(arms[0].first),
            "seeds": captions.seeds_text(arms[0]),
            "accuracy": accuracy,
            "chance": CHANCE,
            "above": (accuracy.mean - CHANCE) / accuracy.error if accuracy.error else None,
            "loss": _reward_mean(arms[0], "heldout_loss"),
            "calibration": _reward_mean(arms[0], "expected_calibration_error"),
        }
        rows.append(Row(values, tuple(dict.fromkeys(cell for arm in arms for cell in arm.ids))))
    columns = (
        Column("arm", "reward model of"),
        *ARM_COLUMNS[1:],
        Column("accuracy", "held-out accuracy, %", "error", 1, 100),
        Column("chance", "chance, %", "number", 0, 100),
        Column("above", "above chance, s.e.", "number", 1),
        Column("loss", "held-out loss", "number", 3),
        Column("calibration", "calibration error", "number", 3),
    )
    notes = [
        "Accuracy: how often the response that the labeller chose has the highest score of its four; mean "
        "over seeds ± standard error over comparisons (seeds share them, so it is not divided by the "
        "number of seeds). The labels are noisy: no model can reach 100 %."
    ]
    return _table(grid, "reward_models", "Reward models on held-out comparisons", columns, rows, notes)


def _trained_on(grid: Grid, arm: Arm) -> str:
    """Offline all labels; online the first N⁰ (PPO collects the rest)."""
    if arm.first.row["collection"] == "offline":
        return captions.labels_text(grid, arm.first)
    return f"the first {arm.first.reward['num_train']:.0f} (× {captions.scale(grid, arm.first)})"


def reward_accuracy(arm: Arm) -> WithError:
    """Mean over seeds; the standard error is that of one seed: they share their held-out comparisons."""
    return WithError(_reward_mean(arm, "heldout_accuracy"), _reward_mean(arm, "heldout_accuracy_se"))


def _reward_mean(arm: Arm, metric: str) -> float:
    return float(np.mean([cell.reward[metric] for cell in arm.cells]))


def cells(grid: Grid) -> Table:
    """One row for each cell: reward against KL, and whether the KL is where the controller should hold it."""
    rows = []
    for cell in grid.cells:
        target = cell.row["kl_target"]
        ratio = cell.metrics["kl"] / target if target and "kl" in cell.metrics else None
        values: dict[str, Value] = {
            "cell": cell.id,
            "labels": captions.labels_text(grid, cell),
            "source": captions.source_text(cell),
            "labeller": _with_error(cell, "labeller"),
            "reward_model": None if cell.method in UNTRAINED else _with_error(cell, "reward_model"),
            "kl": None if cell.method in UNTRAINED else _with_error(cell, "kl"),
            "target": target,
            "ratio": ratio,
            "on_target": None if ratio is None else "yes" if abs(ratio - 1) <= KL_TOLERANCE else "no",
        }
        rows.append(Row(values, (cell.id,)))
    columns = (
        Column("cell", "cell"),
        *ARM_COLUMNS[1:3],
        Column("labeller", "mock reward, SD of ρ", "error", 2),
        Column("reward_model", "reward model's score", "error", 2),
        Column("kl", "KL, nats", "error", 2),
        Column("target", "KL target", "number", 2),
        Column("ratio", "KL / target", "number", 2),
        Column("on_target", f"within {KL_TOLERANCE:.0%}".replace("%", " %")),
    )
    notes = [
        "Means over held-out contexts ± standard error over contexts. KL of the policy from the reference "
        "ρ per response."
    ]
    return _table(grid, "cells", "Every cell: reward and KL", columns, rows, notes)


def _with_error(cell: Cell, metric: str) -> WithError | None:
    """None where the cell has no such number: a supervised policy no reward model, lead-3 no KL."""
    return WithError(cell.metrics[metric], cell.metrics[f"{metric}_se"]) if metric in cell.metrics else None


def _arm_values(grid: Grid, family: Family, arm: Arm) -> dict[str, Value]:
    return {
        "arm": arm.name + captions.extra_axes(family),
        "labels": captions.labels_text(grid, arm.first),
        "source": captions.source_text(arm.first),
        "seeds": captions.seeds_text(arm),
    }


def _table(grid: Grid, label: str, title: str, columns: tuple[Column, ...], rows: list[Row], notes: list[str]) -> Table:
    return Table(
        label,
        f"{title}. {captions.caption_mark(grid)}",
        columns,
        tuple(rows),
        captions.references(grid),
        tuple(notes),
    )
