"""Where the PPO iteration (W1) scales: its time along one axis at a time, and the exponent of its growth."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from benchmarks import flops
from benchmarks.measure import Worker, WorkerError
from benchmarks.workloads import OURS, Size, sizes

WORLD_SIZES = (1, 2)  # processes of torchrun that share a batch


class Point(NamedTuple):
    """`x` on its axis: episodes, tokens, parameters of the trunk, or processes."""

    axis: str
    x: float
    size: Size
    processes: int = 1
    threads: int | None = None


def points(machine: dict[str, Any]) -> Iterator[Point]:
    """Each axis from a base that takes seconds: S with 32 episodes on a CPU, M with 128 on a GPU."""
    gpu = machine["device"] == "cuda"
    base = dataclasses.replace(sizes("W1", machine["device"])[1 if gpu else 0], batch=128 if gpu else 32)
    for batch in (64, 128, 256, 512) if gpu else (8, 16, 32, 64):
        yield Point("batch", batch, dataclasses.replace(base, batch=batch))
    for response in (12, 24, 48, 96):
        yield Point("response length", response, dataclasses.replace(base, response=response))
    for layers, width, heads in [(2, 128, 2), (4, 256, 4), (6, 512, 8), (12, 768, 12), *([(36, 1280, 20)] * gpu)]:
        size = dataclasses.replace(base, layers=layers, width=width, heads=heads, batch=base.batch if gpu else 8)
        yield Point("model size", 12 * layers * width**2, size)
    fit = [n for n in WORLD_SIZES if n <= (machine["gpus"] if gpu else machine["cores"])]
    if len(fit) > 1:  # each process on a GPU of its own, or with the same share of the cores: only their number grows
        for processes in fit:
            yield Point("world size", processes, base, processes, None if gpu else machine["cores"] // max(fit))


def measure(machine: dict[str, Any], runs: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """One row an axis: `points` with their median, and `exponent` (None where fewer than two points were measured)."""
    axes: dict[str, list[dict[str, Any]]] = {}
    for point in points(machine):
        row: dict[str, Any] = {"x": point.x, "size": dataclasses.asdict(point.size), "processes": point.processes}
        row["gflop"] = sum(flops.needed("W1", point.size).values()) * point.size.batch / 1e9
        try:
            seconds = iterations(point, runs)
            row |= {"median": statistics.median(seconds), "low": min(seconds), "high": max(seconds), "runs": runs}
            say(f"scaling: {point.axis} {point.x:,}: {row['median']:.2f} s")
        except WorkerError as error:
            row["error"] = str(error)
            say(f"scaling: {point.axis} {point.x:,}: {error}")
        axes.setdefault(point.axis, []).append(row)
    return [{"axis": axis, "points": rows, "exponent": fitted(rows)} for axis, rows in axes.items()]


def iterations(point: Point, runs: int) -> list[float]:
    """Seconds of `runs` iterations after a warm-up, in a process (or several) of their own."""
    worker = Worker(OURS["W1"].target, point.size, point.processes, point.threads)
    worker.run()
    seconds = [worker.run()["total"] for _ in range(runs)]
    worker.close()
    return seconds


def fitted(rows: Sequence[dict[str, Any]]) -> float | None:
    """The exponent over the points that were measured."""
    measured = [row for row in rows if "median" in row]
    if len(measured) < 2:
        return None
    return exponent([row["x"] for row in measured], [row["median"] for row in measured])


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """e of y = c · xᵉ by least squares on logarithms."""
    u, v = [math.log(value) for value in x], [math.log(value) for value in y]
    mean_u, mean_v = statistics.mean(u), statistics.mean(v)
    products = sum((a - mean_u) * (b - mean_v) for a, b in zip(u, v, strict=True))
    return products / sum((a - mean_u) ** 2 for a in u)
