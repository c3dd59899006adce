"""instances.yaml and params/: a grid as files that DVC reads.

instances.yaml lists the stage instances; it is generated and committed, like a lock file.
"""

import shutil
from pathlib import Path
from typing import Any

from preflab.errors import PreflabError
from preflab.files import dump, read, replace
from preflab.grid import code
from preflab.grid.instances import Grid, Listed
from preflab.grid.kinds import KINDS
from preflab.grid.specs import DEFAULT, build

HEADER = "# Generated from conf/ by `python -m pipelines.grid`, committed, read by dvc.yaml.  Do not edit.\n"


def current_name(root: Path) -> str | None:
    """The grid that instances.yaml was generated from; None if there is no instances.yaml."""
    path = root / "instances.yaml"
    return (read(path) or {}).get("grid") if path.exists() else None


def as_data(built: Grid, at: str = "") -> dict[str, Any]:
    """The content of instances.yaml of the pipeline in the folder `at`: of each kind, its instances by id.

    Each has the digest of what it is (`settings`), its list of code, and the paths that it reads.
    """
    data: dict[str, Any] = {"grid": built.name, "scale": built.scale, "episode_scale": built.episode_scale}
    for kind in KINDS:
        data[kind] = {
            instance.id: {
                "settings": instance.digest,
                "code": instance.code,
                **instance.reads,
            }
            for instance in built.instances.values()
            if instance.kind == kind and instance.at == at
        }
    return data


def report_params(built: Grid) -> dict[str, Any]:
    """The content of params/report.yaml: the cells of the grid, for the stage `report`, which never composes Hydra.

    It is not part of instances.yaml, because DVC reads that file twice.
    """
    return {
        "grid": built.name,
        "scale": built.scale,
        "episode_scale": built.episode_scale,
        "cells": built.cells,
    }


def text(built: Grid, at: str = "") -> str:
    """instances.yaml of the pipeline in the folder `at`."""
    return HEADER + dump(as_data(built, at))


def check(root: Path) -> Grid:
    """The grid of instances.yaml, composed again.

    Raises PreflabError, with the command to type, if instances.yaml is missing or differs from what conf/ gives now.
    """
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
    changed = [key for key in new if old.get(key) != new[key]] or ["a key that conf/ does not give"]
    raise PreflabError(
        f"instances.yaml: differs from what conf/ gives for the grid {name!r} in {', '.join(changed)}; "
        "type `python -m pipelines.grid`, then `dvc repro` again"
    )


def write(root: Path, built: Grid, at: str = "") -> bool:
    """Write instances.yaml of the project, or of the sweep in the folder `at`; True if it changed."""
    return replace(root / at / "instances.yaml", text(built, at))


def write_params(root: Path, built: Grid, at: str = "") -> None:
    """Write the params file of each instance of the pipeline in the folder `at`, and the lists of their code.

    Unchanged files are not touched; other files in its params/ are removed.
    """
    folder = root / at / "params"
    instances = [instance for instance in built.instances.values() if instance.at == at]
    texts = {root / instance.params: dump(instance.settings) for instance in instances}
    for path, instance in {root / instance.code: instance for instance in instances}.items():
        texts[path] = dump(code.digests(root, KINDS[instance.kind].script, instance.modules))
    if not at:
        texts[folder / "code" / "report.yaml"] = dump(code.digests(root, "report"))
        texts[folder / "report.yaml"] = dump(report_params(built))
    for path, content in texts.items():
        replace(path, content)
    for path in [file for file in folder.rglob("[!.]*") if file.is_file() and file not in texts]:
        path.unlink(missing_ok=True)  # DVC ignores a folder that stays empty


def code_file(params: Path) -> list[Path]:
    """The list of the code that the stage of a params file depends on; empty if no instances.yaml has the stage."""
    at = params.parent.parent.parent
    path = at / "instances.yaml"
    item = (read(path) or {}).get(params.parent.name, {}).get(params.stem) if path.exists() else None
    return [Path(item["code"])] if item and Path(item["code"]).exists() else []


def prune(root: Path, built: Grid) -> list[Path]:
    """Remove the results of instances that the grid no longer has from the folders that `report` depends on as a whole.

    Returns the removed paths.  DVC's cache still has them and restores them if the old settings come back.
    """
    results = [
        (template.replace("{id}", instance.id))
        for instance in built.instances.values()
        for template in _results(instance.kind)
    ]
    folders = {str(Path(template).parent) for kind in KINDS for template in _results(kind)}
    removed = []
    for folder in sorted(folders):
        for path in sorted((root / folder).glob("[!.]*")):
            if f"{folder}/{path.name}" not in results:
                removed.append(path)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return removed


def _results(kind: str) -> list[str]:
    """The paths, with {id}, of the results of a kind in the folders that the report reads."""
    samples = ["data/samples/{id}"] if KINDS[kind].evaluates else []
    return [*KINDS[kind].results.values(), *samples]


def listed(root: Path, except_at: str | None = None) -> dict[str, Listed]:
    """By digest, the instances in the project's instances.yaml and in that of every sweep except `except_at`."""
    instances: dict[str, Listed] = {}
    for path in [*sorted(root.glob("sweeps/*/instances.yaml")), root / "instances.yaml"]:
        at = "" if path.parent == root else f"{path.parent.relative_to(root).as_posix()}/"
        if at == except_at:
            continue
        data = read(path)
        for kind in KINDS:
            for identifier, item in data[kind].items():
                reads = {slot: folder for slot, folder in item.items() if slot not in ("settings", "code")}
                instances[item["settings"]] = Listed(identifier, at, reads)
    return instances
