"""Run the stages that some cells need, several at a time, in one workspace, each exactly once.

Each stage is a process `dvc --wait-for-lock repro -s STAGE` (forked by build/dvc_fork.py), started when all stages that
it reads are done.  (Parallel `dvc repro TARGET` fails: an unchanged upstream stage still locks its outputs to write.)

A file lock for each stage makes two sweeps at once safe.  The stage's process inherits the lock: if the sweep is
killed, the stage keeps the lock until it has finished; the next sweep waits for it and finds the stage done.
"""

import fcntl
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from preflab.build.dvc_fork import Child, Forks
from preflab.grid.instances import Graph

POLL = 0.3  # seconds between two tries to get a lock that another process holds
GRACE = 10.0  # seconds that a stage has to end after Ctrl-C, before it is killed


class Outcome(NamedTuple):
    """How a stage ended.

    `state`: fresh (nothing to do), ran, restored (from DVC's run-cache), unchanged, failed, or skipped (a stage that it
    reads has failed); `message`: of a failure, in one sentence.
    """

    state: str
    seconds: float = 0.0
    message: str = ""


class Runner:
    """Runs stages of the workspace `root`, at most `jobs` at a time.

    `say` is called with a sentence when a stage has to wait, `done` with each stage and its outcome when it ends.
    """

    def __init__(
        self,
        root: Path,
        jobs: int,
        say: Callable[[str], None],
        done: Callable[[str, Outcome], None] = lambda *_: None,
    ) -> None:
        self.root, self.jobs, self.say, self.done = root, jobs, say, done
        self._forks: Forks | None = None
        self._children: set[Child] = set()
        self._stopping = threading.Event()
        self._starting = threading.Lock()  # held from the start of a child until `_children` has it

    def run(self, graph: Graph, stale: set[str]) -> dict[str, Outcome]:
        """Run the stages in `stale` and return the outcome of every stage of `graph`; the others are fresh.

        A failure skips only the stages that read the failed one, in turn.  After an exception, such as Ctrl-C, all
        running stages are ended before it is raised again.
        """
        outcomes = {stage: Outcome("fresh") for stage in graph if stage not in stale}
        pending = [stage for stage in graph if stage in stale]
        running: dict[Future[Outcome], str] = {}
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                while pending or running:
                    for stage in list(pending):
                        inputs = [outcomes.get(upstream) for upstream in graph[stage]]
                        if any(outcome and outcome.state in ("failed", "skipped") for outcome in inputs):
                            pending.remove(stage)
                            outcomes[stage] = Outcome("skipped")
                            self.done(stage, outcomes[stage])
                        elif all(inputs):
                            pending.remove(stage)
                            running[pool.submit(self._run_stage, stage)] = stage
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        stage = running.pop(future)
                        outcomes[stage] = future.result()
                        self.done(stage, outcomes[stage])
            except BaseException:
                self._stop()
                raise
            finally:
                if self._forks:
                    self._forks.close()
        return outcomes

    def _run_stage(self, stage: str) -> Outcome:
        started = time.monotonic()
        log = self.root / "outputs" / "logs" / f"{file_name(stage)}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with self._locked(stage) as lock:
            announced = ""  # the process of which the user has been told
            while not self._stopping.is_set():
                code = self._dvc(stage, log, lock)
                output = log.read_text(errors="replace")
                blocker = re.search(r"is busy, it is being blocked by:\n\s*\(PID (\d+)\): (.*)", output)
                if code == 0 or not blocker:
                    return Outcome(_state(code, output), time.monotonic() - started, _reason(output) if code else "")
                if announced != blocker[1]:  # a `dvc repro` of the user's: a sweep would hold the stage's lock
                    announced = blocker[1]
                    self.say(f"{stage} waits for process {blocker[1]} ({blocker[2]}), which uses the same files")
                time.sleep(1)
        return Outcome("failed", time.monotonic() - started, "interrupted")

    def _dvc(self, stage: str, log: Path, lock: int) -> int:
        """Run DVC for one stage and return its exit code.

        The log is a file, not a pipe, so that a stage which outlives this process can still write to it.
        """
        with log.open("wb") as output, self._starting:
            if self._stopping.is_set():
                return -signal.SIGINT
            self._forks = self._forks or self.forks()
            child = self._forks.start(stage, output.fileno(), lock)
            self._children.add(child)
        try:
            return child.wait()
        finally:
            self._children.discard(child)

    def forks(self) -> Forks:
        """A new process that runs the stages of this workspace."""
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
        if self.jobs > 1:  # threads that wait for work must not spin on a core that another stage needs
            environment["OMP_WAIT_POLICY"] = "PASSIVE"
            environment.pop("GOMP_SPINCOUNT", None)  # of cli.py, and it would win
        return Forks(self.root, environment)

    @contextmanager
    def _locked(self, stage: str) -> Iterator[int]:
        """Hold the stage's lock and yield its file descriptor; the file names the process that holds it.

        Yields without the lock if the runner is stopped meanwhile.
        """
        path = self.root / ".preflab" / "locks" / f"{file_name(stage)}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+") as file:
            announced = False
            while not self._stopping.is_set():
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not announced:
                        announced = True
                        self.say(f"{stage} waits for {_holder(path)}, which is running it")
                    time.sleep(POLL)
            file.seek(0)
            file.truncate()
            file.write(json.dumps({"pid": os.getpid(), "command": " ".join(sys.orig_argv)}))
            file.flush()
            yield file.fileno()

    def _stop(self) -> None:
        """End the process groups of all running stages: SIGINT, then SIGKILL after GRACE seconds."""
        with self._starting:
            self._stopping.set()
            children = list(self._children)
        for child in children:
            _signal(child, signal.SIGINT)
        deadline = time.monotonic() + GRACE
        for child in children:
            if not child.ended.wait(max(deadline - time.monotonic(), 0.1)):
                _signal(child, signal.SIGKILL)


def file_name(stage: str) -> str:
    """`ppo_sentiment-5k-offline-1`: the stage's name without characters that a file name cannot have."""
    return re.sub(r"[^\w.-]", "_", stage)


def _signal(child: Child, number: int) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return


def _holder(lock: Path) -> str:
    """The process named in a lock; a stage that outlived its sweep still holds a lock with the sweep's name."""
    try:
        holder = json.loads(lock.read_text())
    except (OSError, json.JSONDecodeError):
        return "another process"
    return f"process {holder['pid']} ({holder['command']}) or a stage that it started"


def _state(code: int, output: str) -> str:
    if code:
        return "failed"
    if "is cached - skipping run" in output:
        return "restored"
    return "ran" if "Running stage" in output else "unchanged"


def _reason(output: str) -> str:
    """Why a stage failed: the last PreflabError, exception, message of DVC's or line of its output."""
    lines = [line for line in output.splitlines() if line.strip()]
    user_errors = [line for line in lines if line.startswith("error: ")]
    exceptions = [line for line in lines if re.match(r"\w+(\.\w+)*(Error|Exception)\b", line)]
    dvc_errors = [line for line in lines if line.startswith("ERROR: ")]
    return (user_errors or exceptions or dvc_errors or lines or ["no output"])[-1].removeprefix("error: ")
