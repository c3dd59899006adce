"""The record of every execution: a JSON file beside the results, and a run in MLflow.

    with tracking.stage("ppo", run=args.run, params=args.params, inputs={"reward": args.reward}) as record:
        record.metrics({"kl": 5.9}, step=update)
        record.summary({"kl": 6.1})

The file comes first and MLflow second (records/spool.py): a store that is away or locked never fails a stage.  mlflow
is imported by a background thread, at the first call, after the stage has imported torch.
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


class Record:
    """What a running stage says about itself."""

    def __init__(self, name: str) -> None:
        self.run = name
        self.root = Path.cwd()
        self._spool = spool.Spool(self.root)
        self._queue: queue.SimpleQueue[spool.Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._deliver, name="mlflow", daemon=True)
        self._delivered = False
        self._step = 0

    def metrics(self, values: dict[str, float], step: int) -> None:
        """Numbers of one step; cheap, and never waits for MLflow."""
        self._step = step
        self.event("metrics", values=files.numbers(values), step=step, time=spool.now())
        if not self._thread.is_alive():
            self._thread.start()

    def summary(self, values: dict[str, Any]) -> None:
        """The final numbers (what `--metrics` holds)."""
        self.event("metrics", values=files.numbers(values), step=self._step, time=spool.now())

    def text(self, name: str, text: str) -> None:
        """A text that the UI shows beside the curves, such as samples of the policy."""
        self.event("text", path=name, text=text)

    def event(self, op: str, **fields: Any) -> None:
        event = {"run": self.run, "op": op, **fields}
        self._spool.write(event)
        self._queue.put(event)

    def close(self) -> None:
        """Wait a little for MLflow; what it has not taken by then stays in the spool."""
        self._queue.put(None)
        if not self._thread.is_alive():
            self._thread.start()
        self._thread.join(PATIENCE)
        if self._delivered:
            self._spool.discard()
        else:
            self._spool.leave()
            log.warning(
                "MLflow was not reached; the record of %s waits in .preflab/spool and is delivered later",
                self.run,
            )

    def _deliver(self) -> None:
        """The background thread: send what has come every INTERVAL, and everything once the stage has ended."""
        delivery: spool.Delivery | None = None
        waiting: list[spool.Event] = []
        ended = False
        while not ended:
            ended = self._collect(waiting)
            try:
                delivery = delivery or spool.Delivery(self.root, self._spool)
                delivery.send(waiting)
                waiting.clear()
            except Exception as error:  # whatever MLflow, SQL or HTTP raise: the stage goes on
                log.info("MLflow: %s", error)
        self._delivered = not waiting
        if self._delivered:
            replay(self.root)

    def _collect(self, waiting: list[spool.Event]) -> bool:
        """Add what comes within INTERVAL; True once the stage has ended."""
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


class Silent:
    """A record that nobody keeps: of the ranks of torchrun only the first speaks."""

    def metrics(self, values: dict[str, float], step: int) -> None: ...

    def summary(self, values: dict[str, Any]) -> None: ...

    def text(self, name: str, text: str) -> None: ...


def _reads_human_labels(kind: str, inputs: dict[str, Path]) -> bool:
    """Whether a stage reads human labels: the two that bring them, and what trains on the comparisons of those."""
    brings = kind in ("human_labels", "human_comparisons")
    return brings or any((folder / "human.json").exists() for folder in inputs.values())


@contextmanager
def stage(
    kind: str, run: Path | None, params: Path, inputs: dict[str, Path] | None = None
) -> Iterator[Record | Silent]:
    """Record one execution of the stage `kind`; the run record is written to `run` if the body succeeds.

    Without `run` nothing is recorded.  `inputs`: the folders that the stage reads, by option of its script.
    """
    if parallel.rank() or run is None:
        yield Silent()
        return
    started, clock = datetime.now(UTC).isoformat(timespec="milliseconds"), time.monotonic()
    record = Record(f"{kind}-{params.stem}")
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
    """What a result is made from: the commit, the settings, and the md5 of each input."""
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
    """Deliver what earlier processes could not; how many records.  Never fails: what stays is tried again next time."""
    try:
        return spool.replay(root)
    except Exception as error:  # as above: MLflow never makes anything fail
        log.info("MLflow: %s", error)
        return 0


def dumped(data: Any) -> str:
    return json.dumps(data, indent=2, sort_keys=True) + "\n"


def log_grid(
    name: str, about: dict[str, Any], root: Path, tags: dict[str, str], files: dict[str, str] | None = None
) -> str | None:
    """One parent run for a sweep or a grid and one child for each cell; the parent's run id, or None if MLflow is away.

    `about`: what params/report.yaml holds (grid, scale, episode_scale, cells); `files`: texts for the parent, by name.
    """
    replay(root)
    box = spool.Spool(root)
    events = list(_grid_events(name, about, root, tags, files or {}))
    for event in events:
        box.write(event)
    try:
        delivery = spool.Delivery(root, box)
        delivery.send(events)
    except Exception as error:  # as above: MLflow never makes anything fail
        log.warning("MLflow was not reached (%s); the record of %s waits in .preflab/spool", error, name)
        box.leave()
        return None
    box.discard()
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
        found = CellFiles(root, row)
        kind = "reference" if method_of(row) == "zero_shot" else "cell"
        tags = {"preflab.kind": kind, "preflab.cell": cell, **found.tags(md5s)}
        other = (*ROW_IDS, "overrides", "at", "base", "synthetic")
        axes = {key: value for key, value in row.items() if key not in other}
        yield start(cell, cell, "parent", tags, axes | row["overrides"] | scales)
        yield from ({"run": cell, "op": "metrics", "time": spool.now(), **step} for step in found.steps())
        for path, text in ({"cell.json": dumped(row)} | found.texts()).items():
            yield {"run": cell, "op": "text", "text": text, "path": f"cell/{path}"}
        yield {"run": cell, "op": "file", "path": str(found.samples.relative_to(root)), "folder": "cell"}
        yield {"run": cell, "op": "end", "status": "FINISHED", "time": spool.now()}
    yield {"run": "parent", "op": "end", "status": "FINISHED", "time": spool.now()}
