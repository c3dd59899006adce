"""Figures 5, 6 and 7: how much of the summaries is new, how much is repeated, and where in the source it is from."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from preflab.evaluate.statistics import Interval, bootstrap_ratio
from preflab.report import captions
from preflab.report.cells import arms, summarizers
from preflab.report.cells.arms import RESAMPLES, Arm
from preflab.report.cells.load import Grid
from preflab.report.cells.summarizers import Entry
from preflab.report.paper.summaries import FIGURE_5, ONLINE, SUPERVISED_RL, TITLES
from preflab.text import copying
from preflab.text.copying import SENTENCES, UNITS, Counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Shares = dict[str, Interval]  # by unit of copying.UNITS
PARTS = 10  # of a source, in Figure 7

# Okabe and Ito's colours, and a marker of its own for each policy, for print without colour.
LOOKS = {
    "reference": ("#222222", "s"),
    "zero-shot": ("#8a8a8a", "*"),
    "supervised": ("#56B4E9", "v"),
    "lead-3": ("#E69F00", "D"),
    SUPERVISED_RL: ("#CC79A7", "^"),
    "60k offline": ("#0072B2", "P"),
    "15k online": ("#D55E00", "<"),
    "30k online": ("#009E73", ">"),
    ONLINE: ("#0072B2", "o"),
}
OTHER = ("#8a8a8a", "x")


class Plot(NamedTuple):
    """What figures.py draws: file name, caption, what is to be seen, and the picture."""

    label: str
    caption: str
    alt: str
    draw: Callable[[], "Canvas"]


def plots(grid: Grid) -> list[Plot]:
    """None for a grid without summaries."""
    found = {task: drawn(grid, task) for task in summarizers.tasks(grid)}
    if not found:
        return []
    mark = captions.caption_mark(grid)
    how = "Punctuation and case are ignored; n-grams within a sentence."
    interval = f"Lines: {arms.METHOD}."
    return [
        Plot(
            "figure5",
            "Figure 5. Share of the n-grams and sentences of all summaries that stand nowhere in their source. "
            f"{how} {interval} Open diamonds: the paper's sentences, from the bars of its authors' article. {mark}",
            "Share of n-grams and sentences of the summaries that are not in the source, a point for each policy",
            lambda: units(found, new, "not in the source, %", FIGURE_5),
        ),
        Plot(
            "figure6",
            "Figure 6. Share of the n-grams and sentences of all summaries that stood in the same summary before. "
            f"{how} {interval} The paper's values are not known to us. {mark}",
            "Share of n-grams and sentences that are repeated within a summary, a point for each policy",
            lambda: units(found, again, "repeated within the summary, %", {}),
        ),
        Plot(
            "figure7",
            "Figure 7. Where in the source summaries copy from: bigrams of the longest common subsequence of summary "
            f"and source, by the tenth of the source that they stand in; in brackets how many of a summary's bigrams "
            f"are copied. Bands: {arms.METHOD}. The paper's values are not known to us. {mark}",
            "Share of copied bigrams by their place in the source, a line for each policy",
            lambda: places(found),
        ),
    ]


def drawn(grid: Grid, task: str) -> list[Entry]:
    """The policies to be drawn: all that the grid has but its ablations."""
    found = summarizers.entries(grid, task)
    return [entry for entry in found if entry.arm and entry.arm.first.ablation == "none"]


def new(arm: Arm) -> Shares:
    """Share of each unit that the source does not have."""
    return _shares(arm, copying.novel)


def again(arm: Arm) -> Shares:
    """Share of each unit that the summary had before."""
    return _shares(arm, lambda responses, _: copying.repeated(responses))


def _shares(arm: Arm, count: Callable[[list[str], list[str]], dict[str, Counts]]) -> Shares:
    """Over all summaries; without the units of which no summary has any."""
    counts = [count(*texts) for texts in _texts(arm)]
    found = {}
    for unit in UNITS:
        part, whole = (np.array([getattr(one[unit], name) for one in counts]) for name in ("part", "whole"))
        if whole.any():
            found[unit] = bootstrap_ratio(part, whole, RESAMPLES)
    return found


def _texts(arm: Arm) -> list[tuple[list[str], list[str]]]:
    """Summaries and sources of each seed on the contexts that all of them have."""
    contexts = arms.common([arm])
    columns = [(arms.column_of(c, "response", contexts), arms.column_of(c, "query", contexts)) for c in arm.cells]
    return [(list(map(str, responses)), list(map(str, queries))) for responses, queries in columns]


class Origins(NamedTuple):
    """Where copied bigrams stand in the source, as shares of them by tenth, and what share of bigrams is copied."""

    parts: list[Interval]
    copied: float


def origins(arm: Arm) -> Origins | None:
    """None where nothing is copied."""
    found = [[copying.copied(*pair) for pair in zip(*texts, strict=True)] for texts in _texts(arm)]
    table = np.array([copying.positions(one, PARTS) for one in found])  # [seeds, contexts, parts]
    if not table.any():
        return None
    lengths = sum(one.summary_length for seed in found for one in seed)
    parts = [bootstrap_ratio(table[:, :, part], table.sum(2), RESAMPLES) for part in range(PARTS)]
    return Origins(parts, float(table.sum() / lengths))


def units(
    tasks: Mapping[str, list[Entry]],
    measure: Callable[[Arm], Shares],
    title: str,
    published: Mapping[tuple[str, str], float],
) -> "Canvas":
    """A panel for each task: the units side by side, in each of them the policies."""
    canvas, panels = _panels(tasks)
    for axes, (task, found) in zip(panels, tasks.items(), strict=True):
        width = 0.8 / len(found)
        for k, entry in enumerate(found):
            assert entry.arm is not None
            shift = (k - (len(found) - 1) / 2) * width
            for unit, share in measure(entry.arm).items():
                at = UNITS.index(unit) + shift
                axes.plot([at, at], [100 * share.low, 100 * share.high], color=_look(entry)["color"], linewidth=1.2)
                axes.plot(at, 100 * share.mean, **_look(entry), linestyle="", markersize=4.5, label=entry.arm.name)
            if known := published.get((task, entry.name)):
                at = UNITS.index(SENTENCES) + shift
                axes.plot(at, 100 * known, "D", markerfacecolor="none", markeredgecolor="#222222", markersize=7)
        axes.set_xticks(range(len(UNITS)), UNITS)
        axes.set(title=TITLES[task], ylabel=title, ylim=(-2, 102))
        for border in range(1, len(UNITS)):
            axes.axvline(border - 0.5, color="#e8e8e8", linewidth=0.8)
        axes.grid(axis="x", visible=False)
    if published:
        panels[0].plot([], [], "D", markerfacecolor="none", markeredgecolor="#222222", label="paper: sentences")
    _legend(canvas, panels)
    return canvas


def places(tasks: Mapping[str, list[Entry]]) -> "Canvas":
    """A panel for each task: a line for each policy over the tenths of the source."""
    canvas, panels = _panels(tasks)
    middles = (np.arange(PARTS) + 0.5) * 100 / PARTS
    for axes, (task, found) in zip(panels, tasks.items(), strict=True):
        for entry in found:
            assert entry.arm is not None
            if (where := origins(entry.arm)) is None:
                continue
            mean, low, high = 100 * np.array(where.parts).T
            name = f"{entry.arm.name} ({100 * where.copied:.0f} %)"
            line = "--" if entry.arm.first.row["collection"] == "offline" else "-"
            axes.plot(middles, mean, **_look(entry), linestyle=line, markersize=4, label=name)
            axes.fill_between(middles, low, high, color=_look(entry)["color"], alpha=0.1, linewidth=0)
        axes.axhline(100 / PARTS, color="#8a8a8a", linewidth=0.8, zorder=1)
        axes.set(title=TITLES[task], xlim=(0, 100), xlabel="place in the source, % of its bigrams")
        axes.set_ylim(bottom=0)
        axes.set_ylabel("copied bigrams, %")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7.5, loc="upper right")
    return canvas


def _panels(tasks: Mapping[str, list[Entry]]) -> tuple["Canvas", list["Axes"]]:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(9, 0.5 + 3.2 * len(tasks)), layout="constrained")
    return canvas, list(canvas.subplots(len(tasks), 1, squeeze=False)[:, 0])


def _look(entry: Entry) -> dict[str, Any]:
    colour, marker = LOOKS.get(entry.name, OTHER)
    return {"color": colour, "marker": marker}


def _legend(canvas: "Canvas", panels: list["Axes"]) -> None:
    """One above all panels, each policy once."""
    found: dict[str, Any] = {}
    for axes in panels:
        handles, names = axes.get_legend_handles_labels()
        found = dict(zip(names, handles, strict=True)) | found
    canvas.legend(found.values(), found.keys(), loc="outside upper center", ncols=min(5, len(found)))
