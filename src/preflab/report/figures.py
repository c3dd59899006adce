"""The figures as SVG whose bytes depend on the numbers alone (fixed ids, no date)."""

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preflab.report import captions, compare, paper, summary_figures, tables
from preflab.report.compare import MOCK, ZERO_SHOT, Arm, Family
from preflab.report.load import Cell, Grid
from preflab.report.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

# Okabe and Ito's colours, which colour-blind readers can tell apart; one for each number of labels.
COLOURS = {MOCK: "#222222", "60k": "#0072B2", "20k": "#009E73", "5k": "#D55E00"}
OTHER_COLOURS = ["#CC79A7", "#56B4E9", "#E69F00", "#7F7F7F"]
GREY = "#8a8a8a"
POINTS = 60  # at most, along a training curve
ROUGH = 15  # the same in the plane of reward and KL, where a curve turns back on itself

DIAMOND: dict[str, Any] = {
    "marker": "D",
    "linestyle": "",
    "markerfacecolor": "white",
    "markeredgecolor": "#222222",
    "markersize": 5,
}

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.7,
    "axes.labelcolor": "#333333",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.6,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "legend.frameon": False,
    "svg.fonttype": "path",
    "lines.linewidth": 1.5,
}


class Figure(NamedTuple):
    """`label` names the file; `alt` says in words what is to be seen."""

    label: str
    caption: str
    alt: str
    svg: str


def all_figures(grid: Grid, table_1: Table) -> list[Figure]:
    """Every figure for which the grid has something to show."""
    trained = [family for family in compare.families(grid) if family.trained]
    of_summaries = summary_figures.plots(grid)
    summaries = [Figure(one.label, one.caption, one.alt, _draw(one.label, one.draw)) for one in of_summaries]
    if not trained:
        return summaries
    mark = captions.caption_mark(grid)
    preferences = [
        Figure(
            "win_rates",
            "Which policy is preferred. Points: our judge, with the interval of Table 1; open diamonds: "
            f"people, in the paper. {mark}",
            "Share of contexts on which the first of two policies is preferred, beside the paper's values",
            _draw("win_rates", lambda: win_rates(table_1)),
        )
    ]
    return [
        *(preferences if table_1.rows else []),
        Figure(
            "figure2",
            "Figure 2. Left: the known (mock) reward while policies train; lines are means and bands "
            "ranges over seeds. Middle: the KL that it costs, with its target (line) ± 25 % (band). Right: "
            f"the paper's Figure 2, digitised, in log-odds. {mark}",
            "Mock reward and KL against episodes, for direct training and reward models, beside the paper's curves",
            _draw("figure2", lambda: reward_curves(trained)),
        ),
        Figure(
            "frontier",
            "Reward against KL. Left: every cell on held-out contexts (points, ± standard error) and the "
            f"way there in training (lines). Right: the paper's Figure 3, digitised, in log-odds. {mark}",
            "Mock reward against KL from the reference, one point for each cell, beside the paper's Figure 3",
            _draw("frontier", lambda: frontier(trained)),
        ),
        *summaries,
    ]


def _draw(label: str, plot: Callable[[], "Canvas"]) -> str:
    with _style(label):
        out = io.StringIO()
        plot().savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _style(label: str) -> AbstractContextManager[None]:
    """`svg.hashsalt` fixes the ids inside an SVG; one for each figure, so that two can stand in one page."""
    import matplotlib as mpl

    return mpl.rc_context(STYLE | {"svg.hashsalt": f"preflab {label}"})


def _canvas(width: float, height: float) -> "Canvas":
    from matplotlib.figure import Figure as Canvas

    return Canvas(figsize=(width, height), layout="constrained")


def win_rates(table_1: Table) -> "Canvas":
    """The rows of Table 1 from top to bottom."""
    rows = table_1.rows
    canvas = _canvas(7.2, 0.75 + 0.3 * len(rows))
    axes = canvas.subplots()
    axes.axvline(50, color=GREY, linewidth=0.8, zorder=1)
    for at, row in enumerate(rows):
        wins: Any = row.values["wins"]
        colour = _colour(str(row.values["comparison"]).split()[0], 0)
        axes.plot([100 * wins.low, 100 * wins.high], [at, at], color=colour, linewidth=2.2, solid_capstyle="butt")
        axes.plot(100 * wins.mean, at, "o", color=colour, markersize=5.5)
        if row.values["paper"] is not None:
            axes.plot(100 * float(str(row.values["paper"])), at, **DIAMOND)
    axes.set_yticks(range(len(rows)), [str(row.values["comparison"]) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel("contexts on which the first is preferred, %")
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.plot([], [], "o", color=GREY, label="ours: synthetic judge, 95 % interval")
    axes.plot([], [], label="paper: people", **DIAMOND)
    canvas.legend(loc="outside upper right", ncols=2)
    return canvas


def reward_curves(trained: list[Family]) -> "Canvas":
    """A row for each family: our reward, our KL, the paper's Figure 2."""
    canvas = _canvas(10, 0.5 + 2.7 * len(trained))
    grid = canvas.subplots(len(trained), 3, squeeze=False)
    millions = [episodes / 1e6 for episodes in paper.FIGURE_2_EPISODES]
    for (ours, kl, published), family in zip(grid, trained, strict=True):
        for index, arm in enumerate(family.trained):
            _seeds_band(ours, arm, "true_reward", index)
            _seeds_band(kl, arm, "kl", index)
        for target in sorted({arm.first.row["kl_target"] or 0 for arm in family.trained} - {0}):
            low, high = (target * (1 + sign * tables.KL_TOLERANCE) for sign in (-1, 1))
            kl.axhspan(low, high, color="#f1efe6", zorder=0)
            kl.axhline(target, color=GREY, linewidth=0.8, zorder=1)
        ours.set_title(f"Ours{captions.extra_axes(family)}")
        ours.set_ylabel("mock reward, SD of ρ")
        kl.set_title("Ours: KL")
        kl.set_ylabel("KL from ρ, nats per response")
        for labels, values in paper.FIGURE_2.items():
            published.plot(millions, values, color=_colour(labels, 0), marker=".", markersize=4)
            _name_line(published, labels, 2.03, values[-1])
        published.set_title("Paper, Figure 2")
        published.set_ylabel("mock reward, log-odds")
        published.set_xlabel("million episodes")
        published.set_xlim(0, 2.3)
        for axes in (ours, kl):
            axes.set_xlabel("episodes")
            axes.set_xlim(left=0)
    _legend(canvas, grid[0][0])
    return canvas


def frontier(trained: list[Family]) -> "Canvas":
    """All families in one plane: their KL targets are what spreads the points."""
    canvas = _canvas(10, 3.8)
    ours, published = canvas.subplots(1, 2)
    for family in trained:
        for index, arm in enumerate(family.trained):
            colour = _colour(arm.first.row["labels"], index)
            for cell in arm.cells:
                _trajectory(ours, cell, colour)
                _point(ours, arm, cell, colour, named=cell is arm.first and family is trained[0])
    for zero in {arm.ids: arm for family in trained for arm in family.arms if arm.name == ZERO_SHOT}.values():
        ours.plot(0, zero.first.metrics["labeller"], "*", color=GREY, markersize=9, label="zero-shot")
    ours.set(title="Ours", xlabel="KL from ρ, nats per response", ylabel="mock reward, SD of ρ")
    for labels, values in paper.FIGURE_3.items():
        published.plot(paper.FIGURE_3_KL, values, color=_colour(labels, 0), marker=".", markersize=4)
        _name_line(published, labels, 20.3, values[-1])
    published.set(
        title="Paper, Figure 3",
        xlabel="KL from ρ, nats per response",
        ylabel="mock reward, log-odds",
        xlim=(0, 22.5),
    )
    _legend(canvas, ours)
    return canvas


def _point(axes: "Axes", arm: Arm, cell: Cell, colour: str, named: bool) -> None:
    """One cell with its standard errors; filled if offline."""
    axes.errorbar(
        cell.metrics["kl"],
        cell.metrics["labeller"],
        xerr=cell.metrics["kl_se"],
        yerr=cell.metrics["labeller_se"],
        fmt="s" if arm.name == MOCK else "o",
        color=colour,
        markerfacecolor="white" if _online(arm) else colour,
        markersize=6,
        elinewidth=1,
        label=_legend_name(arm) if named else None,
    )


def _name_line(axes: "Axes", labels: str, x: float, y: float) -> None:
    """The name of one of the paper's curves at its end."""
    name = "direct" if labels == MOCK else labels
    axes.annotate(name, (x, y), color=_colour(labels, 0), va="center", annotation_clip=False)


def _legend(canvas: "Canvas", axes: "Axes") -> None:
    handles, names = axes.get_legend_handles_labels()
    unique = dict(zip(names, handles, strict=True))
    canvas.legend(unique.values(), unique.keys(), loc="outside upper center", ncols=len(unique))


def _seeds_band(axes: "Axes", arm: Arm, column: str, index: int) -> None:
    """Mean over seeds as a line, their range as a band."""
    episodes, values = curves(arm, column)
    colour = _colour(arm.first.row["labels"], index)
    axes.plot(
        episodes,
        values.mean(0),
        color=colour,
        linestyle="--" if _online(arm) else "-",
        label=_legend_name(arm),
    )
    axes.fill_between(episodes, values.min(0), values.max(0), color=colour, alpha=0.15, linewidth=0)


def curves(arm: Arm, column: str, points: int = POINTS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Episodes [points] and a column of the training curves [seeds, points], averaged down to `points`."""
    updates = min(len(cell.curve["episode"]) for cell in arm.cells)
    blocks = np.array_split(np.arange(updates), min(points, updates))
    episodes = np.array([arm.first.curve["episode"][block].mean() for block in blocks])
    return episodes, np.array([[cell.curve[column][block].mean() for block in blocks] for cell in arm.cells])


def _trajectory(axes: "Axes", cell: Cell, colour: str) -> None:
    arm = Arm("", "", (cell,))
    axes.plot(
        curves(arm, "kl", ROUGH)[1][0],
        curves(arm, "true_reward", ROUGH)[1][0],
        color=colour,
        linewidth=0.8,
        alpha=0.45,
    )


def _colour(labels: str, index: int) -> str:
    return COLOURS.get(labels) or OTHER_COLOURS[index % len(OTHER_COLOURS)]


def _legend_name(arm: Arm) -> str:
    return "mock (direct)" if arm.name == MOCK else arm.name


def _online(arm: Arm) -> bool:
    return arm.name != MOCK and arm.first.row["collection"] != "offline"
