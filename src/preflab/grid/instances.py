"""From cells to stage instances: equal settings and equal inputs make one instance, different ones never do.

    cell  sentiment, 60k labels, offline, seed 1          cell  sentiment, 60k labels, online, seed 1
      └ evaluate ─ ppo ─ reward sentiment-60k-1             └ evaluate ─ ppo ─ reward sentiment-3k-1
                     └─────── comparisons sentiment-tiny ───────┘   …one instance, listed once, run once

Pure functions: conf/ is composed by grid/compose.py, files are written by grid/instances_yaml.py.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from preflab.errors import PreflabError
from preflab.grid import code
from preflab.grid.checks import checked
from preflab.grid.kinds import (
    BASE,
    KINDS,
    METHODS,
    ROW_IDS,
    USUAL,
    Kind,
    Settings,
    files_of,
    order,
    scorer_module,
    scorers,
    settings_for_slot,
)
from preflab.grid.points import Point

CellRow = dict[str, Any]  # a cell in params/report.yaml: what a table shows of it, and the ids of its stages
Graph = dict[str, set[str]]  # DVC's name of a stage → those of the stages that it reads

UNNAMED = ("none", "rl", "best_of_n")  # choices that a name does not show, or shows in another word
ALWAYS = ("prepare", "comparisons", "zero_shot")  # stages of every cell
HEX = 6  # digits of the digest that tell two instances with the same readable name apart


@dataclass(frozen=True, slots=True)
class Instance:
    """One stage to be run once.

    `at`: the folder of its pipeline, "" for the project's own, "sweeps/NAME/" for a sweep's; `settings`: those that it
    owns; `upstream`: the instances that it reads, by slot; `digest`: of kind, settings and upstream.
    """

    kind: str
    id: str
    at: str
    digest: str
    settings: Settings = field(hash=False)
    upstream: dict[str, "Instance"] = field(hash=False)

    @property
    def out(self) -> str:
        """The folder of its output."""
        return f"{self.at}{KINDS[self.kind].folder}/{self.id}"

    @property
    def params(self) -> str:
        """The file of its settings."""
        return f"{self.at}params/{self.kind}/{self.id}.yaml"

    @property
    def reads(self) -> dict[str, str]:
        """The paths that it reads: the outputs of the stages upstream, by slot, and a file of human labels."""
        folders = {slot: instance.out for slot, instance in self.upstream.items()}
        return folders | files_of(self.kind, self.settings, self.params)

    @property
    def modules(self) -> list[str]:
        """The dotted names of the modules that its settings name, with those of the labeller that it depends on."""
        kind = KINDS[self.kind]
        names = kind.plugins(self.settings)
        if kind.scores(self.settings) and (labeller := _labeller(self)):
            names += scorers(labeller) + ([scorer_module(labeller["judge"])] if kind.judges else [])
        return sorted(set(names))

    @property
    def code(self) -> str:
        """The file with the digests of the modules that compute it (grid/code.py)."""
        return f"{self.at}params/code/{code.file_name(self.kind, self.modules)}"

    @property
    def stage(self) -> str:
        """DVC's name of it: `ppo@ID`, or `sweeps/NAME/dvc.yaml:ppo@ID`."""
        return f"{self.at}dvc.yaml:{self.kind}@{self.id}" if self.at else f"{self.kind}@{self.id}"


def _labeller(instance: Instance) -> Settings | None:
    """The settings of the labeller of the comparisons upstream; None if there are none."""
    if "labeller" in instance.settings:
        labeller: Settings = instance.settings["labeller"]
        return labeller
    slots = [slot for slot in ("comparisons", "zero_shot") if slot in instance.upstream]
    return _labeller(instance.upstream[slots[0]]) if slots else None


class Listed(NamedTuple):
    """An instance in an instances.yaml: its id, the folder `at` of its pipeline, and the paths that it reads."""

    id: str
    at: str
    reads: dict[str, str]


@dataclass(slots=True)
class Grid:
    """A grid, composed: its `cells` by id, and the `instances` of all their stages by digest, upstream first.

    `scale`, `episode_scale`: what the paper's budgets of labels and of episodes are multiplied by.
    """

    name: str
    scale: str
    episode_scale: str
    cells: dict[str, CellRow]
    instances: dict[str, Instance]

    def graph(self) -> Graph:
        """DVC's name of every stage, upstream first, and the stages that it reads."""
        stages: Graph = {"params": set()}
        for instance in self.instances.values():
            stages[instance.stage] = {upstream.stage for upstream in instance.upstream.values()}
            if not instance.at:
                stages[instance.stage].add("params")
        return stages

    def stage_of(self, cell: str) -> str:
        """DVC's name of the last stage of a cell, its evaluation."""
        row = self.cells[cell]
        final = METHODS[row["method"]][-1]
        return next(i.stage for i in self.instances.values() if (i.kind, i.id) == (final, row["evaluate"]))


def expand(
    name: str,
    cells: list[Point],
    compose: Callable[[list[str]], Settings],
    zero_shot: bool = True,
    at: str = "",
    listed: dict[str, Listed] | None = None,
    typed: dict[str, Settings] | None = None,
) -> Grid:
    """Compose and check every cell, then name its instances.

    `compose`: from overrides to a cell's configuration; `zero_shot`: whether the reference is a cell too; `at`: the
    folder of the pipeline for new instances; `listed`: the instances of other pipelines by digest, which are shared;
    `typed`: settings that have been checked already (checks.checked), to which new ones are added.

    Raises one PreflabError with all problems of all cells, a line each.
    """
    problems: list[str] = []
    typed = {} if typed is None else typed
    composed: list[tuple[Point, Settings, dict[str, Settings]]] = []
    for point in cells:
        try:
            settings = compose(point.overrides)
            composed.append((point, settings, checked(settings, typed)))
        except PreflabError as error:
            problems += [line for line in str(error).split("\n") if line not in problems]
    if problems:
        raise PreflabError("\n       ".join(problems))
    if not composed:
        raise PreflabError(f"conf/grid/{name}.yaml: no cells; give it a `product`, or rows under `include`")
    first = composed[0][1]
    grid = Grid(name, str(first["scale"]), str(first["episode_scale"]), {}, {})
    namer = _Namer(grid.instances, listed or {}, at)
    for point, settings, owned in composed:
        stages: dict[str, Instance] = {}  # by slot
        method = settings["method"]["name"]
        for slot, kind in order(settings):
            upstream = {name: stages[_filled_by(name, method, stages)] for name in kind.upstream}
            stages[slot] = namer.instance(kind, settings_for_slot(slot, settings), owned[slot], upstream, point.axes)
        for shown in ["zero_shot", method] if zero_shot else [method]:
            final = stages[METHODS[shown][-1]]
            grid.cells.setdefault(final.id, _row(shown, settings, point.axes, stages))
    return grid


def _filled_by(slot: str, method: str, stages: dict[str, Instance]) -> str:
    """The slot whose stage an upstream slot stands for."""
    if slot == "model" and method == "supervised_rl" and "sft" in stages:
        return "sft"  # policy and reward model start from the supervised model, their reference
    if slot == "classifier_corpus" and slot not in stages:
        return "fetch"  # the corpus of the queries
    return slot


def digest(kind: str, settings: Settings, upstream: dict[str, Instance]) -> str:
    """12 hex digits that identify an instance: its kind, the settings that it owns, and what it reads."""
    identity = [kind, settings, {role: instance.digest for role, instance in sorted(upstream.items())}]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def _row(method: str, settings: Settings, axes: dict[str, str], stages: dict[str, Instance]) -> CellRow:
    """The row of a cell; labels, policy or seed are null where its method has none.

    `axes`: its axes in the grid; `stages`: its instances by slot.
    """
    labels, policy, labeller = settings["labels"], settings["policy"], settings["labeller"]
    chain = METHODS[method]
    learned, trained, seeded = "reward" in chain, "ppo" in chain, len(chain) > 1
    adaptive = policy["adaptive_kl"] if trained else None
    human = labeller.get("human_labels") is not None and not labels["direct"]
    collection = "offline" if labels["direct"] or not trained else settings["collection"]["name"]
    row: CellRow = {
        "task": settings["task"]["name"],
        "model": settings["model"]["name"],
        "method": method,
        "labels": labels["name"] if learned else None,
        "collection": collection if learned else None,
        "ablation": settings["ablation"]["name"] if learned else "none",
        "seed": settings["seed"] if seeded else None,
        "num_train": labels["num_train"] if learned else 0,
        "scale": str(settings["scale"]),
        "episodes": policy["episodes"] if trained else 0,
        "kl_target": adaptive["target"] if adaptive else None,
        "labeller": labeller["name"],
        "agreement": None if human else labeller["agreement"],  # that of human labels is measured, not set
        "synthetic": not human,
    }
    row |= {"overrides": {key: value for key, value in axes.items() if key not in USUAL} if seeded else {}}
    slots = {slot for slot in stages if slot in (*ALWAYS, *chain)}
    ids = {stages[slot].kind: stages[slot] for slot in slots if stages[slot].kind in ROW_IDS}
    ids = {kind: ids[kind] for kind in ROW_IDS if kind in ids} | {"evaluate": stages[chain[-1]]}
    row |= {kind: instance.id for kind, instance in ids.items()}
    base = {slot if slot in BASE else stages[slot].kind: stages[slot] for slot in stages if slot in BASE}
    base = {stages[slot].kind if slot == "model" else slot: instance for slot, instance in base.items()}
    row |= {"base": {slot: instance.id for slot, instance in base.items()}}
    folders = {name: instance.at for name, instance in (ids | base).items() if instance.at}
    return row | ({"at": folders} if folders else {})


class _Namer:
    """Gives each instance its id; equal digests are the same instance.

    `instances`: by digest, those named already, to which new ones are added; `listed`: by digest, those of other
    pipelines; `at`: the folder of the pipeline for new ones.
    """

    def __init__(self, instances: dict[str, Instance], listed: dict[str, Listed], at: str) -> None:
        self.instances, self.listed, self.at = instances, listed, at
        self.taken: set[tuple[str, str]] = set()  # (folder, id): two kinds may write to one folder
        self.listed_ids = {other.id for other in listed.values()}

    def instance(
        self,
        kind: Kind,
        settings: Settings,
        owned: Settings,
        upstream: dict[str, Instance],
        axes: dict[str, str],
    ) -> Instance:
        """The instance with these settings and inputs: one named already, one of another pipeline, or a new one.

        `settings`: the cell's; `owned`: those that the kind owns; `upstream`: by slot; `axes`: the cell's in the grid.
        """
        key = digest(kind.name, owned, upstream)
        if key in self.instances:
            return self.instances[key]
        name, at = _name(kind, settings, owned, axes), self.at
        other = self.listed.get(key)
        if other and other.reads == Instance(kind.name, other.id, other.at, key, owned, upstream).reads:
            name, at = other.id, other.at
        elif (kind.folder, name) in self.taken or name in self.listed_ids:
            name = f"{name}-{key[:HEX]}"
        self.taken.add((kind.folder, name))
        self.instances[key] = Instance(kind.name, name, at, key, owned, upstream)
        return self.instances[key]


def _name(kind: Kind, settings: Settings, owned: Settings, axes: dict[str, str]) -> str:
    """`sentiment-5k-offline-target4-1`: its name in the paper's tables, then other axes of the grid, then the seed."""
    parts = kind.words(settings, owned)
    for key, value in axes.items():
        if key not in USUAL and value not in UNNAMED and key.split(".")[0] in kind.axes:
            text = f"{key.rpartition('.')[2]}{value}" if "." in key else value
            parts = parts if text in parts else [*parts, text]
    if kind.seeded(owned):
        parts = [*parts, str(settings["seed"])]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(parts))
