"""Which stages are stale, and why: the setting, the module or the input that changed."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from preflab.build.dvc_state import DvcCache, DvcStage, DvcState, LockRecord, writers
from preflab.files import parse
from preflab.grid.instances import Graph

MISSING = "—"
NEVER = "never built"


class Verdict(NamedTuple):
    """Why a stage is stale; `cached`: DVC's run-cache has its result, so that nothing is computed."""

    reasons: list[str]
    cached: bool


def plan(root: Path, graph: Graph, state: DvcState | None = None) -> dict[str, Verdict]:
    """The stale stages of `graph`, upstream first, each with its verdict.

    A stage whose files another process is writing is stale.  A stage that DVC will restore is taken to have the outputs
    in the cache when the stages that read them are judged.  Results of equal stages of other grids and sweeps are
    entered into DVC's run-cache, so that DVC restores them (build/restore.py).  Raises PreflabError for a dvc.yaml or
    dvc.lock that cannot be read.
    """
    state, cache, written = state or DvcState(root), DvcCache(root), writers(root)
    verdicts: dict[str, Verdict] = {}
    for name, upstream in graph.items():
        at, short = place(name)
        stage, record = state.stages(at)[short], state.records(at).get(short)
        if busy := _busy(root, stage, written):
            verdicts[name] = Verdict([busy], cached=False)
            continue
        reasons = reasons_of(stage, record, state, cache) if record else [NEVER]
        to_run = {other for other in upstream & verdicts.keys() if other != "params" and not verdicts[other].cached}
        if reasons != [NEVER]:
            last = [other for other in graph if other in to_run and not any(other in graph[later] for later in to_run)]
            reasons += [f"after {other}" for other in last]
        if reasons:
            outs = None if to_run else _restored(stage, state, cache)
            verdicts[name] = Verdict(reasons, outs is not None)
            state.expect(outs or {})
    for path in sorted((root / "params" / "code").glob("*.yaml")):
        state.md5(path.relative_to(root).as_posix())  # a later plan can then name the modules that changed
    state.keep()
    return verdicts


def _restored(stage: DvcStage, state: DvcState, cache: DvcCache) -> dict[str, str] | None:
    """The md5s of the outputs that DVC will restore, by path; None if no execution of an equal stage is cached."""
    outs = cache.result(stage, state)
    if outs is None and cache.adopt(stage, state):
        outs = cache.result(stage, state)
    return outs


def place(stage: str) -> tuple[str, str]:
    """Folder of the pipeline and name in it: `sweeps/NAME/dvc.yaml:ppo@x` is `("sweeps/NAME/", "ppo@x")`."""
    at, colon, short = stage.partition("dvc.yaml:")
    return (at, short) if colon else ("", stage)


def _busy(root: Path, stage: DvcStage, written: dict[Path, tuple[int, str]]) -> str | None:
    """Which process is writing an input or output of the stage; None if no process is.  `written`: of `writers`."""
    for path, (pid, command) in written.items():
        for own_path in [(root / name).absolute() for name in [*stage.deps, *stage.outs]]:
            if own_path.is_relative_to(path) or path.is_relative_to(own_path):
                return f"in use by process {pid} ({command})"
    return None


def reasons_of(stage: DvcStage, record: LockRecord, state: DvcState, cache: DvcCache) -> list[str]:
    """How a stage and its inputs differ from its record in dvc.lock; how its outputs do, if nothing else differs."""
    reasons = [] if record["cmd"] == stage.cmd else ["command changed in dvc.yaml"]
    recorded = {item["path"]: item.get("md5") for item in [*record.get("deps", []), *record.get("outs", [])]}
    for path in dict.fromkeys(stage.deps):  # some are named twice
        if difference := _difference(recorded.get(path), state.md5(path), "changed"):
            reasons += _words(path, difference, recorded.get(path), state, cache)
    outputs = []
    for path, in_cache in stage.outs.items():
        if difference := _difference(recorded.get(path), state.md5(path), "modified"):
            outputs.append(f"output {difference}: {path}")
        elif in_cache and not cache.has(recorded[path]):
            outputs.append(f"output not in cache: {path}")
    return reasons or outputs


def _difference(old: str | None, new: str | None, word: str) -> str | None:
    """`deleted`, `new` or `word`, by the two md5s of a path (None: no such path); None if they are equal."""
    if new is None:
        return "deleted"
    return None if new == old else "new" if old is None else word


def _words(path: str, difference: str, md5: str | None, state: DvcState, cache: DvcCache) -> list[str]:
    """How an input differs: a params file by its settings, a list of code by its modules, other inputs by their path.

    `md5`: that of dvc.lock, by which the old content is found.
    """
    kind = re.search(r"(?:^|/)params/(\w+)/", path)
    if not kind:
        return [f"{'code' if path.startswith('src/') else 'input'} {difference}: {path}"]
    word = "code" if kind[1] == "code" else "settings"
    old = state.text(md5) or cache.text(md5)
    if difference != "changed" or old is None:
        return [f"{word} {difference}: {path}"]
    before, after = parse(old), parse((state.root / path).read_text())
    lines = _modules_changed(before, after) if word == "code" else settings_changed(before, after)
    return lines or [f"{word} written differently: {path}"]


def _modules_changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """`code changed: src/preflab/training/ppo.py`, a line for each module."""
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    return [f"code {_difference(before.get(name), after.get(name), 'changed')}: {name}" for name in names]


def settings_changed(old: Any, new: Any, prefix: str = "") -> list[str]:
    """`reward.lr: 0.001 → 0.002`, a line for each value that differs."""
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
