"""Why a stage is stale, in the words of the setting, the code or the input that changed.  Runs nothing."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from preflab.grid import Graph

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage

MISSING = "—"
NEVER = "never built"


class Verdict(NamedTuple):
    """Of one stale stage: its `reasons`; `cached`: DVC's run-cache has the result, nothing is computed."""

    reasons: list[str]
    cached: bool


def plan(root: Path, graph: Graph) -> dict[str, Verdict]:
    """The stale stages of `graph`, upstream first.  What another process is working on counts as stale."""
    from dvc.lock import LockError
    from dvc.repo import Repo

    repo = Repo(str(root), _wait_for_lock=True)
    verdicts: dict[str, Verdict] = {}
    try:
        with repo.lock:
            stages = {stage.addressing: stage for stage in repo.index.stages}
            for name, upstream in graph.items():
                above = [stage for stage in graph if stage in upstream and stage in verdicts and stage != "params"]
                try:
                    reasons = _reasons(stages[name], stages[name].status().get(name, []))
                    if reasons != [NEVER]:
                        reasons += [
                            f"after {stage}" for stage in above if not any(stage in graph[other] for other in above)
                        ]
                    cached = bool(reasons) and not above and _in_run_cache(repo, stages[name])
                except LockError as error:
                    reasons, cached = [_busy(error)], False
                if reasons:
                    verdicts[name] = Verdict(reasons, cached)
    finally:
        repo.close()
    return verdicts


def _busy(error: Exception) -> str:
    blocker = re.search(r"\(PID (\d+)\): (.*)", str(error))
    return f"in use by process {blocker[1]} ({blocker[2]})" if blocker else "in use by another DVC process"


def _reasons(stage: "Stage", entries: list[Any]) -> list[str]:
    """DVC's account of one stage as sentences; a stage without a record in dvc.lock was never built."""
    if entries and all(not dep.hash_info for dep in stage.deps):
        return [NEVER]
    reasons: list[str] = []
    outputs: list[str] = []
    for entry in entries:
        if entry == "changed command":
            reasons.append("command changed in dvc.yaml")
            continue
        for path, state in entry.get("changed deps", {}).items():
            if isinstance(state, dict):
                reasons += settings_changed(*_settings(stage, path))
            else:
                what = "code" if path.startswith("src/") else "input"
                reasons.append(f"{what} {'changed' if state == 'modified' else state}: {path}")
        outputs += [f"output {state}: {path}" for path, state in entry.get("changed outs", {}).items()]
    return reasons or outputs


def _settings(stage: "Stage", path: str) -> tuple[Any, Any]:
    """What dvc.lock recorded of a params file, and what the file says now."""
    dependency = next(dep for dep in stage.deps if str(dep) == path or dep.def_path == path)
    return dependency.hash_info.value or {}, dependency.read_params(flatten=False)


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


def _in_run_cache(repo: "Repo", stage: "Stage") -> bool:
    """DVC would restore this stage instead of running it.  Asked last: it forgets what dvc.lock recorded."""
    from dvc.exceptions import DvcException

    try:
        stage.save_deps()
        found = repo.stage_cache._load(stage)
        return bool(found) and repo.stage_cache._create_stage(found, wdir=stage.wdir).outs_cached()
    except DvcException:  # an input is missing
        return False
