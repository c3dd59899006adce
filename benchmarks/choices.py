"""Choices that the project makes for the user, beside their alternatives, on PPO iterations.

`precision`: `runtime.precision` fp32, bf16 and auto in turn.  `waiting`: how OpenMP's threads wait for each other, on
an idle machine and beside one busy process.
"""

import contextlib
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import measure
from benchmarks.measure import Worker, WorkerError
from benchmarks.workloads import TINY, Contender, Size, sizes
from preflab import cli

Row = dict[str, Any]

PRECISIONS = [
    Contender("fp32", "benchmarks.engine:ppo_in_fp32"),
    Contender("bf16", "benchmarks.engine:ppo_in_bf16"),
    Contender("auto", "benchmarks.engine:ppo_iteration"),
]
SLOWER = 1.1  # ours: how much slower than the better precision auto may be
BUSY = 2.2  # ours: what a busy process beside it may cost a stage, in quiet times

UNSET: dict[str, str | None] = {"OMP_WAIT_POLICY": None, "GOMP_SPINCOUNT": None, "PREFLAB_DEVICE": "cpu"}
WAITING: dict[str, dict[str, str | None]] = {
    "libgomp's own": UNSET,
    "OMP_WAIT_POLICY=PASSIVE": {**UNSET, "OMP_WAIT_POLICY": "PASSIVE"},
    **{f"GOMP_SPINCOUNT={count}": {**UNSET, "GOMP_SPINCOUNT": count} for count in ("100", "1000", "10000", "100000")},
}


def precision(device: str, runs: int, names: list[str] | None, say: Callable[[str], None]) -> list[Row]:
    """A row for `tiny` and each size of W1 (only those in `names`, unless it is None): `seconds` by precision, medians.

    `chose`: what auto was; `median`: its time over that of the better one, with the target.
    """
    rows = []
    for size in [TINY, *sizes("W1", device)]:
        if names is None or size.name in names:
            rows.append(row_of_precision(size, measure.in_turn(PRECISIONS, size, runs)))
            say(f"precision {size.name}: {rows[-1].get('error') or described(rows[-1])}")
    return rows


def row_of_precision(size: Size, all_series: list[measure.Series]) -> Row:
    """The row of `size`; `all_series` in the order of PRECISIONS.  The ratio is the median over the rounds."""
    row: Row = {"work": "precision", "size": size.name, "case": f"{size.name}: auto against the better of both"}
    row |= {"unit": "×", "target": f"≤ {SLOWER} ×", "met": None}
    errors = [f"{series.who}: {series.error}" for series in all_series if series.error is not None]
    if errors:
        return row | {"error": "; ".join(errors)}
    seconds = {series.who: statistics.median(run["total"] for run in series.runs) for series in all_series}
    better, auto = all_series[0 if seconds["fp32"] <= seconds["bf16"] else 1], all_series[2]
    ratio = statistics.median(a["total"] / b["total"] for a, b in zip(auto.runs, better.runs, strict=True))
    return row | {
        "seconds": seconds, "chose": "bf16" if auto.about["matmul"] == "medium" else "fp32",
        "median": ratio, "met": ratio <= SLOWER, "runs": len(better.runs),
    }  # fmt: skip


def described(row: Row) -> str:
    """`fp32 1.9 s, bf16 1.0 s, auto 1.0 s (bf16)`."""
    return ", ".join(f"{name} {seconds:.3g} s" for name, seconds in row["seconds"].items()) + f" ({row['chose']})"


def waiting(runs: int, say: Callable[[str], None]) -> list[Row]:
    """A row for each setting: `quiet` and `busy`, seconds of an iteration of `tiny` on the CPU, all in turn.

    The best run of each counts, because whatever else the machine does can only add to it.  `median`: busy over quiet;
    the setting that cli.py makes has the target.
    """
    workers: dict[str, Worker] = {}
    times: dict[str, dict[str, list[float]]] = {name: {"quiet": [], "busy": []} for name in WAITING}
    try:
        for name, variables in WAITING.items():
            workers[name] = Worker("benchmarks.engine:ppo_iteration", TINY, variables=variables)
            workers[name].run()
        for _ in range(runs):
            for kind, company in (("quiet", contextlib.nullcontext()), ("busy", busy_process())):
                with company:
                    for name, worker in workers.items():
                        times[name][kind].append(worker.run()["total"])
    except WorkerError as error:
        say(f"waiting: {error}")
        return [{"work": "waiting", "case": "all", "unit": "×", "target": None, "met": None, "error": str(error)}]
    finally:
        for worker in workers.values():
            worker.close()
    rows = [row_of_waiting(name, seconds["quiet"], seconds["busy"]) for name, seconds in times.items()]
    for row in rows:
        say(f"waiting, {row['setting']}: quiet {row['quiet']:.3g} s, busy {row['busy']:.3g} s, {row['median']:.2f} ×")
    return rows


def row_of_waiting(name: str, quiet: list[float], busy: list[float]) -> Row:
    """The row of a setting from the seconds of its iterations."""
    chosen = WAITING[name] == {**UNSET, **cli.SPINS}
    ratio = min(busy) / min(quiet)
    return {
        "work": "waiting", "case": "beside one busy process, against quiet", "setting": name, "chosen": chosen,
        "quiet": min(quiet), "busy": min(busy), "unit": "×", "median": ratio, "runs": len(quiet),
        "target": f"≤ {BUSY} ×" if chosen else None, "met": ratio <= BUSY if chosen else None,
    }  # fmt: skip


@contextlib.contextmanager
def busy_process() -> Iterator[None]:
    """One process that computes all the time."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()
