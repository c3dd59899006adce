"""How figures look, and their bytes: SVG and PNG depend on the numbers alone (fixed ids, no date).

Numbers of labels differ in colour and in marker, ways of collecting them in the line, so that print without colour and
colour-blind readers can tell them apart.
"""

import io
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from preflab.report.cells.results import DIRECT, Arm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

BLACK, GREY = "#222222", "#8a8a8a"
BLUE, GREEN, VERMILION = "#0072B2", "#009E73", "#D55E00"  # of Okabe and Ito's palette
PURPLE, SKY, ORANGE = "#CC79A7", "#56B4E9", "#E69F00"
LOOKS = {  # of each number of labels: colour and marker
    DIRECT: (BLACK, "s"),
    "60k": (BLUE, "o"),
    "20k": (GREEN, "^"),
    "5k": (VERMILION, "v"),
    "10k": (PURPLE, "D"),
    "2.5k": (ORANGE, "P"),
    "1k": (SKY, "X"),
    "500": (PURPLE, "<"),
    "200": (GREY, ">"),
    "30k": (ORANGE, "p"),
    "15k": (SKY, "h"),
}
OTHER = (GREY, "o")
DIAMOND: dict[str, Any] = {  # the paper's value
    "marker": "D",
    "linestyle": "",
    "markerfacecolor": "white",
    "markeredgecolor": BLACK,
    "markersize": 5,
}
DPI = 150  # of the PNG
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
    "lines.markersize": 4.5,
}


class Figure(NamedTuple):
    """`label` names the files; `alt` says in words what the figure shows; `narrow`: not as wide as the page."""

    label: str
    caption: str
    alt: str
    svg: str
    png: bytes
    narrow: bool = False


def figure(label: str, caption: str, alt: str, plot: Callable[[], "Canvas"]) -> Figure:
    """Draw it in both forms.  `svg.hashsalt` fixes the ids inside an SVG, one for each figure of a page."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE | {"svg.hashsalt": f"preflab {label}"}):
        canvas = plot()
        text, pixels = io.StringIO(), io.BytesIO()
        canvas.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        canvas.savefig(pixels, format="png", dpi=DPI, metadata={"Software": None}, pil_kwargs={"optimize": True})
    svg = "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"
    return Figure(label, caption, alt, svg, pixels.getvalue())


def canvas(width: float, height: float) -> "Canvas":
    """An empty figure, in inches."""
    from matplotlib.figure import Figure as Canvas

    return Canvas(figsize=(width, height), layout="constrained")


def look(arm: Arm) -> dict[str, Any]:
    """Colour, marker and line of an arm; an open marker and a dashed line for labels collected online."""
    colour, marker = LOOKS.get(str(arm.first.row["labels"]), OTHER)
    online = arm.name != DIRECT and arm.first.row["collection"] == "online"
    return {
        "color": colour,
        "marker": marker,
        "linestyle": "--" if online else "-",
        "markerfacecolor": "white" if online else colour,
        "markeredgecolor": colour,
    }


def line(axes: "Axes", labels: str, xs: Iterable[float], ys: Iterable[float]) -> None:
    """One of the paper's curves, by its number of labels, with its name at its end."""
    colour, marker = LOOKS[labels]
    (drawn,) = axes.plot(list(xs), list(ys), color=colour, marker=marker)
    end(axes, drawn, labels)


def end(axes: "Axes", drawn: Any, text: str, above: bool = False) -> None:
    """The name of a line right of its last point, or above it where another line continues."""
    x, y = drawn.get_xdata()[-1], drawn.get_ydata()[-1]
    offset: dict[str, Any] = {"xytext": (-8, 8) if above else (6, 0), "textcoords": "offset points"}
    axes.annotate(text, (x, y), color=drawn.get_color(), va="center", annotation_clip=False, **offset)


def legend(whole: "Canvas", panels: Iterable["Axes"], columns: int = 5) -> None:
    """One legend above all panels, each name once."""
    by_name: dict[str, Any] = {}
    for axes in panels:
        handles, names = axes.get_legend_handles_labels()
        by_name = dict(zip(names, handles, strict=True)) | by_name
    if by_name:
        whole.legend(by_name.values(), by_name.keys(), loc="outside upper center", ncols=min(columns, len(by_name)))
