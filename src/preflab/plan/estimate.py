"""How long a stage will take, from what stages of its kind took before.

    seconds = fixed cost + units of work × seconds per unit

The units are settings (episodes, labels, contexts …); fixed cost and rates are fitted to the run records of the same
kind and base model, by least squares with none below zero.  Where nothing like the stage has run: None.
"""

import heapq
import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from preflab.grid.instances import Graph
from preflab.grid.kinds import KINDS

LONGEST_PAUSE = 10.0  # seconds between two stages of one `dvc repro`; after a longer one somebody else began the second


class Work(NamedTuple):
    """`like`: only stages for which it is equal are compared; `units`: what the time grows with."""

    like: tuple[str, ...]
    units: tuple[float, ...]


class Past(NamedTuple):
    """An execution: its work and its wall time in seconds."""

    work: Work
    seconds: float


class Times(NamedTuple):
    """Seconds of a plan: its stages one after another, and so many at a time."""

    serial: float
    parallel: float


def work(kind: str, settings: Mapping[str, Any], reads: Iterable[str]) -> Work:
    """The work of a stage by its settings (what params/KIND/ID.yaml holds) and the paths that it reads."""
    model = next((path.rpartition("/")[2] for path in reads if "models/base/" in path), "")
    variant, units = KINDS[kind].work(settings)  # type: ignore[arg-type]
    return Work((kind, model, variant), tuple(units))


def seconds(wanted: Work, past: Iterable[Past]) -> float | None:
    """The estimate for one stage; None if nothing like it has run."""
    alike = [one for one in past if one.work.like == wanted.like]
    if not alike:
        return None
    fixed, *rates = fit([one.work.units for one in alike], [one.seconds for one in alike])
    return fixed + sum(rate * unit for rate, unit in zip(rates, wanted.units, strict=True))


def fit(units: Sequence[Sequence[float]], times: Sequence[float]) -> list[float]:
    """[fixed cost, seconds per unit …]: the non-negative least squares; without units, the median.

    Of one size alone a rate: time that could be fixed as well as grow is taken to grow.
    """
    if not units[0]:
        return [statistics.median(times)]
    import numpy as np
    from scipy.optimize import nnls

    rows = np.column_stack([np.asarray(units, float), np.ones(len(units))])
    largest = np.where(rows.max(0) > 0, rows.max(0), 1.0)
    weights = nnls(rows / largest, np.asarray(times, float))[0] / largest
    return [float(weights[-1]), *map(float, weights[:-1])]


def left_out(past: Sequence[Past]) -> list[float | None]:
    """The estimate for each execution from all the others."""
    return [seconds(one.work, [*past[:at], *past[at + 1 :]]) for at, one in enumerate(past)]


def pause(executions: Iterable[tuple[datetime, float]]) -> float:
    """Seconds between the end of a stage and the start of the next: the median of what `dvc repro` took; 0 if unknown.

    `executions`: when each started and the seconds that it took.  Starting Python and DVC's books lie between two.
    """
    ordered = sorted((started.timestamp(), seconds) for started, seconds in executions)
    pauses = [later[0] - sum(earlier) for earlier, later in itertools.pairwise(ordered)]
    return statistics.median([one for one in pauses if 0 < one < LONGEST_PAUSE] or [0.0])


def times(graph: Graph, estimates: Mapping[str, float], jobs: int) -> Times:
    """How long the stages of `estimates` take if each starts, in the order of `graph`, when what it reads is done."""
    pending = [stage for stage in graph if stage in estimates]
    running: list[tuple[float, str]] = []
    ended = {stage for stage in graph if stage not in estimates}
    now = 0.0
    while pending or running:
        ready = [stage for stage in pending if graph[stage] <= ended]
        for stage in ready[: jobs - len(running)]:
            pending.remove(stage)
            heapq.heappush(running, (now + estimates[stage], stage))
        now, stage = heapq.heappop(running)
        ended.add(stage)
    return Times(sum(estimates.values()), now)


def shown(seconds: float) -> str:
    """`0.4 s`, `42 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.{0 if seconds >= 10 else 1}f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:,.1f} h"
