"""How long a stage will take, estimated from earlier stages of its kind.

    seconds = fixed cost + units of work × seconds per unit

The units are settings (episodes, labels, contexts …).  The fixed cost and the seconds per unit are fitted to the run
records of the same kind and base model by non-negative least squares.  Without such a record there is no estimate.
"""

import heapq
import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from preflab.grid.instances import Graph
from preflab.grid.kinds import KINDS

LONGEST_PAUSE = 10.0  # seconds between two stages of one `dvc repro`; after a longer one, a new command began


class Work(NamedTuple):
    """What the time of a stage depends on.

    `like`: kind, base model and variant, equal for the stages that are compared; `units`: the time grows with them.
    """

    like: tuple[str, ...]
    units: tuple[float, ...]


class TimedWork(NamedTuple):
    """The work of an execution and its wall time in seconds."""

    work: Work
    seconds: float


class PlanTimes(NamedTuple):
    """Seconds of a plan: `serial`, its stages one after another; `parallel`, several at a time."""

    serial: float
    parallel: float


def work(kind: str, settings: Mapping[str, Any], reads: Iterable[str]) -> Work:
    """The work of a stage of `kind`.  `settings`: the content of params/KIND/ID.yaml; `reads`: paths of its inputs."""
    model = next((path.rpartition("/")[2] for path in reads if "models/base/" in path), "")
    variant, units = KINDS[kind].work(settings)  # type: ignore[arg-type]
    return Work((kind, model, variant), tuple(units))


def seconds(work: Work, past: Iterable[TimedWork]) -> float | None:
    """The estimated seconds of one stage; None if no execution in `past` is like it."""
    similar = [execution for execution in past if execution.work.like == work.like]
    if not similar:
        return None
    fixed, *rates = fit([execution.work.units for execution in similar], [execution.seconds for execution in similar])
    return fixed + sum(rate * unit for rate, unit in zip(rates, work.units, strict=True))


def fit(units: Sequence[Sequence[float]], times: Sequence[float]) -> list[float]:
    """[fixed cost, seconds per unit …] by non-negative least squares; the median of `times` if there are no units.

    `units`: [executions, units]; `times`: seconds of each execution.  If all executions have equal units, the fixed
    cost is zero: time that could be fixed or growing is taken to grow.
    """
    if not units[0]:
        return [statistics.median(times)]
    import numpy as np
    from scipy.optimize import nnls

    rows = np.column_stack([np.asarray(units, float), np.ones(len(units))])
    largest = np.where(rows.max(0) > 0, rows.max(0), 1.0)
    weights = nnls(rows / largest, np.asarray(times, float))[0] / largest
    return [float(weights[-1]), *map(float, weights[:-1])]


def left_out(past: Sequence[TimedWork]) -> list[float | None]:
    """The estimated seconds of each execution, from all the others."""
    return [seconds(execution.work, [*past[:i], *past[i + 1 :]]) for i, execution in enumerate(past)]


def pause(executions: Iterable[tuple[datetime, float]]) -> float:
    """Median seconds between the end of a stage and the start of the next in one `dvc repro`; 0 if unknown.

    In this time Python starts and DVC writes dvc.lock.  `executions`: the start of each and its seconds.
    """
    ordered = sorted((started.timestamp(), seconds) for started, seconds in executions)
    pauses = [later[0] - sum(earlier) for earlier, later in itertools.pairwise(ordered)]
    return statistics.median([seconds for seconds in pauses if 0 < seconds < LONGEST_PAUSE] or [0.0])


def times(graph: Graph, estimates: Mapping[str, float], jobs: int) -> PlanTimes:
    """How long the stages of `estimates` take, at most `jobs` at a time.

    Each starts, in the order of `graph`, when all stages that it reads are done; `estimates`: seconds of each stage.
    """
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
    return PlanTimes(sum(estimates.values()), now)


def shown(seconds: float) -> str:
    """`0.4 s`, `42 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.{0 if seconds >= 10 else 1}f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:,.1f} h"
