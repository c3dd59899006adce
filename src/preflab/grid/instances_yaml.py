"""instances.yaml and params/: a grid as files that DVC reads.  instances.yaml is generated and committed, like a lock file."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

from preflab.errors import PreflabError
from preflab.files import dump, read, replace
from preflab.grid import code
from preflab.grid.instances import Grid, Listed
from preflab.grid.kinds import EVALUATIONS, INSTEAD, KINDS
from preflab.grid.specs import DEFAULT, build

HEADER = "# Generated from conf/ by `python -m pipelines.grid`, committed, read by dvc.yaml.  Do not edit.\n"


CODE = "# code "  # what a file of settings begins with, before the md5 of params/code/KIND.yaml


def current_name(root: Path) -> str | None:
    """The grid that instances.yaml was generated from; None if there is no instances.yaml."""
    path = root / "instances.yaml"
    return (read(path) or {}).get("grid") if path.exists() else None


def as_data(built: Grid, at: str = "") -> dict[str, Any]:
    """What instances.yaml holds: of each kind this pipeline's instances with the paths that they read."""
    data: dict[str, Any] = {"grid": built.name, "scale": built.scale, "episode_scale": built.episode_scale}
    for kind in KINDS:
        data[kind] = {
            instance.id: {
                "settings": instance.digest,
                **instance.reads,
            }
            for instance in built.instances.values()
            if instance.kind == kind and instance.at == at
        }
    return data


def report_params(built: Grid) -> dict[str, Any]:
    """What the stage `report` needs to know: it never composes Hydra.  (DVC reads instances.yaml twice: not in there.)"""
    return {
        "grid": built.name,
        "scale": built.scale,
        "episode_scale": built.episode_scale,
        "cells": built.cells,
    }


def text(built: Grid, at: str = "") -> str:
    return HEADER + dump(as_data(built, at))


def check(root: Path) -> Grid:
    """The grid of instances.yaml, or an error that says what to type if conf/ no longer gives the same."""
    path = root / "instances.yaml"
    name = current_name(root)
    if name is None:
        raise PreflabError(
            f"instances.yaml: not found or not generated; type `python -m pipelines.grid {DEFAULT}`, then `dvc repro`"
        )
    built = build(root, name)
    old, new = read(path), as_data(built)
    if old == new:
        return built
    changed = [key for key in new if old.get(key) != new[key]] or ["a key that it has too many"]
    raise PreflabError(
        f"instances.yaml: differs from what conf/ gives for the grid {name!r} in {', '.join(changed)}; "
        "type `python -m pipelines.grid`, then `dvc repro` again"
    )


def write(root: Path, built: Grid, at: str = "") -> bool:
    """Write instances.yaml of the project, or of a sweep; whether anything changed."""
    return replace(root / at / "instances.yaml", text(built, at))


def write_params(root: Path, built: Grid, at: str = "") -> None:
    """One file per instance with the md5 of its code and only the settings that it owns; the project's lists of code.

    Unchanged files are left alone, leftovers removed.
    """
    folder = root / at / "params"
    lists = {kind: dump(code.digests(root, about.script or kind)) for kind, about in KINDS.items()}
    mark = {kind: f"{CODE}{hashlib.md5(text.encode()).hexdigest()}\n" for kind, text in lists.items()}
    wanted = {root / i.params: mark[i.kind] + dump(i.settings) for i in built.instances.values() if i.at == at}
    if not at:
        wanted |= {folder / "code" / f"{kind}.yaml": text for kind, text in lists.items()}
        wanted[folder / "report.yaml"] = dump(report_params(built))
    for path, content in wanted.items():
        replace(path, content)
    for path in [file for file in folder.rglob("[!.]*") if file.is_file() and file not in wanted]:
        path.unlink(missing_ok=True)  # an empty folder that stays behind is nothing to DVC


def prune(root: Path, built: Grid) -> list[Path]:
    """Remove results of instances that the grid no longer has from the folders that `report` reads whole.

    DVC's cache still has them: going back to the old settings restores them.
    """
    ids: dict[str, set[str]] = {}
    for instance in built.instances.values():
        kind = "evaluate" if instance.kind in EVALUATIONS else INSTEAD.get(instance.kind, instance.kind)
        ids.setdefault(kind, set()).add(instance.id)
    folders = {"reports/metrics": "evaluate", "data/samples": "evaluate", "reports/curves": "ppo"}
    folders |= {f"reports/{kind}": kind for kind in ("prepare", "human_labels", "comparisons", "reward", "ppo", "sft")}
    ids["pretrain"] = {i.id for i in built.instances.values() if i.kind == "pretrain"}
    folders |= {"reports/pretrain": "pretrain"}
    removed = []
    for folder, kind in folders.items():
        for path in sorted((root / folder).glob("[!.]*")):
            if path.name.removesuffix(".json").removesuffix(".csv") not in ids.get(kind, set()):
                removed.append(path)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return removed


def listed(root: Path, except_at: str | None = None) -> dict[str, Listed]:
    """By digest: the instances of every sweep's instances.yaml (but one), and of the project's own."""
    found: dict[str, Listed] = {}
    for path in [*sorted(root.glob("sweeps/*/instances.yaml")), root / "instances.yaml"]:
        at = "" if path.parent == root else f"{path.parent.relative_to(root).as_posix()}/"
        if at == except_at:
            continue
        data = read(path)
        for kind in KINDS:
            for identifier, item in data[kind].items():
                reads = {role: folder for role, folder in item.items() if role != "settings"}
                found[item["settings"]] = Listed(identifier, at, reads)
    return found
