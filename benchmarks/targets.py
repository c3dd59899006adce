"""The targets of the project, and whether the rows meet them."""

from collections.abc import Callable
from typing import Any, NamedTuple

Row = dict[str, Any]


class Target(NamedTuple):
    """`value` of our row on `device`, at least (or, with `most`, at most) `bound`; both printed by `form`."""

    work: str
    size: str
    device: str
    what: str
    form: Callable[[float], str]
    value: Callable[[Row], float | None]
    bound: float
    most: bool = False


def faster(row: Row) -> float | None:
    """Median over the rounds of the peer's time over ours."""
    return row["against"]["median"] if "against" in row else None


def leaner(row: Row) -> float | None:
    """Our peak memory over the peer's."""
    return row["against"]["memory"] if "against" in row else None


def of_peak(row: Row) -> float | None:
    """FLOPs needed, of the bf16 peak where there is one, else of the fp32 peak."""
    return row["of_peak"].get("bf16", row["of_peak"]["fp32"])


def optimisation_of_peak(row: Row) -> float | None:
    """The same in the optimisation phase."""
    fractions = row["phases_of_peak"]["optimisation"]
    return fractions.get("bf16", fractions["fp32"])


def times(value: float) -> str:
    """`9 ×`, `7.32 ×`."""
    return f"{value:.3g} ×"


def percent(value: float) -> str:
    """`25 %`."""
    return f"{100 * value:.0f} %"


TARGETS = [
    Target("W1", "S", "cpu", "speed against TRL's PPO", times, faster, 9),
    Target("W1", "M", "cpu", "speed against TRL's PPO", times, faster, 4),
    Target("W2", "S", "cpu", "speed against TRL's reward trainer", times, faster, 4),
    Target("W2", "M", "cpu", "speed against TRL's reward trainer", times, faster, 4),
    Target("W3", "S", "cpu", "speed against transformers generate", times, faster, 2.7),
    Target("W3", "M", "cpu", "speed against transformers generate", times, faster, 2.7),
    Target("W1", "S", "cpu", "peak memory against TRL's", percent, leaner, 0.25, most=True),
    Target("W1", "M", "cpu", "peak memory against TRL's", percent, leaner, 0.4, most=True),
    Target("W1", "M", "cpu", "FLOPs needed, of the machine's peak", percent, of_peak, 0.5),
    Target("W1", "M", "cuda", "speed against TRL's PPO with bf16", times, faster, 5),
    Target("W1", "L", "cuda", "speed against TRL's PPO with bf16", times, faster, 5),
    Target("W1", "M", "cuda", "optimisation, of the machine's bf16 peak", percent, optimisation_of_peak, 0.35),
    Target("W1", "L", "cuda", "optimisation, of the machine's bf16 peak", percent, optimisation_of_peak, 0.35),
]


def judge(results: Row, device: str) -> list[Row]:
    """`work`, `target`, `reached`, `met` (None: not measured): the targets of this device, then those of other rows."""
    ours = {
        (row["work"], row["size"]): row for row in results["rows"] if row["who"] == "preflab" and "error" not in row
    }
    judged = [_judged(t, ours.get((t.work, t.size))) for t in TARGETS if t.device == device]
    for rate in [*results["rates"], *results["precision"], *results["waiting"]]:
        if rate["target"] is not None:
            reached = None if "error" in rate else f"{rate['median']:.3g} {rate['unit']}"
            work = f"{rate['work']} {rate['case']}"
            judged.append({"work": work, "target": rate["target"], "reached": reached, "met": rate["met"]})
    return judged


def _judged(target: Target, row: Row | None) -> Row:
    reached = None if row is None else target.value(row)
    judged = {
        "work": f"{target.work} {target.size}: {target.what}",
        "target": f"{'≤' if target.most else '≥'} {target.form(target.bound)}",
    }
    if row is None or reached is None:
        return judged | {"reached": None, "met": None}
    text = target.form(reached)
    if target.value is faster:
        text += f" (best against best {target.form(row['against']['best'])})"
    met = reached <= target.bound if target.most else reached >= target.bound
    return judged | {"reached": text, "met": met}
