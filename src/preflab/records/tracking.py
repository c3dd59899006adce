"""The record of every execution: a JSON file beside the results, and a run in MLflow.

    with tracking.stage("ppo", run=args.run, params=args.params, inputs={"reward": args.reward}) as record:
        record.metrics({"kl": 5.9}, step=update)
        record.summary({"kl": 6.1})

Events go to a file first and to MLflow second (records/spool.py), so that a stage never fails because MLflow's store
cannot be reached or is locked.  A background thread imports mlflow at the first call, when torch has been imported.
"""

import hashlib
import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from preflab import files
from preflab.grid.kinds import ROW_IDS, method_of
from preflab.machine import parallel
from preflab.plan import executions
from preflab.records import provenance, spool
from preflab.records.results import CellFiles

log = logging.getLogger(__name__)

INTERVAL = 5.0  # seconds between two deliveries to MLflow
PATIENCE = 30.0  # seconds that a finished stage waits for MLflow before it leaves the rest in the spool


class StageRecord:
    """The record of a running stage: its metrics and texts, for MLflow.  `name`: KIND-ID."""

    def __init__(self, name: str) -> None:
        self.run = name
        self.root = Path.cwd()
        self._spool = spool.Spool(self.root)
        self._queue: queue.SimpleQueue[spool.Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._deliver, name="mlflow", daemon=True)
        self._delivered = False
        self._step = 0

    def metrics(self, values: dict[str, float], step: int) -> None:
        """Record the numbers of one step.  Cheap: never waits for MLflow."""
        self._step = step
        self.event("metrics", values=files.numbers(values), step=step, time=spool.now())
        if not self._thread.is_alive():
            self._thread.start()

    def summary(self, values: dict[str, Any]) -> None:
        """Record the final numbers (those of the file of `--metrics`)."""
        self.event("metrics", values=files.numbers(values), step=self._step, time=spool.now())

    def text(self, name: str, text: str) -> None:
        """Record a text, such as samples of the policy, which MLflow's page shows with the curves."""
        self.event("text", path=name, text=text)

    def event(self, op: str, **fields: Any) -> None:
        """Write an event (records/spool.py) to the spool and queue it for MLflow."""
        event = {"run": self.run, "op": op, **fields}
        self._spool.write(event)
        self._queue.put(event)

    def close(self) -> None:
        """Wait at most PATIENCE seconds for MLflow; what it has not taken by then stays in the spool."""
        self._queue.put(None)
        if not self._thread.is_alive():
            self._thread.start()
        self._thread.join(PATIENCE)
        if self._delivered:
            self._spool.discard()
        else:
            self._spool.leave()
            log.warning(
                "MLflow was not reached; the record of %s stays in .preflab/spool and is delivered later",
                self.run,
            )

    def _deliver(self) -> None:
        """The background thread: send queued events every INTERVAL seconds, and the last when the stage has ended."""
        delivery: spool.Delivery | None = None
        waiting: list[spool.Event] = []
        ended = False
        while not ended:
            ended = self._collect(waiting)
            try:
                delivery = delivery or spool.Delivery(self.root, self._spool)
                delivery.send(waiting)
                waiting.clear()
            except Exception as error:  # MLflow, SQL or HTTP: the stage continues
                log.info("MLflow: %s", error)
        self._delivered = not waiting
        if self._delivered:
            replay(self.root)

    def _collect(self, waiting: list[spool.Event]) -> bool:
        """Add the events of the next INTERVAL seconds to `waiting`; True once the stage has ended."""
        deadline = time.monotonic() + INTERVAL
        while (left := deadline - time.monotonic()) > 0:
            try:
                event = self._queue.get(timeout=left)
            except queue.Empty:
                break
            if event is None:
                return True
            waiting.append(event)
        return False


class SilentRecord:
    """A record that keeps nothing, for all processes of torchrun but the first."""

    def metrics(self, values: dict[str, float], step: int) -> None: ...

    def summary(self, values: dict[str, Any]) -> None: ...

    def text(self, name: str, text: str) -> None: ...


def _reads_human_labels(kind: str, inputs: dict[str, Path]) -> bool:
    """Whether a stage reads human labels, itself or through comparisons; these have a file human.json."""
    return kind in ("human_labels", "human_comparisons") or any(
        (folder / "human.json").exists() for folder in inputs.values()
    )


@contextmanager
def stage(
    kind: str, run: Path | None, params: Path, inputs: dict[str, Path] | None = None
) -> Iterator[StageRecord | SilentRecord]:
    """Record one execution of the stage `kind`; the run record is written to `run` if the body succeeds.

    `params`: the file of its settings; `inputs`: the folders that it reads, by option of its script.  Without `run`,
    and in all processes of torchrun but the first, nothing is recorded.
    """
    if parallel.rank() or run is None:
        yield SilentRecord()
        return
    started, clock = datetime.now(UTC).isoformat(timespec="milliseconds"), time.monotonic()
    record = StageRecord(f"{kind}-{params.stem}")
    about = _origin(record.root, params, inputs or {})
    record.event(
        "start",
        experiment=spool.STAGES,
        name=f"{kind} {params.stem}",
        tags=_tags(kind, params, inputs or {}, about),
        params=provenance.settings(params),
        time=spool.now(),
        parent=None,
    )
    status = "FAILED"
    try:
        yield record
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        if status == "FINISHED":
            about |= {
                "stage": os.environ.get("DVC_STAGE", kind),
                "kind": kind,
                "id": params.stem,
                "run_id": None,
                "started": started,
                "wall_s": round(time.monotonic() - clock, 2),
                "command": " ".join(sys.orig_argv),
            }
            about |= provenance.machine()
            run.parent.mkdir(parents=True, exist_ok=True)
            run.write_text(dumped(about))
            executions.remember(record.root, about, params)
            record.event("record", path=str(run), started=started)
        record.event("end", status=status, time=spool.now())
        record.close()


def _origin(root: Path, params: Path, inputs: dict[str, Path]) -> dict[str, Any]:
    """The origin of a result: the commit, the sha256 of its settings, and the md5 of each input."""
    md5s = provenance.recorded_md5s(root)
    return provenance.commit(root) | {
        "params_sha256": hashlib.sha256(params.read_bytes()).hexdigest(),
        "inputs": {path.as_posix(): md5s.get(path.as_posix()) for path in inputs.values()},
    }


def _tags(kind: str, params: Path, inputs: dict[str, Path], about: dict[str, Any]) -> dict[str, Any]:
    """MLflow's tags of an execution."""
    return {
        "preflab.kind": "stage",
        "preflab.stage": kind,
        "preflab.id": params.stem,
        "data.human": str(_reads_human_labels(kind, inputs)).lower(),
        "git.commit": about["git_commit"],
        "git.dirty": about["dirty"],
        "params.sha256": about["params_sha256"],
        **{f"input.{name}": f"{path} {about['inputs'][path.as_posix()]}" for name, path in inputs.items()},
    }


def replay(root: Path) -> int:
    """Deliver the spools that earlier processes could not deliver, and return how many.

    Never fails: a spool that cannot be delivered is tried again next time.
    """
    try:
        return spool.replay(root)
    except Exception as error:  # MLflow, SQL or HTTP: nothing fails because of MLflow
        log.info("MLflow: %s", error)
        return 0


def dumped(data: Any) -> str:
    """JSON with sorted keys."""
    return json.dumps(data, indent=2, sort_keys=True) + "\n"


def log_grid(
    name: str, about: dict[str, Any], root: Path, tags: dict[str, str], files: dict[str, str] | None = None
) -> str | None:
    """Record a sweep or a grid: a parent run, and a child run for each cell.

    `about`: the content of params/report.yaml (grid, scale, episode_scale, cells); `tags`: MLflow's tags of the parent;
    `files`: texts for the parent, by name.  Returns the parent's run id, or None if MLflow could not be reached.
    """
    replay(root)
    events_file = spool.Spool(root)
    events = list(_grid_events(name, about, root, tags, files or {}))
    for event in events:
        events_file.write(event)
    try:
        delivery = spool.Delivery(root, events_file)
        delivery.send(events)
    except Exception as error:  # MLflow, SQL or HTTP: nothing fails because of MLflow
        log.warning("MLflow was not reached (%s); the record of %s stays in .preflab/spool", error, name)
        events_file.leave()
        return None
    events_file.discard()
    return delivery.run_ids["parent"]


def _grid_events(
    name: str, about: dict[str, Any], root: Path, tags: dict[str, str], files: dict[str, str]
) -> Iterator[spool.Event]:
    commit = provenance.commit(root)
    common = {
        "data.human": "false",
        "git.commit": commit["git_commit"],
        "git.dirty": commit["dirty"],
        "preflab.grid": about["grid"],
    }
    scales = {key: about[key] for key in ("scale", "episode_scale")}

    def start(run: str, name: str, parent: str | None, tags: dict[str, Any], params: dict[str, Any]) -> spool.Event:
        fields = {
            "experiment": spool.SWEEPS,
            "name": name,
            "parent": parent,
            "tags": common | tags,
            "params": params,
        }
        return {"run": run, "op": "start", "time": spool.now(), **fields}

    yield start("parent", name, None, {"preflab.kind": "sweep", **tags}, {"grid": about["grid"], **scales})
    texts = {"grid.json": dumped({"grid": about["grid"], **scales}), **files}
    yield from ({"run": "parent", "op": "text", "text": text, "path": path} for path, text in texts.items())
    md5s = provenance.recorded_md5s(root)
    for cell, row in about["cells"].items():
        results = CellFiles(root, row)
        kind = "reference" if method_of(row) == "zero_shot" else "cell"
        tags = {"preflab.kind": kind, "preflab.cell": cell, **results.tags(md5s)}
        no_axes = (*ROW_IDS, "overrides", "at", "base", "synthetic")
        axes = {key: value for key, value in row.items() if key not in no_axes}
        yield start(cell, cell, "parent", tags, axes | row["overrides"] | scales)
        yield from ({"run": cell, "op": "metrics", "time": spool.now(), **step} for step in results.steps())
        for path, text in ({"cell.json": dumped(row)} | results.texts()).items():
            yield {"run": cell, "op": "text", "text": text, "path": f"cell/{path}"}
        yield {"run": cell, "op": "file", "path": str(results.samples.relative_to(root)), "folder": "cell"}
        yield {"run": cell, "op": "end", "status": "FINISHED", "time": spool.now()}
    yield {"run": "parent", "op": "end", "status": "FINISHED", "time": spool.now()}
