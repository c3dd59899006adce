"""Figures 5, 6 and 7: how much of the summaries is new, how much is repeated, and where in the source it is from."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from preflab.evaluate.statistics import Interval, bootstrap_ratio
from preflab.report import captions
from preflab.report.cells import arms, summary_policies
from preflab.report.cells.results import Arm, GridResults
from preflab.report.cells.summary_policies import SummaryPolicy
from preflab.report.figures import drawing
from preflab.report.figures.drawing import Figure
from preflab.report.paper.summaries import FIGURE_5, ONLINE, SUPERVISED_RL, TITLES
from preflab.text import copying
from preflab.text.copying import SENTENCES, UNITS, Counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Shares = dict[str, Interval]  # by unit of copying.UNITS
PARTS = 10  # of a source, in Figure 7

# Okabe and Ito's colours, and a different marker for each policy, for print without colour.
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


HOW = f"Punctuation and case are ignored; n-grams within a sentence. Lines: {arms.METHOD}."


def figure_5(grid: GridResults) -> list[Figure]:
    """How much of the summaries is new; none for a grid without summaries."""
    return _figure(
        grid,
        "figure5",
        f"Figure 5. Share of the n-grams and sentences of all summaries that are not in their source. {HOW} Open "
        "diamonds: the paper's sentences, from the bars of its authors' article.",
        "Share of n-grams and sentences of the summaries that are not in the source, a point for each policy",
        lambda drawn: units(drawn, new, "not in the source, %", FIGURE_5),
    )


def figure_6(grid: GridResults) -> list[Figure]:
    """How much of the summaries is repeated; none for a grid without summaries."""
    return _figure(
        grid,
        "figure6",
        "Figure 6. Share of the n-grams and sentences of all summaries that occur earlier in the same summary. "
        f"{HOW} The paper's values are not known to us.",
        "Share of n-grams and sentences that are repeated within a summary, a point for each policy",
        lambda drawn: units(drawn, again, "repeated within the summary, %", {}),
    )


def figure_7(grid: GridResults) -> list[Figure]:
    """Where in the source summaries copy from; none for a grid without summaries."""
    return _figure(
        grid,
        "figure7",
        "Figure 7. Where in the source summaries copy from: bigrams of the longest common subsequence of summary and "
        "source, by their tenth of the source; in brackets the share of a summary's bigrams that are copied. Bands: "
        f"{arms.METHOD}. The paper's values are not known to us.",
        "Share of copied bigrams by their place in the source, a line for each policy",
        places,
    )


def _figure(
    grid: GridResults, label: str, caption: str, alt: str, plot: Callable[[dict[str, list[SummaryPolicy]]], "Canvas"]
) -> list[Figure]:
    by_task = {task: drawn(grid, task) for task in summary_policies.tasks(grid)}
    if not by_task:
        return []
    return [drawing.figure(label, f"{caption} {captions.caption_mark(grid)}", alt, lambda: plot(by_task))]


def drawn(grid: GridResults, task: str) -> list[SummaryPolicy]:
    """The policies to be drawn: all that the grid has but its ablations."""
    policies = summary_policies.policies(grid, task)
    return [policy for policy in policies if policy.arm and policy.arm.first.ablation == "none"]


def new(arm: Arm) -> Shares:
    """Share of each unit that the source does not have."""
    return _shares(arm, copying.novel)


def again(arm: Arm) -> Shares:
    """Share of each unit that occurs earlier in the summary."""
    return _shares(arm, lambda responses, _: copying.repeated(responses))


def _shares(arm: Arm, count: Callable[[list[str], list[str]], dict[str, Counts]]) -> Shares:
    """Over all summaries; without the units of which no summary has any."""
    by_seed = [count(*texts) for texts in _texts(arm)]
    shares = {}
    for unit in UNITS:
        part, whole = (np.array([getattr(counts[unit], name) for counts in by_seed]) for name in ("part", "whole"))
        if whole.any():
            shares[unit] = bootstrap_ratio(part, whole)
    return shares


def _texts(arm: Arm) -> list[tuple[list[str], list[str]]]:
    """Summaries and sources of each seed on the contexts that all of them have."""
    contexts = arms.common([arm])
    columns = [(arms.column_of(c, "response", contexts), arms.column_of(c, "query", contexts)) for c in arm.cells]
    return [(list(map(str, responses)), list(map(str, queries))) for responses, queries in columns]


class CopyOrigins(NamedTuple):
    """Where copied bigrams stand in the source, as shares of them by tenth, and what share of bigrams is copied."""

    parts: list[Interval]
    copied: float


def origins(arm: Arm) -> CopyOrigins | None:
    """None where nothing is copied."""
    by_seed = [[copying.copied(*pair) for pair in zip(*texts, strict=True)] for texts in _texts(arm)]
    table = np.array([copying.positions(copies, PARTS) for copies in by_seed])  # [seeds, contexts, parts]
    if not table.any():
        return None
    lengths = sum(summary.summary_length for copies in by_seed for summary in copies)
    parts = [bootstrap_ratio(table[:, :, part], table.sum(2)) for part in range(PARTS)]
    return CopyOrigins(parts, float(table.sum() / lengths))


def units(
    tasks: Mapping[str, list[SummaryPolicy]],
    measure: Callable[[Arm], Shares],
    title: str,
    published: Mapping[tuple[str, str], float],
) -> "Canvas":
    """A panel for each task: the units side by side, in each of them the policies."""
    canvas, panels = _panels(tasks)
    for axes, (task, policies) in zip(panels, tasks.items(), strict=True):
        width = 0.8 / len(policies)
        for k, policy in enumerate(policies):
            assert policy.arm is not None
            shift = (k - (len(policies) - 1) / 2) * width
            for unit, share in measure(policy.arm).items():
                x = UNITS.index(unit) + shift
                axes.plot([x, x], [100 * share.low, 100 * share.high], color=_look(policy)["color"], linewidth=1.2)
                axes.plot(x, 100 * share.mean, **_look(policy), linestyle="", markersize=4.5, label=policy.arm.name)
            if value := published.get((task, policy.name)):
                x = UNITS.index(SENTENCES) + shift
                axes.plot(x, 100 * value, "D", markerfacecolor="none", markeredgecolor="#222222", markersize=7)
        axes.set_xticks(range(len(UNITS)), UNITS)
        axes.set(title=TITLES[task], ylabel=title, ylim=(-2, 102))
        for border in range(1, len(UNITS)):
            axes.axvline(border - 0.5, color="#e8e8e8", linewidth=0.8)
        axes.grid(axis="x", visible=False)
    if published:
        panels[0].plot([], [], "D", markerfacecolor="none", markeredgecolor="#222222", label="paper: sentences")
    drawing.legend(canvas, panels)
    return canvas


def places(tasks: Mapping[str, list[SummaryPolicy]]) -> "Canvas":
    """A panel for each task: a line for each policy over the tenths of the source."""
    canvas, panels = _panels(tasks)
    middles = (np.arange(PARTS) + 0.5) * 100 / PARTS
    for axes, (task, policies) in zip(panels, tasks.items(), strict=True):
        for policy in policies:
            assert policy.arm is not None
            if (copies := origins(policy.arm)) is None:
                continue
            mean, low, high = 100 * np.array(copies.parts).T
            name = f"{policy.arm.name} ({100 * copies.copied:.0f} %)"
            line = "--" if policy.arm.first.row["collection"] == "offline" else "-"
            axes.plot(middles, mean, **_look(policy), linestyle=line, markersize=4, label=name)
            axes.fill_between(middles, low, high, color=_look(policy)["color"], alpha=0.1, linewidth=0)
        axes.axhline(100 / PARTS, color="#8a8a8a", linewidth=0.8, zorder=1)
        axes.set(title=TITLES[task], xlim=(0, 100), xlabel="place in the source, % of its bigrams")
        axes.set_ylim(bottom=0)
        axes.set_ylabel("copied bigrams, %")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7.5, loc="upper right")
    return canvas


def _panels(tasks: Mapping[str, list[SummaryPolicy]]) -> tuple["Canvas", list["Axes"]]:
    canvas = drawing.canvas(9, 0.5 + 3.2 * len(tasks))
    return canvas, list(canvas.subplots(len(tasks), 1, squeeze=False)[:, 0])


def _look(policy: SummaryPolicy) -> dict[str, Any]:
    colour, marker = LOOKS.get(policy.name, OTHER)
    return {"color": colour, "marker": marker}
