"""Worker processes from the parent's side, and contenders measured in turn."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.workloads import Contender, Size
from preflab import cli

ROOT = Path(__file__).resolve().parents[1]
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}


class WorkerError(Exception):
    """Why a worker gave no measurement, in one line."""


class Worker:
    """A process of `benchmarks.worker`, set up and waiting; `about` is what it said of itself.

    With `processes` > 1 under torchrun.  `threads` of each process; None: what torch chooses.  `variables` of its
    environment replace those of this process; None unsets it.
    """

    def __init__(
        self,
        target: str,
        size: Size | None = None,
        processes: int = 1,
        threads: int | None = None,
        variables: Mapping[str, str | None] | None = None,
    ) -> None:
        module = ["-m", "benchmarks.worker", target]
        if size is not None:
            module.append(json.dumps(dataclasses.asdict(size)))
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        environment: dict[str, str | None] = {**cli.SPINS, **os.environ, **QUIET, **(variables or {})}
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  open as long as the process
        self.process = subprocess.Popen(
            [sys.executable, *(torchrun if processes > 1 else []), *module],
            cwd=ROOT,
            env={name: value for name, value in environment.items() if value is not None},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.about = self._answer()

    def run(self) -> dict[str, Any]:
        """One iteration: what `benchmarks.worker.measure` returns."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has died; the answer says of what
        return self._answer()

    def close(self) -> None:
        """End of input is the end of the worker."""
        self.process.communicate()
        self.errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            self.errors.seek(0)
            last = (self.errors.read().strip().splitlines() or ["it said nothing"])[-1]
            self.close()
            raise WorkerError(f"killed by signal {-status}" if status < 0 else f"exit status {status}: {last}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            self.close()
            raise WorkerError(answer["error"])
        return answer


@dataclasses.dataclass(slots=True)
class Series:
    """The runs of one contender in the order they were made, or why there are none."""

    who: str
    about: dict[str, Any] = dataclasses.field(default_factory=dict)
    runs: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    error: str | None = None


def in_turn(
    contenders: Sequence[Contender],
    size: Size | None,
    runs: int,
    start: Callable[..., Worker] = Worker,
) -> list[Series]:
    """All contenders set up, one warm-up of each, then `runs` rounds in which each runs once: ours, theirs, ours, …

    Neighbours in time share what else the machine was doing, so ratios are taken round by round.  A contender that
    fails is left out from then on.
    """
    all_series = [Series(contender.who) for contender in contenders]
    workers: dict[str, Worker] = {}
    for series, contender in zip(all_series, contenders, strict=True):
        try:
            workers[series.who] = start(contender.target, size)
            series.about = workers[series.who].about
        except WorkerError as error:
            series.error = str(error)
    try:
        for number in range(runs + 1):
            for series in all_series:
                if series.error is not None:
                    continue
                try:
                    answer = workers[series.who].run()
                except WorkerError as error:
                    series.runs, series.error = [], str(error)
                    del workers[series.who]
                    continue
                if number > 0:
                    series.runs.append(answer)
    finally:
        for worker in workers.values():
            worker.close()
    return all_series
