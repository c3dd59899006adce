"""The figures of the true score: while policies train (Figure 2), against KL (Figure 3), and over-optimised."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from preflab.report import captions
from preflab.report.cells import optimum
from preflab.report.cells.results import ZERO_SHOT, Arm, CellResults, Family, GridResults
from preflab.report.figures import drawing
from preflab.report.figures.drawing import BLACK, BLUE, GREY, VERMILION, Figure
from preflab.report.paper.style import (
    FIGURE_2,
    FIGURE_2_EPISODES,
    FIGURE_3,
    FIGURE_3_KL,
    FIGURE_3_LONG,
    FIGURE_3_OPTIMAL,
    FIGURE_3_OPTIMAL_KL,
)
from preflab.report.tables.overoptimisation import ArmParting, parted_arms
from preflab.report.tables.policies import KL_TOLERANCE
from preflab.report.tables.style import MOCK_TASKS, PROXY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

POINTS = 60  # at most, along a training curve
ROUGH = 12  # the same in the plane of reward and KL, where a curve turns back on itself
TARGET = "policy.adaptive_kl.target"  # the axis that spreads the points of Figure 3
WIDE = 3  # panels side by side


def shown(family: Family) -> list[Arm]:
    """The policies of Figures 2 and 3: those of the paper's numbers of labels where there are any."""
    papers = [arm for arm in family.plain if arm.first.row["labels"] in FIGURE_2]
    return papers or family.plain


def figure_2(grid: GridResults) -> list[Figure]:
    """True score and KL while policies train; none without a trained policy of a style task."""
    families = [family for family in grid.main_families if family.plain and not family.summarises]
    if not families:
        return []
    return [
        drawing.figure(
            "figure2",
            "Figure 2. Left: the true score while policies train; lines are means and bands "
            "ranges over seeds. Middle: their KL, with its target (line) ± 25 % (band). Right: "
            f"the paper's Figure 2, digitised, in log-odds. {captions.caption_mark(grid)}",
            "True score and KL against episodes, for direct training and reward models, and the paper's curves",
            lambda: _reward_curves(families),
        )
    ]


def _reward_curves(families: list[Family]) -> "Canvas":
    """A row for each family: our reward, our KL, the paper's Figure 2."""
    canvas = drawing.canvas(10, 0.6 + 2.6 * len(families))
    grid = canvas.subplots(len(families), 3, squeeze=False)
    for (ours, kl, published), family in zip(grid, families, strict=True):
        for arm in shown(family):
            _seeds_band(ours, arm, "true_score")
            _seeds_band(kl, arm, "kl")
        for target in sorted({arm.first.row["kl_target"] or 0 for arm in shown(family)} - {0}):
            low, high = (target * (1 + sign * KL_TOLERANCE) for sign in (-1, 1))
            kl.axhspan(low, high, color="#f1efe6", zorder=0)
            kl.axhline(target, color=GREY, linewidth=0.8, zorder=1)
        ours.set_title(f"Ours: {family.name}")
        ours.set_ylabel("true score, SD of ρ")
        kl.set_title("KL")
        kl.set_ylabel("KL from ρ, nats per response")
        for axes in (ours, kl):
            axes.set_xlabel("episodes")
            axes.set_xlim(left=0)
        if family.task not in MOCK_TASKS:
            published.set_axis_off()
            continue
        for labels, values in FIGURE_2.items():
            drawing.line(published, labels, [episodes / 1e6 for episodes in FIGURE_2_EPISODES], values)
        published.set_title("Paper, Figure 2")
        published.set(ylabel="true score, log-odds", xlabel="million episodes", xlim=(0, 2.35))
    drawing.legend(canvas, grid[:, 0])
    return canvas


def _seeds_band(axes: "Axes", arm: Arm, column: str) -> None:
    """Mean over seeds as a line, their range as a band."""
    episodes, values = curves(arm, column)
    look = drawing.look(arm)
    every = max(1, len(episodes) // 6)
    axes.plot(episodes, values.mean(0), label=arm.name, markevery=(every // 2, every), **look)
    axes.fill_between(episodes, values.min(0), values.max(0), color=look["color"], alpha=0.12, linewidth=0)


def curves(arm: Arm, column: str, points: int = POINTS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Episodes [points] and a column of the training curves [seeds, points], averaged down to `points`."""
    updates = min(len(cell.curve["episode"]) for cell in arm.cells)
    blocks = np.array_split(np.arange(updates), min(points, updates))
    episodes = np.array([arm.first.curve["episode"][block].mean() for block in blocks])
    return episodes, np.array([[cell.curve[column][block].mean() for block in blocks] for cell in arm.cells])


def figure_3(grid: GridResults) -> list[Figure]:
    """Reward against KL: families that share a task, a model and the labeller that scores them share a panel."""
    panels: dict[str, list[Family]] = {}
    for family in grid.families:
        proxy = any(axis.startswith(f"{PROXY}=") for axis in family.axes)  # its reward is in another unit
        if family.plain and not family.summarises and not proxy:
            panels.setdefault(", ".join(family.name.split(", ")[:2]), []).append(family)
    if not panels:
        return []
    return [
        drawing.figure(
            "frontier",
            "Figure 3. Reward against KL: every cell on held-out contexts (points, ± standard error), its path in "
            "training (thin lines, means over seeds) and, where it was estimated, the optimum from weighted samples of "
            "the reference and the best of 1, 2, 4 … of them by the true score. Last panel: the "
            f"paper's Figure 3, digitised, in log-odds. {captions.caption_mark(grid)}",
            "True score against KL from the reference, one point for each cell, and the paper's Figure 3",
            lambda: _frontiers(panels),
        )
    ]


def _frontiers(panels: dict[str, list[Family]]) -> "Canvas":
    wide = min(WIDE, len(panels) + 1)
    rows = -(-(len(panels) + 1) // wide)
    canvas = drawing.canvas(max(10, 3.9 * wide), 0.7 + 3.4 * rows)
    grid = canvas.subplots(rows, wide, squeeze=False).ravel()
    for axes, (name, families) in zip(grid, panels.items(), strict=False):
        _optimal(axes, families)
        swept = sum(family.axes[0].startswith(TARGET) if len(family.axes) == 1 else 0 for family in families) > 1
        for family in families:
            for arm in shown(family):
                _points(axes, family, arm, thin_line=not swept)
            for arm in family.arms:
                if arm.first.method == "best_of_n" and not arm.ablated and "kl" in arm.first.metrics:
                    _best_of_n(axes, arm)
        if swept:
            _joined(axes, families)
        axes.set(title=f"Ours: {name}", xlabel="KL from ρ, nats per response", ylabel="true score, SD of ρ")
    _papers_frontier(grid[len(panels)])
    for axes in grid[len(panels) + 1 :]:
        axes.set_axis_off()
    drawing.legend(canvas, grid[: len(panels)], columns=4)
    return canvas


def _optimal(axes: "Axes", families: list[Family]) -> None:
    """Zero-shot, and the best that reweighting its samples can do."""
    zeros = {arm.ids: arm for family in families for arm in family.arms if arm.name == ZERO_SHOT}
    for zero in zeros.values():
        axes.plot(0, zero.first.metrics["true_score"], "*", color=BLACK, markersize=10, label="zero-shot")
        if points := optimum.points(zero.first):
            kl, reward = zip(*points, strict=True)
            axes.plot(kl, reward, color=BLACK, linestyle=(0, (5, 1.5)), linewidth=1.8, label="optimum")
        if points := optimum.best_of(zero.first):
            kl, reward = zip(*points, strict=True)
            axes.plot(kl, reward, color=GREY, linestyle="-.", marker=".", label="best of n, true score")


def _points(axes: "Axes", family: Family, arm: Arm, thin_line: bool) -> None:
    """The cells of an arm with their standard errors; those of a longer training and the like are larger."""
    look = drawing.look(arm)
    special = [axis for axis in family.axes if not axis.startswith(TARGET)]
    text = arm.name + (f" ({', '.join(special)})" if special else "")
    for cell in arm.cells:
        axes.errorbar(
            *_at(cell),
            xerr=cell.metrics["kl_se"],
            yerr=cell.metrics["true_score_se"],
            **look | {"linestyle": ""},
            markersize=9 if special else 5,
            fillstyle="left" if special else "full",
            elinewidth=0.8,
            label=text if cell is arm.first else None,
        )
    if thin_line:
        way = {**look, "marker": "", "linewidth": 0.8, "alpha": 0.5}
        axes.plot(curves(arm, "kl", ROUGH)[1].mean(0), curves(arm, "true_score", ROUGH)[1].mean(0), **way)


def _at(cell: CellResults) -> tuple[float, float]:
    return cell.metrics["kl"], cell.metrics["true_score"]


def _best_of_n(axes: "Axes", arm: Arm) -> None:
    kl, reward = np.mean([_at(cell) for cell in arm.cells], axis=0)
    colour = drawing.look(arm)["color"]
    axes.plot(kl, reward, "X", color=colour, markeredgecolor=BLACK, markersize=8, label=arm.name)


def _joined(axes: "Axes", families: list[Family]) -> None:
    """A line through the means of each policy at its KL targets."""
    by_name: dict[str, list[Arm]] = {}
    for family in families:
        for arm in shown(family) if len(family.axes) == 1 else []:
            by_name.setdefault(arm.name, []).append(arm)
    for arms in by_name.values():
        means = sorted(tuple(np.mean([_at(cell) for cell in arm.cells], axis=0)) for arm in arms)
        axes.plot(*zip(*means, strict=True), **drawing.look(arms[0]) | {"marker": ""})


def _papers_frontier(axes: "Axes") -> None:
    for labels, values in FIGURE_3.items():
        drawing.line(axes, labels, FIGURE_3_KL, values)
    (longer,) = axes.plot(FIGURE_3_KL, FIGURE_3_LONG, color=GREY, marker="s", linestyle=":")
    drawing.end(axes, longer, "direct, 64M")
    best: dict[str, Any] = {"color": BLACK, "linestyle": (0, (5, 1.5)), "linewidth": 1.8}
    (optimal,) = axes.plot(FIGURE_3_OPTIMAL_KL, FIGURE_3_OPTIMAL, **best)
    drawing.end(axes, optimal, "optimum", above=True)
    axes.set(title="Paper, Figure 3", xlabel="KL from ρ, nats per response", ylabel="true score, log-odds")
    axes.set_xlim(0, 25)


def overoptimisation(grid: GridResults) -> list[Figure]:
    """One figure for each task; none where no run was long enough."""
    by_task: dict[str, list[ArmParting]] = {}
    for parted in parted_arms(grid):
        by_task.setdefault(parted.family.task, []).append(parted)
    return [
        drawing.figure(
            f"overoptimisation_{task}",
            f"Over-optimisation, {task}: the reward model's score and the true score over KL in training, means of "
            "bins of equal numbers of updates over all seeds; a dotted line where they part. Both in standard "
            f"deviations of the reference. {captions.caption_mark(grid)}",
            f"Reward model's score and true score against KL for each policy of {task}",
            partial(_partings, arms),
        )
        for task, arms in by_task.items()
    ]


def _partings(arms: list[ArmParting]) -> "Canvas":
    wide = min(WIDE + 1, len(arms))
    models = len({parted.family.model for parted in arms})
    rows = -(-len(arms) // wide)
    canvas = drawing.canvas(max(5, 2.7 * wide), 0.7 + 2.3 * rows)
    grid = canvas.subplots(rows, wide, squeeze=False, sharey=True)
    for axes, (family, arm, parting) in zip(grid.ravel(), arms, strict=False):
        curve = parting.curve
        filled = ~np.isnan(curve.kl)
        predicted: dict[str, Any] = {"color": VERMILION, "marker": "^", "linestyle": "--"}
        axes.plot(curve.kl[filled], curve.reward_model[filled], label="reward model's score", **predicted)
        axes.plot(curve.kl[filled], curve.true[filled], color=BLUE, marker="o", label="true score")
        if parting.kl is not None:
            axes.axvline(parting.kl, color=BLACK, linestyle=":", linewidth=1)
        model = f"{arm.first.row['model']}: " if models > 1 else ""
        axes.set_title(model + arm.name + captions.extra_axes(family).replace(" (", "\n("), fontsize=8)
        axes.set_xlabel("KL from ρ, nats")
    for axes in grid.ravel()[len(arms) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("score, SD of ρ")
    drawing.legend(canvas, grid.ravel())
    return canvas
