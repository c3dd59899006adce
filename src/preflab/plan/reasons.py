"""Why a stage is stale, in the words of the setting, the code or the input that changed, and how long it will take."""

import contextlib
import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from preflab.build.dvc_state import Cache, Record, Stage, State, writers
from preflab.files import parse, read
from preflab.grid.instances import Graph
from preflab.grid.instances_yaml import CODE
from preflab.grid.kinds import KINDS
from preflab.plan import estimate

MISSING = "—"
NEVER = "never built"
MACHINE = ["device", "cpu_threads", "precision", "processes"]  # what a run record says of where it ran


class Verdict(NamedTuple):
    """Of one stale stage: its `reasons`; `cached`: DVC's run-cache has the result, nothing is computed."""

    reasons: list[str]
    cached: bool


def plan(root: Path, graph: Graph, state: State | None = None) -> dict[str, Verdict]:
    """The stale stages of `graph`, upstream first.  What another process is working on counts as stale."""
    state, cache, written = state or State(root), Cache(root), writers(root)
    verdicts: dict[str, Verdict] = {}
    for name, upstream in graph.items():
        at, short = place(name)
        stage, record = state.stages(at)[short], state.records(at).get(short)
        above = [stage for stage in graph if stage in upstream and stage in verdicts and stage != "params"]
        if busy := _busy(root, stage, written):
            verdicts[name] = Verdict([busy], cached=False)
            continue
        reasons = reasons_of(stage, record, state, cache) if record else [NEVER]
        if reasons != [NEVER]:
            reasons += [f"after {stage}" for stage in above if not any(stage in graph[other] for other in above)]
        if reasons:
            verdicts[name] = Verdict(reasons, not above and cache.has_result(stage, state))
    for kind in KINDS:
        state.md5(f"params/code/{kind}.yaml")  # remembered for the words of a later plan
    state.keep()
    return verdicts


def place(stage: str) -> tuple[str, str]:
    """`sweeps/NAME/dvc.yaml:ppo@x` is `ppo@x` of the pipeline in sweeps/NAME/."""
    at, colon, short = stage.partition("dvc.yaml:")
    return (at, short) if colon else ("", stage)


def _busy(root: Path, stage: Stage, written: dict[Path, tuple[int, str]]) -> str | None:
    """Another process writes what the stage reads or makes."""
    for path, (pid, command) in written.items():
        for mine in [(root / name).absolute() for name in [*stage.deps, *stage.outs]]:
            if mine.is_relative_to(path) or path.is_relative_to(mine):
                return f"in use by process {pid} ({command})"
    return None


def reasons_of(stage: Stage, record: Record, state: State, cache: Cache) -> list[str]:
    """Where a stage and what it reads differ from its record in dvc.lock; its outputs only if nothing else does."""
    reasons = [] if record["cmd"] == stage.cmd else ["command changed in dvc.yaml"]
    known = {item["path"]: item.get("md5") for item in [*record.get("deps", []), *record.get("outs", [])]}
    for path in dict.fromkeys(stage.deps):  # some are named twice
        if difference := _difference(known.get(path), state.md5(path), "changed"):
            reasons += _words(path, difference, known.get(path), state, cache)
    outputs = []
    for path, kept in stage.outs.items():
        if difference := _difference(known.get(path), state.md5(path), "modified"):
            outputs.append(f"output {difference}: {path}")
        elif kept and not cache.has(known[path]):
            outputs.append(f"output not in cache: {path}")
    return reasons or outputs


def _difference(old: str | None, new: str | None, word: str) -> str | None:
    if new is None:
        return "deleted"
    return None if new == old else "new" if old is None else word


def _words(path: str, difference: str, md5: str | None, state: State, cache: Cache) -> list[str]:
    """What happened to an input; of a file of settings, to which of them or of the modules that it stands for."""
    kind = re.search(r"(?:^|/)params/(\w+)/", path)
    if not kind:
        return [f"{'code' if path.startswith('src/') else 'input'} {difference}: {path}"]
    old = state.text(md5) or cache.text(md5)
    if difference != "changed" or old is None:
        return [f"settings {difference}: {path}"]
    new = (state.root / path).read_text()
    was, now = (text.partition("\n")[0].removeprefix(CODE) for text in (old, new))
    lines = [] if was == now else _modules_changed(state.text(was) or cache.text(was), state, kind[1])
    return lines + settings_changed(parse(old), parse(new)) or [f"settings written differently: {path}"]


def _modules_changed(old: str | None, state: State, kind: str) -> list[str]:
    """`code changed: src/preflab/training/ppo.py`, one for each module, if the `old` list of them is known."""
    if old is None:
        return [f"code changed: of {kind}"]
    before, after = parse(old), read(state.root / "params" / "code" / f"{kind}.yaml")
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    return [f"code {_difference(before.get(name), after.get(name), 'changed')}: {name}" for name in names]


def settings_changed(old: Any, new: Any, prefix: str = "") -> list[str]:
    """`reward.lr: 0.001 → 0.002`, one for each value that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in dict.fromkeys([*old, *new])
            for line in settings_changed(
                old.get(key, MISSING), new.get(key, MISSING), f"{prefix}.{key}" if prefix else key
            )
        ]
    return [] if old == new else [f"{prefix}: {_shown(old)} → {_shown(new)}"]


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


class Run(NamedTuple):
    """An execution that a run record tells of: the `settings` that it had, and the `bytes` of what it made."""

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
    """Seconds for each stage, what lies between two stages included; None if nothing like it has run here."""
    here = of_machine(runs(state)) if stages else []
    between = estimate.pause((datetime.fromisoformat(run.record["started"]), run.past.seconds) for run in here)
    found: dict[str, float | None] = {}
    for name in stages:
        at, short = place(name)
        kind, _, identifier = short.partition("@")
        if not identifier:  # params, which takes no time that anybody waits for
            found[name] = 0.0
            continue
        settings = read(state.root / _settings_path(at, kind, identifier))
        wanted = estimate.work(kind, settings, state.stages(at)[short].deps)
        seconds = estimate.seconds(wanted, [run.past for run in here])
        found[name] = None if seconds is None else seconds + between
    return found


def of_machine(found: list[Run]) -> list[Run]:
    """The runs on the machine of the newest, the newest last."""
    ordered = sorted(found, key=lambda run: str(run.record["started"]))
    newest = ordered[-1].record if ordered else {}
    return [run for run in ordered if all(run.record.get(key) == newest.get(key) for key in MACHINE)]


def runs(state: State) -> list[Run]:
    """The run record of every stage of every pipeline that has one, with the work of the settings that it had."""
    found = []
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
                run = json.loads(file.read_text())
                datetime.fromisoformat(run["started"])
                settings = parse(text or "") or {}
                past = estimate.Past(estimate.work(kind, settings, md5s), float(run["wall_s"]))
                found.append(Run(run, past, settings, sum(out.get("size", 0) for out in record.get("outs", []))))
    return found


def _settings_path(at: str, kind: str, identifier: str) -> str:
    return f"{at}params/{kind}/{identifier}.yaml"
