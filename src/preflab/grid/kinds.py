"""The kinds of stage: what each reads, which settings it owns, and which axes of a grid show in its names."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from preflab.evaluate import baselines

Settings = dict[str, Any]


class Kind(NamedTuple):
    """`folder` of its outputs, the kinds that it reads, and the axes that show in its names beside the usual ones.

    `script`: of pipelines/, where it is not of the kind's own name.
    """

    folder: str
    upstream: list[str]
    axes: set[str]
    script: str = ""


_DATA = {"corpus", "classifier_corpus", "model", "pretrain", "task"}
_LABELLED = _DATA | {"labeller", "comparisons", "scale", "runtime"}
_REWARD = _LABELLED | {"reward", "labels", "collection", "ablation", "method", "sft"}
_POLICY = _REWARD | {"policy", "episode_scale"}
_COMPARED = ["prepare", "model", "zero_shot"]  # what every evaluation but zero_shot itself reads

KINDS: dict[str, Kind] = {
    "fetch": Kind("data/raw", [], {"corpus"}),
    "labelled": Kind("data/raw", [], {"classifier_corpus"}, "fetch"),
    "model": Kind("models/base", [], {"model"}),
    "pretrain": Kind("models/base", ["fetch"], {"corpus", "pretrain"}),
    "prepare": Kind("data/queries", ["fetch", "model"], _DATA),
    "prepare_labelled": Kind("data/queries", ["fetch", "labelled", "model"], _DATA, "prepare"),
    "comparisons": Kind("data/comparisons", ["prepare", "model"], _LABELLED),
    "human_labels": Kind("data/human_labels", [], {"labeller"}),
    "human_comparisons": Kind("data/comparisons", ["human_labels", "prepare", "model"], _LABELLED),
    "zero_shot": Kind("data/samples", ["prepare", "model", "comparisons"], _LABELLED | {"evaluation"}, "evaluate"),
    "sft": Kind("models/base", ["prepare", "model"], _DATA | {"sft", "runtime"}),
    "reward": Kind("models/reward", ["prepare", "model", "comparisons"], _REWARD),
    "ppo": Kind("models/policy", ["prepare", "model", "comparisons", "reward"], _POLICY),
    "evaluate": Kind("data/samples", [*_COMPARED, "reward", "ppo"], _POLICY | {"evaluation"}),
    "supervised": Kind("data/samples", [*_COMPARED, "sft"], _LABELLED | {"sft", "evaluation"}, "evaluate"),
    "best_of_n": Kind("data/samples", [*_COMPARED, "reward"], _REWARD | {"evaluation"}, "evaluate"),
    "text": Kind("data/samples", _COMPARED, _LABELLED | {"evaluation"}, "evaluate"),
}
METHODS = {  # what a cell of each needs beside prepared queries and the evaluated reference; the last is its evaluation
    "rl": ["reward", "ppo", "evaluate"],
    "supervised": ["sft", "supervised"],
    "supervised_rl": ["sft", "reward", "ppo", "evaluate"],
    "best_of_n": ["reward", "best_of_n"],
    **{name: ["text"] for name in baselines.names()},
    "zero_shot": ["zero_shot"],
}
EVALUATIONS = [kind for kind, about in KINDS.items() if "evaluate" in (kind, about.script)]
INSTEAD = {  # kinds that take the place of another
    "pretrain": "model",
    "prepare_labelled": "prepare",
    "human_comparisons": "comparisons",
}
SAME = "same"  # conf/classifier_corpus/
USUAL = ["task", "labels", "collection", "seed"]  # the axes that every name of a cell shows
PUBLISHED = ["paper", "released"]  # of a task: what conf/policy/ and conf/reward/ of these names take from it
PUBLISHABLE = {  # and nothing else
    "policy": ["lr", "batch_size", "kl_coef", "kl_target", "whiten_rewards"],
    "reward": ["lr", "batch_size", "rollout_batch"],
}
UNTRAINED: Settings = {  # stands for the settings of training where the reward is known: none of them is read
    "lr": 0.0,
    "batch_size": 1,
    "epochs": 1,
    "adam": "tf",
    "adam_eps": 0.0,
    "normalize_before": True,
    "normalize_after": True,
    "shared": False,
}
BASE = ["fetch", "model", "pretrain", "human_labels"]  # what comes from elsewhere: a cell's row has these under `base`
# Of these a cell's row has the ids; under `evaluate` that of its evaluation, of whichever kind.
ROW_IDS = ["prepare", "prepare_labelled", "comparisons", "human_comparisons", "sft", "reward", "ppo", "zero_shot", "evaluate"]


def kind_of(params: Path, script: str) -> str:
    """The kind of stage that `params/KIND/ID.yaml` is of, among those that `pipelines/SCRIPT.py` does."""
    about = KINDS.get(params.parent.name)
    return params.parent.name if about and about.script == script else script


def method_of(row: Settings) -> str:
    """The method of a cell by its row; rows that MLflow remembers from before there were several have none."""
    return str(row.get("method") or ("zero_shot" if row["labels"] is None else "rl"))


def files_of(kind: str, settings: Settings, params: str) -> dict[str, str]:
    """What a stage reads beside other stages, by its name in instances.yaml: labels of people that lie on this machine.

    `settings` are its own.  Of the hub it reads nothing more than `params`: DVC takes a path twice.
    """
    if kind != "human_labels":
        return {}
    if settings["human_labels"]["source"] != "path":
        return {"file": params}
    path = Path(os.path.abspath(Path(settings["human_labels"]["path"]).expanduser()))
    inside = path.is_relative_to(Path.cwd())  # then DVC knows it by its relative path
    return {"file": (path.relative_to(Path.cwd()) if inside else path).as_posix()}


def owned(settings: Settings) -> dict[str, Settings]:
    """The settings that each kind owns: exactly the fields of its schema, so that nothing else makes it stale."""
    task = {key: value for key, value in settings["task"].items() if key not in PUBLISHED}
    labels, collection, policy = settings["labels"], settings["collection"], settings["policy"]
    if policy["adaptive_kl"] and policy["adaptive_kl"]["target"] is None:  # a task of the paper with a fixed β
        policy = policy | {"adaptive_kl": None}
    direct, runtime, seed = labels["direct"], settings["runtime"], settings["seed"]
    reward = settings["reward"] | UNTRAINED if direct else settings["reward"]
    online = None
    if collection["online"] and not direct:
        online = {
            "num_train": labels["num_train"],
            "num_initial": collection["initial"]["num"],
            "retrainings": collection["retrainings"],
            "retrain_from": collection["retrain_from"],
            "validation_share": collection["validation_share"],
            "max_rounds": settings["comparisons"]["max_rounds"],
            "reward": settings["reward"],
        }
    shared = None
    if reward["shared"] and not online:
        shared = {"num_train": labels["num_train"], "batch_size": reward["batch_size"]}
    prepare = {
        "corpus": settings["corpus"],
        "query": {key: task[key] for key in ("query_length", "start_text", "end_text")},
        "transformer": settings["labeller"].get("training"),
    }
    labeller = {key: value for key, value in settings["labeller"].items() if key not in ("training", "human_labels")}
    labelled = {"task": task, "labeller": labeller, "comparisons": settings["comparisons"], "runtime": runtime}
    frontier = settings["evaluation"]["frontier"]
    evaluated = {key: value for key, value in settings["evaluation"].items() if key != "frontier"}
    evaluation = {"task": task, "evaluation": evaluated, "runtime": runtime, "method": "sample", "n": 1}
    evaluation["frontier"] = None
    method = settings["method"]
    return {
        "fetch": {"corpus": settings["corpus"]},
        "model": {"model": settings["model"]},
        "pretrain": {"corpus": settings["corpus"], "pretrain": settings["pretrain"]},
        "labelled": {"corpus": settings["classifier_corpus"]},
        "prepare": prepare | {"classifier_corpus": None},
        "prepare_labelled": prepare | {"classifier_corpus": settings["classifier_corpus"]},
        "comparisons": labelled,
        "human_labels": {"human_labels": settings["labeller"].get("human_labels")},
        "human_comparisons": labelled,
        "reward": {
            "task": task,
            "initial": {"name": labels["name"], "num": 0} if direct else collection["initial"],
            "direct": direct,
            "reward": reward,
            "runtime": runtime,
            "seed": 1 if direct else seed,  # a true score has nothing random: one instance for all seeds
        },
        "ppo": {
            "task": task,
            "policy": policy,
            "online": online,
            "shared": shared,
            "runtime": runtime,
            "seed": seed,
        },
        "sft": {"task": task, "sft": settings["sft"], "runtime": runtime, "seed": seed},
        "zero_shot": evaluation | {"frontier": frontier},
        "evaluate": evaluation,
        "supervised": evaluation,
        "best_of_n": evaluation | {"method": "best_of_n", "n": method["n"]},
        "text": evaluation | {"method": method["name"]},
    }


def order(settings: Settings) -> list[str]:
    """The kinds that a cell needs, upstream first: its base model is fetched or pretrained, its labels read or made."""
    base = "pretrain" if settings["model"]["source"] == "pretrain" else "model"
    own = settings["classifier_corpus"]["name"] == SAME  # the corpus of the queries trains the classifiers
    prepared = ["prepare"] if own else ["labelled", "prepare_labelled"]
    labelled = ["human_labels", "human_comparisons"] if settings["labeller"].get("human_labels") else ["comparisons"]
    needed = {"fetch", base, *prepared, *labelled, "zero_shot", *METHODS[settings["method"]["name"]]}
    return [kind for kind in KINDS if kind in needed]
