"""One workload in a process of its own: `python -m benchmarks.worker MODULE:FUNCTION [SIZE as JSON]`.

Sets the workload up, says what it uses (`about`); then runs one iteration for every line on standard input and answers
one JSON line, until the input ends.  Standard output is for these answers alone: what libraries print goes to standard
error.  An exception is answered as {"error": one line}; its traceback goes to standard error.

Under torchrun every process runs the iteration; rank 0 listens and answers.
"""

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.workloads import Size, pick_device
from preflab.machine import parallel


def main() -> None:
    """Serve the workload named on the command line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(message: dict[str, Any]) -> None:
        if parallel.rank() == 0:
            print(json.dumps(message), file=answers, flush=True)

    try:
        with parallel.joined():
            run = prepare(*sys.argv[1:])
            answer(about())
            while told():
                answer(measure(run))
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        answer({"error": f"{type(error).__name__}: {first}"})
        raise


def prepare(target: str, size: str | None = None) -> Callable[[], dict[str, float]]:
    """The workload `module:function`, set up: with a size, on the machine's device; without, by itself."""
    module, function = target.split(":")
    setup = getattr(importlib.import_module(module), function)
    run: Callable[[], dict[str, float]] = setup() if size is None else setup(Size(**json.loads(size)), pick_device())
    return run


def told() -> bool:
    """Wait for the next line of the parent; False at its end.  The other ranks hear it from rank 0."""
    heard = [bool(sys.stdin.readline()) if parallel.rank() == 0 else False]
    if parallel.size() > 1:
        from torch import distributed

        distributed.broadcast_object_list(heard)
    return heard[0]


def measure(run: Callable[[], dict[str, float]]) -> dict[str, Any]:
    """One iteration: `phases` and `total` in seconds, `rss` and `cuda` the peak so far in bytes.

    `other_cpu`: the share of the machine's CPU time that other processes took meanwhile (0 … 1), torchrun's other
    ranks among them.
    """
    busy, process, start = busy_seconds(), time.process_time(), time.perf_counter()
    phases = run()
    wall = time.perf_counter() - start
    other = max(busy_seconds() - busy - (time.process_time() - process), 0.0) / (wall * (os.cpu_count() or 1))
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "phases": phases,
        "total": sum(phases.values()),
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "cuda": cuda_peak(),
        "other_cpu": other,
    }


def busy_seconds() -> float:
    """CPU seconds that all processes of the machine have used since it started; 0 where /proc does not tell."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def cuda_peak() -> int | None:
    """The most memory that torch has had in use on the GPU, in bytes; None where the work is not on one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return int(torch.cuda.max_memory_allocated())


def about() -> dict[str, Any]:
    """What the workload has set up: threads, device, precision of its matrix products (torch's name for it)."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {"threads": 1, "device": "cpu", "matmul": "highest"}
    matmul = torch.get_float32_matmul_precision()
    return {"threads": torch.get_num_threads(), "device": pick_device().type, "matmul": matmul}


if __name__ == "__main__":
    main()
