"""A sweep: points around a grid, built as a pipeline beside the project's own.

    python -m pipelines.sweep -m policy.adaptive_kl.target=4,8,12

A point that equals a cell of the project's grid, or of another sweep, is that cell.  The others go to
sweeps/target-4-8-12/: instances.yaml, dvc.yaml (the project's, with other paths), params/, and what their stages build.
"""

import hashlib
import re
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from preflab import files
from preflab.errors import PreflabError
from preflab.grid import instances_yaml
from preflab.grid.compose import named
from preflab.grid.compose_cache import remembered
from preflab.grid.instances import Grid, expand
from preflab.grid.points import Point, key_of
from preflab.grid.specs import DEFAULT, spec

OWN = re.compile(r"(hydra|sweep)[./]|(grid|plan|plan[.]tflops)$")  # keys that are not settings of a cell
AMBIGUOUS = {"lr", "batch_size", "seed", "adam", "adam_eps", "rollout_batch", "name"}  # last words of several settings
LONGEST = 80  # characters of a folder's name

_OWN_PATH = re.compile(r"(?<![\w./])(?=(?:params|data|models|reports)/\S*\$\{key\})")  # where such a path starts


@dataclass(frozen=True, slots=True)
class Sweep:
    """`overrides`: what Hydra gets, the grid's base first; `grid`: every point, and the stages that
    they need; `project`: that of instances.yaml."""

    root: Path
    name: str
    overrides: list[str]
    grid: Grid
    project: Grid

    @property
    def at(self) -> str:
        return folder(self.name)

    @property
    def own(self) -> bool:
        """Some stage of it is in no other pipeline."""
        return any(instance.at == self.at for instance in self.grid.instances.values())


def folder(name: str) -> str:
    return f"sweeps/{name}/"


def make(root: Path, typed: list[str], grid_name: str) -> Sweep:
    """Compose and check all points; nothing is written.  instances.yaml must be current, or nothing would be shared."""
    project = instances_yaml.check(root)
    typed = [named(override, root / "conf") for override in typed]
    keys = {key_of(override) for override in typed}
    base = [override for override in spec(root, grid_name).get("base") or [] if key_of(override) not in keys]
    name = _slug(typed, grid_name)
    overrides = base + typed
    listed = instances_yaml.listed(root, except_at=folder(name))
    return Sweep(root, name, overrides, _expand(root, grid_name, [overrides], typed, folder(name), listed), project)


def load(root: Path, jobs: list[list[str]], grid_name: str, name: str) -> Grid:
    """The same points again from the overrides of Hydra's jobs, once `write` has listed all their stages."""
    return _expand(root, grid_name, jobs, [], folder(name), instances_yaml.listed(root))


def write(sweep: Sweep) -> None:
    """The project's params/ and, if the sweep has stages of its own, its folder."""
    instances_yaml.write_params(sweep.root, sweep.project)
    if sweep.own:
        instances_yaml.write(sweep.root, sweep.grid, sweep.at)
        instances_yaml.write_params(sweep.root, sweep.grid, sweep.at)
        files.replace(sweep.root / sweep.at / "dvc.yaml", _pipeline(sweep.root, sweep.at))


def remove(sweep: Sweep) -> None:
    """Forget a folder that only a plan has written."""
    shutil.rmtree(sweep.root / sweep.at, ignore_errors=True)
    parent = sweep.root / "sweeps"
    if parent.exists() and not any(parent.iterdir()):
        parent.rmdir()


def _expand(
    root: Path, grid_name: str, lines: list[list[str]], typed: list[str], at: str, listed: dict[str, Any]
) -> Grid:
    """Each line of overrides as Hydra's own sweeper splits it, composed; axes are what was typed."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    keys = {key_of(override) for override in typed}
    points: list[Point] = []
    with remembered(root) as answers:
        if any("glob(" in override for line in lines for override in line):  # its choices are in conf/
            answers.start()
        loader = GlobalHydra.instance().config_loader() if GlobalHydra.instance().is_initialized() else None
        parsed = cache(lambda override: OverridesParser.create(loader).parse_overrides([override])[0])
        for line in lines:
            try:
                jobs = BasicSweeper.split_arguments([parsed(o) for o in line if _is_setting(o)], None)[0]
            except HydraException as error:
                raise PreflabError(f"{' '.join(line)}: {str(error).splitlines()[0]}") from error
            for job in jobs:
                axes = {key_of(o): o.partition("=")[2] for o in job if key_of(o) in keys}
                points.append(Point(list(job), axes))
        return expand(grid_name, points, answers.compose, at=at, known=listed, typed=answers.typed)


def _pipeline(root: Path, at: str) -> str:
    """The project's dvc.yaml for the stages of a sweep: what holds ${key} is the stage's own and moves to the sweep."""

    def moved(node: Any) -> Any:
        if isinstance(node, dict):
            return {moved(key): moved(value) for key, value in node.items()}
        if isinstance(node, list):
            return [moved(value) for value in node]
        return _OWN_PATH.sub(at, node) if isinstance(node, str) else node

    project = files.read(root / "dvc.yaml")
    up = "/".join(".." for _ in Path(at).parts)
    stages = {
        name: {"foreach": stage["foreach"], "do": {"wdir": up, **moved(stage["do"])}}
        for name, stage in project["stages"].items()
        if "foreach" in stage
    }
    header = "# Generated from the project's dvc.yaml by `python -m pipelines.sweep`.  Do not edit.\n"
    return header + files.dump({"vars": project["vars"], "stages": stages})


def _is_setting(override: str) -> bool:
    """Of a cell: neither the sweep's own nor Hydra's."""
    return not OWN.match(key_of(override))


def _short(key: str) -> str:
    """`target` of policy.adaptive_kl.target, but `reward.lr` of reward.lr: another group has such a word too."""
    words = re.split("[./]", key.lstrip("+~"))
    return ".".join(words[-2:] if words[-1] in AMBIGUOUS else words[-1:])


def _slug(typed: list[str], grid_name: str) -> str:
    """`target-4-8-12` for policy.adaptive_kl.target=4,8,12: always the same, so that a sweep can be continued."""
    settings = [override.partition("=") for override in typed if _is_setting(override)]
    parts = [grid_name] if grid_name != DEFAULT else []
    parts += [f"{_short(key)}-{value}" for key, _, value in settings]
    text = "_".join(re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.") for part in parts) or grid_name
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST - 7]}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
