"""Why a stage is stale, in the words of the setting, the code or the input that changed."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from preflab.build.dvc_state import Cache, Record, Stage, State, writers
from preflab.files import parse
from preflab.grid.instances import Graph

MISSING = "—"
NEVER = "never built"


class Verdict(NamedTuple):
    """Of one stale stage: its `reasons`; `cached`: DVC's run-cache has the result, nothing is computed."""

    reasons: list[str]
    cached: bool


def plan(root: Path, graph: Graph, state: State | None = None) -> dict[str, Verdict]:
    """The stale stages of `graph`, upstream first.  What another process is working on counts as stale.

    A stage that DVC will restore has the outputs that are in the cache, and what reads them is judged by these.  Equal
    stages of other grids and sweeps are made known to DVC on the way, so that it restores them (build/restore.py).
    """
    state, cache, written = state or State(root), Cache(root), writers(root)
    verdicts: dict[str, Verdict] = {}
    for name, upstream in graph.items():
        at, short = place(name)
        stage, record = state.stages(at)[short], state.records(at).get(short)
        if busy := _busy(root, stage, written):
            verdicts[name] = Verdict([busy], cached=False)
            continue
        reasons = reasons_of(stage, record, state, cache) if record else [NEVER]
        to_run = {above for above in upstream & verdicts.keys() if above != "params" and not verdicts[above].cached}
        if reasons != [NEVER]:
            nearest = [above for above in graph if above in to_run and not any(above in graph[one] for one in to_run)]
            reasons += [f"after {above}" for above in nearest]
        if reasons:
            outs = None if to_run else _restored(stage, state, cache)
            verdicts[name] = Verdict(reasons, outs is not None)
            state.expect(outs or {})
    for path in sorted((root / "params" / "code").glob("*.yaml")):
        state.md5(path.relative_to(root).as_posix())  # remembered for the words of a later plan
    state.keep()
    return verdicts


def _restored(stage: Stage, state: State, cache: Cache) -> dict[str, str] | None:
    """The outputs that DVC will restore, as an execution of this stage, or of an equal one, has left them."""
    outs = cache.result(stage, state)
    if outs is None and cache.adopt(stage, state):
        outs = cache.result(stage, state)
    return outs


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
    """What happened to an input; of a file of settings, to which of them, and of a list of code to which modules."""
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
    """`code changed: src/preflab/training/ppo.py`, one for each module."""
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
