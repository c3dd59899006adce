"""The executions of stages in this project's folder, and estimates of other stages from them.

`.preflab/executions/` has the run record of each execution with its settings, of every grid and sweep.  The run records
in reports/ are those of the stages in dvc.lock; they may have come from another machine through git.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from preflab.build.dvc_state import DvcCache, DvcState
from preflab.files import parse, read, replace
from preflab.plan import estimate
from preflab.plan.reasons import place

RunRecord = dict[str, Any]  # reports/runs/KIND-ID.json, as records/tracking.py writes it
Settings = dict[str, Any]

MACHINE = ["device", "cpu_threads", "precision", "processes"]  # the keys of a run record that tell machines apart


def remember(root: Path, record: RunRecord, params: Path) -> None:
    """Keep a run record with the settings of its stage, instead of an older one with equal settings and inputs."""
    origin = json.dumps([record["params_sha256"], sorted(record["inputs"].values(), key=str)])
    name = f"{record['kind']}-{record['id'][:60]}-{hashlib.sha256(origin.encode()).hexdigest()[:12]}"
    text = json.dumps(record | {"settings": parse(params.read_text())}, sort_keys=True)
    replace(root / ".preflab" / "executions" / f"{name}.json", text)


def remembered(root: Path) -> list[RunRecord]:
    """Every run record in `.preflab/executions/` that can be read, with the settings of its stage under `settings`."""
    records = []
    for file in sorted((root / ".preflab" / "executions").glob("[!.]*.json")):
        try:
            records.append(json.loads(file.read_text()))
        except (OSError, json.JSONDecodeError):  # half written by another process, or removed
            continue
    return records


class PastRun(NamedTuple):
    """One execution: its run record, its work and time, its settings, and the bytes of its outputs (0: unknown)."""

    record: RunRecord
    timed: estimate.TimedWork
    settings: Settings
    bytes: int

    @property
    def kind(self) -> str:
        """The kind of stage."""
        return self.timed.work.like[0]

    @property
    def model(self) -> str:
        """The id of the base model that it read; "" if none."""
        return self.timed.work.like[1]


def estimates(state: DvcState, stages: Sequence[str]) -> dict[str, float | None]:
    """Seconds for each of `stages` (DVC's names), the pause after it included; None if no similar stage has run here.

    "Here" is the machine of the newest run record.
    """
    runs = of_machine(all_runs(state)) if stages else []
    pause = estimate.pause((datetime.fromisoformat(run.record["started"]), run.timed.seconds) for run in runs)
    times: dict[str, float | None] = {}
    for name in stages:
        at, short = place(name)
        kind, _, identifier = short.partition("@")
        if not identifier:  # the stage params, which takes almost no time
            times[name] = 0.0
            continue
        settings = read(state.root / _settings_path(at, kind, identifier))
        work = estimate.work(kind, settings, state.stages(at)[short].deps)
        seconds = estimate.seconds(work, [run.timed for run in runs])
        times[name] = None if seconds is None else seconds + pause
    return times


def of_machine(runs: list[PastRun]) -> list[PastRun]:
    """The runs on the machine of the newest run, in the order of time."""
    ordered = sorted(runs, key=lambda run: str(run.record["started"]))
    newest = ordered[-1].record if ordered else {}
    return [run for run in ordered if all(run.record.get(key) == newest.get(key) for key in MACHINE)]


def all_runs(state: DvcState) -> list[PastRun]:
    """Every execution with a run record, in `.preflab/executions/` or of a stage in dvc.lock; each once."""
    runs = {run.record["started"]: run for run in (*_remembered_runs(state.root), *_recorded_runs(state))}
    return list(runs.values())


def _remembered_runs(root: Path) -> Iterator[PastRun]:
    for record in remembered(root):
        with contextlib.suppress(KeyError, TypeError, ValueError):  # a record of another version of preflab
            yield _run(record["kind"], record, record["settings"], record["inputs"], 0)


def _recorded_runs(state: DvcState) -> Iterator[PastRun]:
    """The run records in reports/ of every pipeline, each with the settings whose md5 is in dvc.lock."""
    cache = DvcCache(state.root)
    for lock in sorted([*state.root.glob("sweeps/*/dvc.lock"), *state.root.glob("dvc.lock")]):
        at = "" if lock.parent == state.root else f"{lock.parent.relative_to(state.root).as_posix()}/"
        for short, record in state.records(at).items():
            kind, _, identifier = short.partition("@")
            file = state.root / at / "reports" / "runs" / f"{kind}-{identifier}.json"
            path = _settings_path(at, kind, identifier)
            md5s = {item["path"]: item.get("md5") for item in record.get("deps", [])}
            if path not in md5s or not file.exists():
                continue
            state.md5(path)  # reads the file, so that `text` has its content
            text = state.text(md5s[path]) or cache.text(md5s[path])
            with contextlib.suppress(KeyError, TypeError, ValueError):  # lost, half written, or of another version
                size = sum(out.get("size", 0) for out in record.get("outs", []))
                yield _run(kind, json.loads(file.read_text()), parse(text or "") or {}, md5s, size)


def _run(kind: str, record: RunRecord, settings: Settings, inputs: dict[str, Any], size: int) -> PastRun:
    """Raises KeyError, TypeError or ValueError if the record or the settings lack what an estimate needs."""
    datetime.fromisoformat(record["started"])
    timed = estimate.TimedWork(estimate.work(kind, settings, inputs), float(record["wall_s"]))
    return PastRun(record, timed, settings, size)


def _settings_path(at: str, kind: str, identifier: str) -> str:
    return f"{at}params/{kind}/{identifier}.yaml"
