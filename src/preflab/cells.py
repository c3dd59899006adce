"""cells.yaml and params/: a grid as files that DVC reads.  cells.yaml is generated and committed, like a lock file."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from preflab import code, grid
from preflab.composed import remembered
from preflab.errors import PreflabError, did_you_mean
from preflab.grid import Grid, Listed
from preflab.kinds import EVALUATIONS, INSTEAD, KINDS

HEADER = "# Generated from conf/ by `python -m pipelines.grid`, committed, read by dvc.yaml.  Do not edit.\n"
DEFAULT = "quick"
CODE = "# code "  # what a file of settings begins with, before the md5 of params/code/KIND.yaml


class _Dumper(yaml.CSafeDumper):
    """Quotes every string that YAML 1.2 (DVC) might take for a number and YAML 1.1 (PyYAML) would not."""


def _string(dumper: yaml.CSafeDumper, text: str) -> yaml.ScalarNode:
    number_like = text[:1].isdigit() and not text.strip("0123456789abcdefABCDEF._+-xo")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if number_like else None)


_Dumper.add_representer(str, _string)


def dump(data: Any) -> str:
    """YAML that DVC and OmegaConf read alike."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def read(path: Path) -> Any:
    """What `dump` wrote."""
    return parse(path.read_text())


def parse(text: str) -> Any:
    return yaml.load(text, yaml.CSafeLoader)


def names(root: Path) -> list[str]:
    """The grids that conf/ offers."""
    return sorted(path.stem for path in (root / "conf" / "grid").glob("*.yaml"))


def spec(root: Path, name: str) -> dict[str, Any]:
    """conf/grid/NAME.yaml; with `extends: OTHER` the `base` of that grid in front, but for keys that it sets itself."""
    found = _spec(root, name)
    if other := found.pop("extends", None):
        try:
            there = _spec(root, other)
        except PreflabError as error:
            raise PreflabError(f"conf/grid/{name}.yaml: extends: {error}") from None
        if "extends" in there:
            raise PreflabError(f"conf/grid/{name}.yaml: extends: {other} extends a grid itself; name one that does not")
        own = found.get("base") or []
        keys = {grid.key_of(override) for override in own}
        found["base"] = [override for override in there.get("base") or [] if grid.key_of(override) not in keys] + own
    return found


def _spec(root: Path, name: str) -> dict[str, Any]:
    if name not in names(root):
        raise PreflabError(f"grid {name!r}: no such file in conf/grid/; {did_you_mean(name, names(root))}")
    from omegaconf import OmegaConf

    found: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(root / "conf" / "grid" / f"{name}.yaml"))  # type: ignore[assignment]
    allowed = ["extends", "base", "product", "include", "seeds", "zero_shot"]
    for key in found:
        if key not in allowed:
            raise PreflabError(f"conf/grid/{name}.yaml: {key}: no such key; {did_you_mean(key, allowed)}")
    return found


def build(root: Path, name: str) -> Grid:
    """The grid NAME, composed and checked."""
    wanted = spec(root, name)
    with remembered(root) as answers:
        zero_shot = wanted.get("zero_shot", True)
        return grid.expand(name, grid.points(wanted), answers.compose, zero_shot=zero_shot, typed=answers.typed)


def current_name(root: Path) -> str | None:
    """The grid that cells.yaml was generated from; None if there is no cells.yaml."""
    path = root / "cells.yaml"
    return (read(path) or {}).get("grid") if path.exists() else None


def as_data(built: Grid, at: str = "") -> dict[str, Any]:
    """What cells.yaml holds: of each kind this pipeline's instances with the paths that they read."""
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
    """What the stage `report` needs to know: it never composes Hydra.  (DVC reads cells.yaml twice: not in there.)"""
    return {
        "grid": built.name,
        "scale": built.scale,
        "episode_scale": built.episode_scale,
        "cells": built.cells,
    }


def text(built: Grid, at: str = "") -> str:
    return HEADER + dump(as_data(built, at))


def check(root: Path) -> Grid:
    """The grid of cells.yaml, or an error that says what to type if conf/ no longer gives the same."""
    path = root / "cells.yaml"
    name = current_name(root)
    if name is None:
        raise PreflabError(
            f"cells.yaml: not found or not generated; type `python -m pipelines.grid {DEFAULT}`, then `dvc repro`"
        )
    built = build(root, name)
    old, new = read(path), as_data(built)
    if old == new:
        return built
    changed = [key for key in new if old.get(key) != new[key]] or ["a key that it has too many"]
    raise PreflabError(
        f"cells.yaml: differs from what conf/ gives for the grid {name!r} in {', '.join(changed)}; "
        "type `python -m pipelines.grid`, then `dvc repro` again"
    )


def write(root: Path, built: Grid, at: str = "") -> bool:
    """Write cells.yaml of the project, or of a sweep; whether anything changed."""
    return replace(root / at / "cells.yaml", text(built, at))


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
    folders |= {f"reports/{kind}": kind for kind in ("prepare", "labels", "comparisons", "reward", "ppo", "sft")}
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
    """By digest: the instances of every sweep's cells.yaml (but one), and of the project's own."""
    found: dict[str, Listed] = {}
    for path in [*sorted(root.glob("sweeps/*/cells.yaml")), root / "cells.yaml"]:
        at = "" if path.parent == root else f"{path.parent.relative_to(root).as_posix()}/"
        if at == except_at:
            continue
        data = read(path)
        for kind in KINDS:
            for identifier, item in data[kind].items():
                reads = {role: folder for role, folder in item.items() if role != "settings"}
                found[item["settings"]] = Listed(identifier, at, reads)
    return found


def replace(path: Path, content: str) -> bool:
    """Replace the file if its content differs, atomically: another process may be reading it."""
    if path.exists() and path.read_text() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(content)
    beside.replace(path)
    return True
