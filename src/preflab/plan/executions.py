"""What has run in this project's folder, and from that how long other stages will take.

`.preflab/executions/` has the record of each execution with its settings, whichever grid or sweep asked for it; run
records in reports/ are those of the stages that dvc.lock has, which may have come from another machine by git.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from preflab.build.dvc_state import Cache, State
from preflab.files import parse, read, replace
from preflab.plan import estimate
from preflab.plan.reasons import place

Record = dict[str, Any]

MACHINE = ["device", "cpu_threads", "precision", "processes"]  # what a run record says of where it ran


def remember(root: Path, record: Record, params: Path) -> None:
    """Keep a run record with the settings of its stage; one of the same stage and inputs replaces the older."""
    made_of = json.dumps([record["params_sha256"], sorted(record["inputs"].values(), key=str)])
    name = f"{record['kind']}-{record['id'][:60]}-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"
    text = json.dumps(record | {"settings": parse(params.read_text())}, sort_keys=True)
    replace(root / ".preflab" / "executions" / f"{name}.json", text)


def remembered(root: Path) -> list[Record]:
    """Every record that can be read; `settings` of each stage are under that key."""
    records = []
    for file in sorted((root / ".preflab" / "executions").glob("[!.]*.json")):
        try:
            records.append(json.loads(file.read_text()))
        except (OSError, json.JSONDecodeError):  # half written by another process, or removed
            continue
    return records


class Run(NamedTuple):
    """One execution: its record, the work that it was, its `settings`, and the `bytes` of its outputs (0: unknown)."""

    record: Record
    past: estimate.Past
    settings: Record
    bytes: int

    @property
    def kind(self) -> str:
        return self.past.work.like[0]

    @property
    def model(self) -> str:
        return self.past.work.like[1]


def estimates(state: State, stages: Sequence[str]) -> dict[str, float | None]:
    """Seconds for each stage, with what passes between two stages; None if nothing like it has run on this machine."""
    runs = of_machine(all_runs(state)) if stages else []
    between = estimate.pause((datetime.fromisoformat(run.record["started"]), run.past.seconds) for run in runs)
    times: dict[str, float | None] = {}
    for name in stages:
        at, short = place(name)
        kind, _, identifier = short.partition("@")
        if not identifier:  # params, which takes no time to speak of
            times[name] = 0.0
            continue
        settings = read(state.root / _settings_path(at, kind, identifier))
        work = estimate.work(kind, settings, state.stages(at)[short].deps)
        seconds = estimate.seconds(work, [run.past for run in runs])
        times[name] = None if seconds is None else seconds + between
    return times


def of_machine(runs: list[Run]) -> list[Run]:
    """The runs on the machine of the newest, the newest last."""
    ordered = sorted(runs, key=lambda run: str(run.record["started"]))
    newest = ordered[-1].record if ordered else {}
    return [run for run in ordered if all(run.record.get(key) == newest.get(key) for key in MACHINE)]


def all_runs(state: State) -> list[Run]:
    """Every execution that has a record: of the stages in dvc.lock, then those remembered of other grids."""
    runs = {run.record["started"]: run for run in (*_remembered_runs(state.root), *_recorded_runs(state))}
    return list(runs.values())


def _remembered_runs(root: Path) -> Iterator[Run]:
    for record in remembered(root):
        with contextlib.suppress(KeyError, TypeError, ValueError):  # of another version
            yield _run(record, record["settings"], record["inputs"], 0)


def _recorded_runs(state: State) -> Iterator[Run]:
    """The run records of every pipeline, each with the settings that dvc.lock says it had."""
    cache = Cache(state.root)
    for lock in sorted([*state.root.glob("sweeps/*/dvc.lock"), *state.root.glob("dvc.lock")]):
        at = "" if lock.parent == state.root else f"{lock.parent.relative_to(state.root).as_posix()}/"
        for short, record in state.records(at).items():
            kind, _, identifier = short.partition("@")
            file = state.root / at / "reports" / "runs" / f"{kind}-{identifier}.json"
            path = _settings_path(at, kind, identifier)
            md5s = {item["path"]: item.get("md5") for item in record.get("deps", [])}
            if path not in md5s or not file.exists():
                continue
            state.md5(path)  # remembers its text
            text = state.text(md5s[path]) or cache.text(md5s[path])
            with contextlib.suppress(KeyError, TypeError, ValueError):  # lost, of another version, or half written
                size = sum(out.get("size", 0) for out in record.get("outs", []))
                yield _run(json.loads(file.read_text()), parse(text or "") or {}, md5s, size)


def _run(record: Record, settings: Record, inputs: Record, size: int) -> Run:
    datetime.fromisoformat(record["started"])
    past = estimate.Past(estimate.work(record["kind"], settings, inputs), float(record["wall_s"]))
    return Run(record, past, settings, size)


def _settings_path(at: str, kind: str, identifier: str) -> str:
    return f"{at}params/{kind}/{identifier}.yaml"
