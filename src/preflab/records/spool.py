"""The events of a run, written to disk first and delivered to MLflow second.

A spool is a file `.preflab/spool/<time>-<pid>.jsonl` of events.  The process that writes it locks it, and deletes it
once MLflow has everything.  A spool without a lock belongs to a process that has ended without reaching MLflow's store;
the next process that reaches the store delivers it.  MLflow never makes a stage fail.

    {"run": "a", "op": "start", "experiment", "name", "tags", "params", "time", "parent": local run or null}
    {"run": "a", "op": "created", "run_id"}          MLflow's id of the run
    {"run": "a", "op": "metrics", "values", "step", "time"}
    {"run": "a", "op": "file", "path", "folder"}  ·  {"run": "a", "op": "text", "text", "path"}
    {"run": "a", "op": "record", "path", "started"}  a run record to be completed with the run id
    {"run": "a", "op": "end", "status", "time"}
"""

import fcntl
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from preflab import telemetry
from preflab.errors import PreflabError

if TYPE_CHECKING:
    from mlflow import MlflowClient

Event = dict[str, Any]

log = logging.getLogger(__name__)

STAGES = "preflab/stages"  # one run for each real execution of a stage, of the grid or of any sweep
SWEEPS = "preflab/sweeps"  # one parent for each sweep or grid, one child for each of its cells
BATCH = 900  # metrics per call; MLflow takes 1000


def now() -> int:
    """Milliseconds since 1970, MLflow's unit of time."""
    return int(time.time() * 1000)


def tracking_uri(root: Path) -> str:
    """The user's MLFLOW_TRACKING_URI, or the project's own SQLite file."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.resolve() / 'mlflow.db'}"


def connect(root: Path) -> "MlflowClient":
    """A client of MLflow's store, in which the experiments STAGES and SWEEPS exist.

    One process at a time: several on a fresh SQLite file destroy it.  Raises what MLflow raises, or TimeoutError.
    """
    telemetry.off()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")  # else the first use of a store prints its migrations
    for name in ("alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from filelock import FileLock
    from mlflow import MlflowClient

    lock = root / ".preflab" / "mlflow.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    uri = tracking_uri(root)
    with FileLock(lock, timeout=120):
        client = MlflowClient(uri)
        for name in (STAGES, SWEEPS):
            if client.get_experiment_by_name(name) is None:
                local = uri.startswith("sqlite:")
                folder = (root.resolve() / "mlartifacts" / name).as_uri() if local else None
                client.create_experiment(name, folder)
    return client


def reached(root: Path) -> "MlflowClient":
    """`connect` for a command that cannot do without MLflow; raises PreflabError, in one line, if it fails."""
    try:
        return connect(root)
    except Exception as error:  # SQL, HTTP and MLflow raise their own; filelock a TimeoutError
        lines = str(error).strip().splitlines() or [type(error).__name__]
        uri = re.sub(r"//[^/@]*@", "//", tracking_uri(root))  # no passwords
        remedy = "repair it or move it away, or set MLFLOW_TRACKING_URI"
        raise PreflabError(f"MLflow's store {uri} cannot be used ({lines[0][:200]}); {remedy}") from error


class Spool:
    """The events of one process, appended to its file; the file stays until `discard`."""

    def __init__(self, root: Path) -> None:
        folder = root / ".preflab" / "spool"
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{time.time_ns()}-{os.getpid()}.jsonl"
        self._file = self.path.open("a")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def write(self, event: Event) -> None:
        """Append an event."""
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()

    def discard(self) -> None:
        """Delete the file, since MLflow has everything."""
        self.path.unlink(missing_ok=True)
        self._file.close()

    def leave(self) -> None:
        """Close the file and keep it for the next process that reaches the store."""
        self._file.close()


class Delivery:
    """Sends events to MLflow in order and remembers MLflow's id of each run.

    `spool`: gets a `created` event for each new run, so that a repeated delivery finds it.
    """

    def __init__(self, root: Path, spool: Spool | None = None) -> None:
        self.root = root
        self.client = connect(root)
        self.spool = spool
        self.run_ids: dict[str, str] = {}

    def send(self, events: list[Event]) -> None:
        """Send events; raises what MLflow raises.

        Sending them again is harmless: MLflow stores an equal metric, tag, parameter or artifact once.
        """
        from mlflow.entities import Metric

        metrics: dict[str, list[Metric]] = {}
        for event in events:
            run, op = event["run"], event["op"]
            if op == "created":
                self.run_ids[run] = event["run_id"]
            elif op == "start" and run not in self.run_ids:
                self.run_ids[run] = self._create(event)
                if self.spool:
                    self.spool.write({"run": run, "op": "created", "run_id": self.run_ids[run]})
            elif op == "metrics":
                batch = [Metric(name, value, event["time"], event["step"]) for name, value in event["values"].items()]
                metrics.setdefault(run, []).extend(batch)
            elif op == "file" and (self.root / event["path"]).exists():
                self.client.log_artifact(self.run_ids[run], str(self.root / event["path"]), event["folder"])
            elif op == "text":
                self.client.log_text(self.run_ids[run], event["text"], event["path"])
            elif op == "record":
                self._complete(self.root / event["path"], event["started"], self.run_ids[run])
            elif op == "end":
                self._metrics(run, metrics.pop(run, []))
                self.client.set_terminated(self.run_ids[run], event["status"], event["time"])
        for run, batch in metrics.items():
            self._metrics(run, batch)

    def _create(self, event: Event) -> str:
        from mlflow.entities import Param

        tags = {key: str(value) for key, value in event["tags"].items()} | {"mlflow.runName": event["name"]}
        if event.get("parent"):
            tags["mlflow.parentRunId"] = self.run_ids[event["parent"]]
        experiment = self.client.get_experiment_by_name(event["experiment"])
        run = self.client.create_run(experiment.experiment_id, event["time"], tags, event["name"])
        params = [Param(key, str(value)) for key, value in event["params"].items()]
        for start in range(0, len(params), 90):
            self.client.log_batch(run.info.run_id, params=params[start : start + 90])
        return run.info.run_id

    def _metrics(self, run: str, metrics: list[Any]) -> None:
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(self.run_ids[run], metrics=metrics[start : start + BATCH])

    def _complete(self, path: Path, started: str, run_id: str) -> None:
        """Write the run id into the run record at `path`, unless a later execution has overwritten the record."""
        if not path.exists():
            return
        record = json.loads(path.read_text())
        if record.get("started") == started:
            path.write_text(json.dumps(record | {"run_id": run_id}, indent=2, sort_keys=True) + "\n")


def replay(root: Path) -> int:
    """Deliver the spools of processes that have ended, and return how many.

    Raises what MLflow raises when it cannot be reached.
    """
    delivered = 0
    for path in sorted((root / ".preflab" / "spool").glob("*.jsonl")):
        with _orphan(path) as file:
            if file is None:
                continue
            events = list(_events(file))
            ended = {event["run"] for event in events if event["op"] == "end"}
            for run in dict.fromkeys(event["run"] for event in events):
                if run not in ended:
                    events.append({"run": run, "op": "end", "status": "KILLED", "time": events[-1].get("time", now())})
            created = [event for event in events if event["op"] == "created"]
            Delivery(root).send(created + [event for event in events if event["op"] != "created"])
            path.unlink()
            delivered += 1
    return delivered


@contextmanager
def _orphan(path: Path) -> Iterator[IO[str] | None]:
    """The spool, opened and locked; None if its writer is alive or another process has just delivered it."""
    try:
        file = path.open()
    except FileNotFoundError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield file if path.exists() else None


def _events(file: IO[str]) -> Iterator[Event]:
    """The events of all complete lines; a killed process may have left half of the last one."""
    for line in file:
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            log.warning("%s: skipped an unfinished event", file.name)
