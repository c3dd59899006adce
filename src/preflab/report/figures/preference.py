"""The figures of preference: Table 1 as a picture, and Figure 4."""

from typing import TYPE_CHECKING, Any

from preflab.report import captions, not_run
from preflab.report.cells.arms import win_rate
from preflab.report.cells.results import ZERO_SHOT, Family, GridResults
from preflab.report.figures import drawing
from preflab.report.figures.drawing import BLUE, DIAMOND, GREY, LOOKS, OTHER, Figure
from preflab.report.paper.style import FIGURE_4, FIGURE_4_LABELS
from preflab.report.table import TableRow
from preflab.report.tables.style import offline, preferences, style_by_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas


def win_rates(grid: GridResults) -> list[Figure]:
    """The rows of Table 1; none where it has no row."""
    by_task: dict[str, list[TableRow]] = {}
    for row in preferences(grid):
        by_task.setdefault(str(row.values["task"]), []).append(row)
    if not by_task:
        return []
    figure = drawing.figure(
        "win_rates",
        "Which policy is preferred. Points: our judge, with the interval of Table 1; open diamonds: "
        f"humans, in the paper. {captions.caption_mark(grid)}",
        "Share of contexts on which the first of two policies is preferred, and the paper's values",
        lambda: _win_rates(by_task),
    )
    return [figure._replace(narrow=True)]


def _win_rates(tasks: dict[str, list[TableRow]]) -> "Canvas":
    """The rows from top to bottom, a panel for each task."""
    heights = [len(rows) + 1 for rows in tasks.values()]
    canvas = drawing.canvas(7.2, 0.8 + 0.27 * sum(heights))
    panels = canvas.subplots(len(tasks), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (task, rows) in zip(panels, tasks.items(), strict=True):
        axes.set_title(task)
        axes.axvline(50, color=GREY, linewidth=0.8, zorder=1)
        for y, row in enumerate(rows):
            wins: Any = row.values["wins"]
            colour, marker = LOOKS.get(str(row.values["comparison"]).split()[0], OTHER)
            axes.plot([100 * wins.low, 100 * wins.high], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
            axes.plot(100 * wins.mean, y, marker=marker, color=colour, markersize=5.5)
            if isinstance(row.values["paper"], float):
                axes.plot(100 * row.values["paper"], y, zorder=3, **DIAMOND)
        axes.set_yticks(range(len(rows)), [str(row.values["comparison"]) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(-1, 101)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
    panels[-1].set_xlabel("contexts on which the first is preferred, %")
    panels[0].plot([], [], "o", color=GREY, label="ours: synthetic judge, 95 % interval")
    panels[0].plot([], [], label="paper: humans", **DIAMOND)
    drawing.legend(canvas, panels)
    return canvas


def figure_4(grid: GridResults) -> list[Figure]:
    """Preference by the number of labels; none without offline labels."""
    families = style_by_labels(grid)
    if not families:
        return []
    return [
        drawing.figure(
            "figure4",
            "Figure 4. Preference to zero-shot by the number of offline labels (the paper's numbers; ours are these "
            "times the scale). Points: our judge, with its interval over seeds and contexts; open diamonds: humans, "
            f"digitised from the paper, one run each. {captions.caption_mark(grid)}",
            "Share of contexts on which the policy is preferred to zero-shot, against the number of labels",
            lambda: _figure_4(families),
        )
    ]


def _figure_4(families: list[Family]) -> "Canvas":
    """A panel for each style task."""
    tasks = list(dict.fromkeys([*FIGURE_4, *(family.task for family in families)]))
    canvas = drawing.canvas(4.6 * len(tasks), 3.4)
    panels = canvas.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    several = len({family.model for family in families}) > 1
    for axes, task in zip(panels, tasks, strict=True):
        mine = [family for family in families if family.task == task]
        for index, family in enumerate(mine):
            model = f", {family.name.partition(', ')[2]}" if several or family.axes else ""
            _preferences(axes, family, f"ours: synthetic judge, 95 % interval{model}", index)
        if task in FIGURE_4:
            labels = list(map(number, FIGURE_4_LABELS))
            published = [100 * value for value in FIGURE_4[task]]
            axes.plot(labels, published, label="paper: humans", **DIAMOND | {"linestyle": ":", "color": GREY})
        if not mine:
            text = f"not run:\n{not_run.command(not_run.FIGURE_4)}"
            axes.text(0.5, 0.3, text, transform=axes.transAxes, ha="center", color=GREY)
        axes.axhline(50, color=GREY, linewidth=0.8, zorder=1)
        axes.set(title=task, xlabel="offline labels of the paper", xscale="log", xlim=(150, 80e3))
        ticks = ["200", "500", "1k", "2.5k", "5k", "10k", "20k", "60k"]
        axes.set_xticks(list(map(number, ticks)), ticks)
        axes.minorticks_off()
    low, high = panels[0].get_ylim()  # shared
    panels[0].set_ylim(min(40, low), max(100, high))
    panels[0].set_ylabel("preferred to zero-shot, %")
    drawing.legend(canvas, panels)
    return canvas


def _preferences(axes: "Axes", family: Family, text: str, index: int) -> None:
    zero = family.arm(ZERO_SHOT)
    arms = offline(family)
    wins = [win_rate(arm, zero) for arm in arms] if zero else []
    points = [(number(str(arm.first.row["labels"])), win) for arm, win in zip(arms, wins, strict=False) if win]
    means = [100 * win.mean for _, win in points]
    ends = [[100 * (win.mean - win.low) for _, win in points], [100 * (win.high - win.mean) for _, win in points]]
    colour, marker = [(BLUE, "o"), *LOOKS.values()][index]
    axes.errorbar(
        [labels for labels, _ in points], means, yerr=ends, fmt=f"{marker}-", color=colour, capsize=2, label=text
    )


def number(labels: str) -> float:
    """`2.5k` → 2500."""
    return 1000 * float(labels[:-1]) if labels.endswith("k") else float(labels)
