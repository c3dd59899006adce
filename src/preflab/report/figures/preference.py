"""Every figure of the report; here those of preference, the others in mock_figures.py."""

from typing import TYPE_CHECKING, Any

from preflab.report import absent, captions
from preflab.report.cells import arms as arms_cells
from preflab.report.cells.arms import ZERO_SHOT, Family, main, win_rate
from preflab.report.cells.load import Grid
from preflab.report.claims.verdicts import NOT_RUN
from preflab.report.figures import drawing, true_score
from preflab.report.figures.drawing import BLUE, DIAMOND, GREY, LOOKS, OTHER, Figure
from preflab.report.figures.summaries import plots
from preflab.report.paper.style import FIGURE_4, FIGURE_4_LABELS
from preflab.report.table import Table
from preflab.report.tables import overoptimisation
from preflab.report.tables.style import FIGURE_4_GRID, of_style, offline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas


def all_figures(grid: Grid, results: list[Table]) -> list[Figure]:
    """Every figure for which the grid has something to show; `results`: the tables that some of them draw."""
    found = arms_cells.families(grid)
    mark = captions.caption_mark(grid)
    table_1 = [table for table in results if table.label == "table1"]
    return [
        *([_win_rates(table_1[0], mark)] if table_1 and ran(table_1[0]) else []),
        *_figure_4(found, mark),
        *true_score.reward_curves(found, mark),
        *true_score.frontiers(found, mark),
        *true_score.partings(overoptimisation.found_in(found), mark),
        *(drawing.figure(one.label, one.caption, one.alt, one.draw) for one in plots(grid)),
    ]


def ran(table_1: Table) -> dict[str, list[Any]]:
    """The rows that the grid has run, by task."""
    found: dict[str, list[Any]] = {}
    for row in table_1.rows:
        if row.values["wins"] != NOT_RUN:
            found.setdefault(str(row.values["task"]), []).append(row)
    return found


def _win_rates(table_1: Table, mark: str) -> Figure:
    return drawing.figure(
        "win_rates",
        "Which policy is preferred. Points: our judge, with the interval of Table 1; open diamonds: "
        f"people, in the paper. {mark}",
        "Share of contexts on which the first of two policies is preferred, beside the paper's values",
        lambda: win_rates(table_1),
    )


def win_rates(table_1: Table) -> "Canvas":
    """The rows of Table 1 from top to bottom, a panel for each task."""
    tasks = ran(table_1)
    heights = [len(rows) + 1 for rows in tasks.values()]
    canvas = drawing.canvas(7.2, 0.8 + 0.27 * sum(heights))
    panels = canvas.subplots(len(tasks), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (task, rows) in zip(panels, tasks.items(), strict=True):
        axes.set_title(task)
        axes.axvline(50, color=GREY, linewidth=0.8, zorder=1)
        for at, row in enumerate(rows):
            wins = row.values["wins"]
            colour, marker = LOOKS.get(str(row.values["comparison"]).split()[0], OTHER)
            axes.plot([100 * wins.low, 100 * wins.high], [at, at], color=colour, linewidth=2.2, solid_capstyle="butt")
            axes.plot(100 * wins.mean, at, marker=marker, color=colour, markersize=5.5)
            if row.values["paper"] is not None:
                axes.plot(100 * float(row.values["paper"]), at, zorder=3, **DIAMOND)
        axes.set_yticks(range(len(rows)), [str(row.values["comparison"]) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(-1, 101)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
    panels[-1].set_xlabel("contexts on which the first is preferred, %")
    panels[0].plot([], [], "o", color=GREY, label="ours: synthetic judge, 95 % interval")
    panels[0].plot([], [], label="paper: people", **DIAMOND)
    drawing.legend(canvas, panels)
    return canvas


def _figure_4(found: list[Family], mark: str) -> list[Figure]:
    families = [family for family in main(of_style(found)) if offline(family)]
    if not families:
        return []
    return [
        drawing.figure(
            "figure4",
            "Figure 4. Preference to zero-shot by the number of offline labels (the paper's numbers; ours are these "
            "times the scale). Points: our judge, with its interval over seeds and contexts; open diamonds: people, "
            f"digitised from the paper, one run each. {mark}",
            "Share of contexts on which the policy is preferred to zero-shot, against the number of labels",
            lambda: figure_4(families),
        )
    ]


def figure_4(families: list[Family]) -> "Canvas":
    """A panel for each style task."""
    tasks = list(dict.fromkeys([*FIGURE_4, *(family.task for family in families)]))
    canvas = drawing.canvas(4.6 * len(tasks), 3.4)
    panels = canvas.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    several = len({family.arms[0].first.row["model"] for family in families}) > 1
    for axes, task in zip(panels, tasks, strict=True):
        mine = [family for family in families if family.task == task]
        for index, family in enumerate(mine):
            model = f", {family.name.partition(', ')[2]}" if several or family.axes else ""
            _preferences(axes, family, f"ours: synthetic judge, 95 % interval{model}", index)
        if task in FIGURE_4:
            labels = list(map(number, FIGURE_4_LABELS))
            published = [100 * value for value in FIGURE_4[task]]
            axes.plot(labels, published, label="paper: people", **DIAMOND | {"linestyle": ":", "color": GREY})
        if not mine:
            text = f"not run here:\n{absent.command(FIGURE_4_GRID)}"
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
    axes.errorbar([at for at, _ in points], means, yerr=ends, fmt=f"{marker}-", color=colour, capsize=2, label=text)


def number(labels: str) -> float:
    """`2.5k` → 2500."""
    return 1000 * float(labels[:-1]) if labels.endswith("k") else float(labels)
