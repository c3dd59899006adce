"""The kinds of stage: one record each, with everything that orchestration needs to know about it.

A new kind is a record here, a body in stages/, a script in pipelines/ and an entry of dvc.yaml.  The functions take a
cell's composed configuration (`settings`), or the part of it that one stage owns (`owned`).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from preflab import plugins
from preflab.grid import flops, owns
from preflab.grid.flops import Shape
from preflab.grid.owns import Settings
from preflab.settings.cell import SAME

USUAL = ["task", "labels", "collection", "seed"]  # axes that the name of every cell shows, without a word for the axis


def _nothing(_owned: Settings) -> list[str]:
    return []


@dataclass(frozen=True)
class Kind:
    """One kind of stage.

    `folder`: of its outputs; `script`: its module in pipelines/.
    `owns`: from a cell's settings to the content of its params file; exactly the fields of its schema.
    `reads`: option of its script → the slot of the cell whose output the option names.
    `slot`: its place in a cell; kinds that can take the same place have the same slot.
    `axes`: the groups of settings whose axes show in its name; `words`: from a cell's settings and the owned ones to
    the parts of its name without axes and seed; `seeded`: whether the seed shows in its name.
    `plugins`: the dotted names of the modules that its settings name; `scores`: whether it loads the labeller of the
    comparisons; `judges`: whether it loads the judge as well.
    `work`: its variant, and the units of work that its time grows with.
    `flops`: from the owned settings, the model's shape and the number of training queries (None: not prepared yet) to
    its FLOPs (None: unknown); None for a kind that runs no network.
    `results`: the files that a cell's record keeps, by name; a .csv file has a row for each step.
    `weights`: copies of the model's weights in its output; `resumes`: copies in its checkpoint besides the trained one;
    None if it keeps no checkpoint.
    `shares`: several processes may share one stage (machine/parallel.py).
    """

    name: str
    folder: str
    reads: dict[str, str]
    owns: Callable[[Settings], Settings]
    axes: set[str]
    words: Callable[[Settings, Settings], list[str]]
    slot: str = ""
    script: str = ""
    seeded: Callable[[Settings], bool] = lambda _owned: False
    plugins: Callable[[Settings], list[str]] = _nothing
    scores: Callable[[Settings], bool] = lambda _owned: False
    judges: bool = False
    work: Callable[[Settings], tuple[str, list[float]]] = lambda _owned: ("", [])
    flops: Callable[[Settings, Shape, int | None], float | None] | None = None
    results: dict[str, str] = field(default_factory=dict)
    weights: Callable[[Settings], int] = lambda _owned: 0
    resumes: Callable[[Settings], int] | None = None
    shares: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "slot", self.slot or self.name)
        object.__setattr__(self, "script", self.script or self.name)

    @property
    def upstream(self) -> list[str]:
        """The slots that it reads."""
        return list(self.reads.values())

    @property
    def evaluates(self) -> bool:
        """Whether it evaluates responses, which is the last stage of a cell."""
        return self.script == "evaluate"


# --- names, modules, work ---------------------------------------------------------------------------------------------


def _of_group(group: str) -> Callable[[Settings, Settings], list[str]]:
    """Words: the name of the choice in a group."""
    return lambda _settings, owned: [str(owned[group]["name"])]


def _of_task(*more: str, model: bool = True) -> Callable[[Settings, Settings], list[str]]:
    """Words: task, model (unless `model` is false), then `more`: `sentiment-tiny-human`."""
    return lambda settings, _: [settings["task"]["name"], *([settings["model"]["name"]] if model else []), *more]


def _of_labels(settings: Settings, _owned: Settings) -> list[str]:
    """Words: `sentiment-5k-offline`, `sentiment-direct`."""
    labels = settings["labels"]
    collection = [] if labels["direct"] else [settings["collection"]["name"]]
    return [settings["task"]["name"], labels["name"], *collection]


def _readers(owned: Settings) -> list[str]:
    """Plugins: the readers of the corpora."""
    corpora = [owned["corpus"], owned.get("classifier_corpus")]
    return [f"preflab.corpora.readers.{corpus['reader']}" for corpus in corpora if corpus]


def _formats(owned: Settings) -> list[str]:
    """Plugins: the reader of a file of human labels; all readers if the format is recognised from the records."""
    name = owned["human_labels"]["format"]
    names = [name] if name else plugins.names("human_labels.readers")
    return [f"preflab.human_labels.readers.{name}" for name in names]


def scorers(labeller: Settings) -> list[str]:
    """The modules of the labeller's scores: that of the labeller itself, then those of the labellers in its pool."""
    pool = [scorer for taste in labeller.get("pool") or [] for scorer in taste["weights"]]
    return [scorer_module(scorer) for scorer in dict.fromkeys([labeller["scorer"], *pool])]


def scorer_module(scorer: str) -> str:
    """The module of a scorer: `preflab.labellers.vader` for `vader`, `mine.taste` for a user's `mine.taste.length`."""
    return scorer.rpartition(".")[0] if "." in scorer else f"preflab.labellers.{scorer}"


def _num_comparisons(owned: Settings) -> float:
    return float(owned["comparisons"]["num"] + owned["comparisons"]["heldout"])


def _ppo_work(owned: Settings) -> tuple[str, list[float]]:
    online = owned["online"] or {"retrainings": 0, "num_train": 0}
    retrainings = float(online["retrainings"])
    return "", [float(owned["policy"]["episodes"]), retrainings, retrainings * online["num_train"]]


def _evaluation_work(owned: Settings) -> tuple[str, list[float]]:
    return "", [float(owned["evaluation"]["contexts"] * owned.get("n", 1))]


_DATA = {"corpus", "classifier_corpus", "model", "pretrain", "task"}
_LABELLED = _DATA | {"labeller", "comparisons", "scale", "runtime"}
_REWARD = _LABELLED | {"reward", "labels", "collection", "ablation", "method", "sft"}
_POLICY = _REWARD | {"policy", "episode_scale"}
_QUERIES = {"queries": "prepare", "model": "model"}
_JUDGED = _QUERIES | {"reference": "zero_shot"}  # read by every evaluation except zero_shot
_METRICS = {"metrics.json": "reports/metrics/{id}.json"}


def _evaluating(
    name: str,
    reads: dict[str, str],
    owns: Callable[[Settings], Settings],
    axes: set[str],
    words: Callable[[Settings, Settings], list[str]],
    seeded: Callable[[Settings], bool] = lambda _owned: False,
    modules: Callable[[Settings], list[str]] = _nothing,
    count: Callable[[Settings, Shape, int | None], float | None] | None = flops.evaluation,
) -> Kind:
    """A kind that evaluates responses, by the script `evaluate`.  `modules`: its `plugins`; `count`: its `flops`."""
    return Kind(
        name, "data/samples", reads, owns, axes | {"evaluation"}, words, script="evaluate", seeded=seeded,
        plugins=modules, scores=lambda _owned: True, judges=True, work=_evaluation_work, flops=count, results=_METRICS,
    )  # fmt: skip


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in [
        Kind("fetch", "data/raw", {}, lambda s: {"corpus": s["corpus"]}, {"corpus"}, _of_group("corpus")),
        Kind(
            "model", "models/base", {}, lambda s: {"model": s["model"]}, {"model"}, _of_group("model"),
            weights=lambda _: 1,
        ),
        Kind(
            "pretrain", "models/base", {"corpus": "fetch"},
            lambda s: {"corpus": s["corpus"], "pretrain": s["pretrain"]},
            {"corpus", "pretrain"}, _of_group("pretrain"), slot="model", plugins=_readers,
            work=lambda owned: ("", [float(owned["pretrain"]["tokens"])]), flops=flops.pretrain,
            results={"pretrain.json": "reports/pretrain/{id}.json"}, weights=lambda _: 1, resumes=lambda _: 0,
        ),
        Kind(
            "prepare", "data/queries",
            {"corpus": "fetch", "classifier_corpus": "classifier_corpus", "model": "model"},
            owns.prepare, _DATA, _of_task(), plugins=_readers, results={"prepare.json": "reports/prepare/{id}.json"},
        ),
        Kind(
            "human_labels", "data/human_labels", {},
            lambda s: {"human_labels": s["labeller"].get("human_labels")}, {"labeller"}, _of_group("human_labels"),
            plugins=_formats, results={"human_labels.json": "reports/human_labels/{id}.json"},
        ),
        Kind(
            "comparisons", "data/comparisons", _QUERIES, owns.comparisons, _LABELLED, _of_task(),
            scores=lambda _: True, judges=True, work=lambda owned: ("", [_num_comparisons(owned)]),
            flops=flops.comparisons, results={"comparisons.json": "reports/comparisons/{id}.json"},
        ),
        Kind(
            "human_comparisons", "data/comparisons", {"labels": "human_labels", **_QUERIES},
            owns.comparisons, _LABELLED, _of_task("human"), slot="comparisons", scores=lambda _: True, judges=True,
            work=lambda owned: ("", [_num_comparisons(owned)]), flops=flops.human_comparisons,
            results={"comparisons.json": "reports/comparisons/{id}.json"},
        ),
        _evaluating(
            "zero_shot", _QUERIES | {"comparisons": "comparisons"},
            lambda s: owns.evaluation(s, frontier=s["evaluation"]["frontier"]), _LABELLED,
            _of_task("zero-shot", model=False),
        ),
        Kind(
            "sft", "models/base", _QUERIES,
            lambda s: {"task": owns.task(s), "sft": s["sft"], "runtime": s["runtime"], "seed": s["seed"]},
            _DATA | {"sft", "runtime"}, _of_task("supervised"), seeded=lambda _: True, flops=flops.sft,
            results={"sft.json": "reports/sft/{id}.json", "sft.csv": "reports/sft/{id}.csv"},
            weights=lambda _: 1, resumes=lambda _: 1,
        ),
        Kind(
            "reward", "models/reward", _QUERIES | {"comparisons": "comparisons"}, owns.reward, _REWARD,
            lambda s, owned: [s["task"]["name"], owned["initial"]["name"]], seeded=lambda owned: not owned["direct"],
            scores=lambda owned: bool(owned["direct"]),
            work=lambda owned: ("direct" if owned["direct"] else "trained", [float(owned["initial"]["num"])]),
            flops=flops.reward,
            results={"reward.json": "reports/reward/{id}.json", "reward.csv": "reports/reward/{id}.csv"},
            weights=lambda owned: 0 if owned["direct"] else 1, shares=True,
        ),
        Kind(
            "ppo", "models/policy", _QUERIES | {"comparisons": "comparisons", "reward": "reward"}, owns.ppo, _POLICY,
            _of_labels, seeded=lambda _: True, scores=lambda _: True, work=_ppo_work, flops=flops.ppo,
            results={"ppo.json": "reports/ppo/{id}.json", "curve.csv": "reports/curves/{id}.csv"},
            weights=lambda owned: 2 if owned["online"] else 1, resumes=lambda owned: 1 if owned["online"] else 0,
            shares=True,
        ),
        _evaluating(
            "evaluate", _JUDGED | {"policy": "ppo", "reward": "reward"}, owns.evaluation, _POLICY, _of_labels,
            seeded=lambda _: True,
        ),
        _evaluating(
            "supervised", _JUDGED | {"policy": "sft"}, owns.evaluation, _LABELLED | {"sft"},
            _of_task("supervised", model=False), seeded=lambda _: True,
        ),
        _evaluating(
            "best_of_n", _JUDGED | {"reward": "reward"},
            lambda s: owns.evaluation(s, "best_of_n", s["method"]["n"]), _REWARD,
            lambda s, owned: [s["task"]["name"], s["labels"]["name"], f"best-of-{owned['n']}"], seeded=lambda _: True,
        ),
        _evaluating(
            "text", _JUDGED, lambda s: owns.evaluation(s, s["method"]["name"]), _LABELLED,
            lambda s, owned: [s["task"]["name"], owned["method"]],
            modules=lambda owned: [f"preflab.evaluate.baselines.{owned['method']}"], count=None,
        ),
    ]
}  # fmt: skip

METHODS = {  # the kinds that a cell of each method needs besides those of every cell; the last is its evaluation
    "rl": ["reward", "ppo", "evaluate"],
    "supervised": ["sft", "supervised"],
    "supervised_rl": ["sft", "reward", "ppo", "evaluate"],
    "best_of_n": ["reward", "best_of_n"],
    **{name: ["text"] for name in plugins.names("evaluate.baselines")},
    "zero_shot": ["zero_shot"],
}
EVALUATIONS = [name for name, kind in KINDS.items() if kind.evaluates]
BASE = ["fetch", "classifier_corpus", "model", "pretrain", "human_labels"]  # ids that a cell's row has under `base`
# Ids that a cell's row has under these keys; `evaluate` is that of its evaluation, of any kind.
ROW_IDS = ["prepare", "comparisons", "human_comparisons", "sft", "reward", "ppo", "zero_shot", "evaluate"]


def kind_of(params: Path, script: str) -> str:
    """KIND of `params/KIND/ID.yaml` if `pipelines/SCRIPT.py` runs this kind; else the kind named as the script."""
    kind = KINDS.get(params.parent.name)
    return kind.name if kind and kind.script == script else script


def kind_of_base(slot: str) -> str:
    """The kind of stage of a key under `base` in a cell's row."""
    return "fetch" if slot == "classifier_corpus" else slot


def method_of(row: Settings) -> str:
    """The method of a cell by its row; old rows in MLflow, of the time when there was one method, do not have it."""
    return str(row.get("method") or ("zero_shot" if row["labels"] is None else "rl"))


def files_of(kind: str, owned: Settings, params: str) -> dict[str, str]:
    """The file that a stage reads besides the outputs of other stages, by its key in instances.yaml.

    That is a file of human labels on this machine.  A file of the hub is no path; in its place is `params` again, since
    DVC accepts a path twice.
    """
    if kind != "human_labels":
        return {}
    if owned["human_labels"]["source"] != "path":
        return {"file": params}
    path = Path(os.path.abspath(Path(owned["human_labels"]["path"]).expanduser()))
    inside = path.is_relative_to(Path.cwd())  # then DVC knows it by its relative path
    return {"file": (path.relative_to(Path.cwd()) if inside else path).as_posix()}


def order(settings: Settings) -> list[tuple[str, Kind]]:
    """(slot, kind) of the stages that a cell needs, upstream first.

    Its settings decide whether the base model is fetched or pretrained, whether labels are human or synthetic, and
    whether a second corpus is fetched.
    """
    base = "pretrain" if settings["model"]["source"] == "pretrain" else "model"
    human = ["human_labels", "human_comparisons"] if settings["labeller"].get("human_labels") else ["comparisons"]
    needed = {"fetch", base, "prepare", *human, "zero_shot", *METHODS[settings["method"]["name"]]}
    stages = [(kind.slot, kind) for name, kind in KINDS.items() if name in needed]
    if settings["classifier_corpus"]["name"] != SAME:
        stages.insert(1, ("classifier_corpus", KINDS["fetch"]))
    return stages


def settings_for_slot(slot: str, settings: Settings) -> Settings:
    """A cell's settings for the stage in `slot`: the stage that fetches the classifier corpus finds it as `corpus`."""
    return settings | {"corpus": settings["classifier_corpus"]} if slot == "classifier_corpus" else settings
