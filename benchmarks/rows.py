"""From runs to rows: medians and spread, rates, fractions of the peak, ratios of ours to the peer's."""

import dataclasses
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks import flops, peak
from benchmarks.measure import Series
from benchmarks.workloads import UNITS, Size


def of_work(
    work: str, size: Size, ours: Series, theirs: Sequence[Series], peaks: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """A row for each; ours is compared with the peer, if there is one and both have run."""
    rows = [_row(work, size, series, peaks) for series in [ours, *theirs]]
    for peer in theirs:
        if ours.runs and peer.runs:
            rows[0]["against"] = compare(ours, peer)
    return rows


def _row(work: str, size: Size, series: Series, peaks: list[dict[str, Any]]) -> dict[str, Any]:
    """Seconds an iteration; `per_second` in units of the work; `of_peak` and `phases_of_peak` from medians, 0 … 1."""
    row: dict[str, Any] = {"work": work, "size": size.name, "who": series.who, "settings": dataclasses.asdict(size)}
    if series.error is not None:
        return row | {"error": series.error}
    seconds = [run["total"] for run in series.runs]
    median = statistics.median(seconds)
    phases = {
        phase: statistics.median(run["phases"][phase] for run in series.runs) for phase in series.runs[0]["phases"]
    }
    needed = flops.needed(work, size)
    gflop = sum(needed.values()) * size.batch / 1e9
    best = {precision: peak.best(peaks, precision) for precision in ("fp32", "bf16")}
    return row | series.about | {
        "unit": UNITS[work],
        "median": median, "low": min(seconds), "high": max(seconds), "phases": phases,
        "per_second": size.batch / median,
        "gflop": gflop,
        "of_peak": {p: gflop / median / speed for p, speed in best.items() if speed},
        "phases_of_peak": {
            phase: {p: needed[phase] * size.batch / 1e9 / phases[phase] / speed for p, speed in best.items() if speed}
            for phase in phases if phase in needed
        },
        "memory": memory(series), "other_cpu": statistics.median(run["other_cpu"] for run in series.runs),
        "runs": series.runs,
    }  # fmt: skip


def memory(series: Series) -> int:
    """Peak bytes: of the GPU where the work was on one, else of the process."""
    last = series.runs[-1]
    return int(last["rss"] if last["cuda"] is None else last["cuda"])


def compare(ours: Series, theirs: Series) -> dict[str, Any]:
    """How many times faster ours is: the median over the rounds, and best against best; and its share of the memory."""
    pairs = zip((run["total"] for run in theirs.runs), (run["total"] for run in ours.runs), strict=True)
    return {
        "who": theirs.who,
        "median": statistics.median(their / our for their, our in pairs),
        "best": min(run["total"] for run in theirs.runs) / min(run["total"] for run in ours.runs),
        "memory": memory(ours) / memory(theirs),
    }


def of_rate(work: str, case: str, unit: str, count: int, series: Series) -> dict[str, Any]:
    """A row of W4, in the form of W5's: `median`, `low` and `high` in `unit`, which is `…/s` or `s`."""
    row: dict[str, Any] = {"work": work, "case": case, "unit": unit, "target": None, "met": None}
    if series.error is not None:
        return row | {"error": series.error}
    seconds = [run["total"] for run in series.runs]
    values = [count / s for s in seconds] if unit.endswith("/s") else seconds
    return row | {
        "median": statistics.median(values), "low": min(values), "high": max(values), "runs": len(values),
        "other_cpu": statistics.median(run["other_cpu"] for run in series.runs),
    }  # fmt: skip
