"""A sweep: cells with varied settings, built as a DVC pipeline next to the project's own.

    python -m pipelines.sweep -m policy.adaptive_kl.target=4,8,12

A point that equals a cell of the project's grid, or of another sweep, is that cell.  The other points go to
sweeps/target-4-8-12/: instances.yaml, dvc.yaml (the project's, with other paths), params/, and their results.
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

NO_SETTINGS = re.compile(r"(hydra|sweep)[./]|(grid|plan|plan[.]tflops)$")  # keys that are not settings of a cell
AMBIGUOUS = {"lr", "batch_size", "seed", "adam", "adam_eps", "rollout_batch", "name"}  # last words of several settings
LONGEST = 80  # characters of a folder's name

# In dvc.yaml, the start of a path that contains the stage's id.
_PATH_WITH_KEY = re.compile(r"(?<![\w./])(?=(?:params|data|models|reports)/\S*\$\{key\})")


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep, composed and checked.

    `overrides`: those for Hydra, the grid's base first; `grid`: every point as a cell, with the stages that it needs;
    `project`: the grid of instances.yaml.
    """

    root: Path
    name: str
    overrides: list[str]
    grid: Grid
    project: Grid

    @property
    def at(self) -> str:
        """The folder of the sweep, `sweeps/NAME/`."""
        return folder(self.name)

    @property
    def has_stages(self) -> bool:
        """Whether some of its stages are in no other pipeline, so that it needs a folder."""
        return any(instance.at == self.at for instance in self.grid.instances.values())


def folder(name: str) -> str:
    """The folder of a sweep."""
    return f"sweeps/{name}/"


def make(root: Path, typed: list[str], grid_name: str) -> Sweep:
    """Compose and check all points of a sweep; nothing is written.

    `typed`: the user's overrides; `grid_name`: the grid of conf/grid/ whose `base` applies.  Raises PreflabError for a
    wrong override, or if instances.yaml is older than conf/ (the sweep would share no stage with it).
    """
    project = instances_yaml.check(root)
    typed = [named(override, root / "conf") for override in typed]
    keys = {key_of(override) for override in typed}
    base = [override for override in spec(root, grid_name).get("base") or [] if key_of(override) not in keys]
    name = _slug(typed, grid_name)
    overrides = base + typed
    listed = instances_yaml.listed(root, except_at=folder(name))
    return Sweep(root, name, overrides, _expand(root, grid_name, [overrides], typed, folder(name), listed), project)


def load(root: Path, jobs: list[list[str]], grid_name: str, name: str) -> Grid:
    """The points of a sweep that `write` has written, from the overrides of each of Hydra's `jobs`."""
    return _expand(root, grid_name, jobs, [], folder(name), instances_yaml.listed(root))


def write(sweep: Sweep) -> None:
    """Write the project's params/ and, if the sweep has stages of its own, the files of its folder."""
    instances_yaml.write_params(sweep.root, sweep.project)
    if sweep.has_stages:
        instances_yaml.write(sweep.root, sweep.grid, sweep.at)
        instances_yaml.write_params(sweep.root, sweep.grid, sweep.at)
        files.replace(sweep.root / sweep.at / "dvc.yaml", _pipeline(sweep.root, sweep.at))


def remove(sweep: Sweep) -> None:
    """Remove a sweep's folder that was only written for a plan."""
    shutil.rmtree(sweep.root / sweep.at, ignore_errors=True)
    parent = sweep.root / "sweeps"
    if parent.exists() and not any(parent.iterdir()):
        parent.rmdir()


def _expand(
    root: Path, grid_name: str, lines: list[list[str]], typed: list[str], at: str, listed: dict[str, Any]
) -> Grid:
    """The grid of all points: each line of overrides is split into jobs as Hydra's own sweeper does.

    The axes of a point are the `typed` overrides.  `at`: the folder for new stages; `listed`: instances of other
    pipelines, by digest.
    """
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
        return expand(grid_name, points, answers.compose, at=at, listed=listed, typed=answers.typed)


def _pipeline(root: Path, at: str) -> str:
    """The project's dvc.yaml for the sweep in `at`: paths with ${key}, which belong to one stage, get this prefix."""

    def moved(node: Any) -> Any:
        if isinstance(node, dict):
            return {moved(key): moved(value) for key, value in node.items()}
        if isinstance(node, list):
            return [moved(value) for value in node]
        return _PATH_WITH_KEY.sub(at, node) if isinstance(node, str) else node

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
    """Whether an override is a setting of a cell, not one of the sweep command or of Hydra."""
    return not NO_SETTINGS.match(key_of(override))


def _short(key: str) -> str:
    """`target` of policy.adaptive_kl.target; `reward.lr` of reward.lr, since several groups have an lr."""
    words = re.split("[./]", key.lstrip("+~"))
    return ".".join(words[-2:] if words[-1] in AMBIGUOUS else words[-1:])


def _slug(typed: list[str], grid_name: str) -> str:
    """The sweep's name, `target-4-8-12` for policy.adaptive_kl.target=4,8,12.

    Equal overrides give an equal name, so that the same command continues a sweep.
    """
    settings = [override.partition("=") for override in typed if _is_setting(override)]
    parts = [grid_name] if grid_name != DEFAULT else []
    parts += [f"{_short(key)}-{value}" for key, _, value in settings]
    text = "_".join(re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.") for part in parts) or grid_name
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST - 7]}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
