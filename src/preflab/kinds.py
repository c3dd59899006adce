"""The kinds of stage: what each reads, which settings it owns, and which axes of a grid show in its names."""

from typing import Any, NamedTuple

Settings = dict[str, Any]


class Kind(NamedTuple):
    """`folder` of its outputs, the kinds that it reads, and the axes that show in its names beside the usual ones."""

    folder: str
    upstream: list[str]
    axes: set[str]


_DATA = {"corpus", "model", "pretrain", "task"}
_LABELLED = _DATA | {"labeller", "comparisons", "scale", "runtime"}
_REWARD = _LABELLED | {"reward", "labels", "collection"}
_POLICY = _REWARD | {"policy", "episode_scale"}

KINDS: dict[str, Kind] = {
    "fetch": Kind("data/raw", [], {"corpus"}),
    "model": Kind("models/base", [], {"model"}),
    "pretrain": Kind("models/base", ["fetch"], {"corpus", "pretrain"}),
    "prepare": Kind("data/queries", ["fetch", "model"], _DATA),
    "comparisons": Kind("data/comparisons", ["prepare", "model"], _LABELLED),
    "reward": Kind("models/reward", ["prepare", "model", "comparisons"], _REWARD),
    "ppo": Kind("models/policy", ["prepare", "model", "comparisons", "reward"], _POLICY),
    "zero_shot": Kind("data/samples", ["prepare", "model", "comparisons"], _LABELLED | {"evaluation"}),
    "evaluate": Kind(
        "data/samples",
        ["prepare", "model", "comparisons", "reward", "ppo", "zero_shot"],
        _POLICY | {"evaluation"},
    ),
}
USUAL = ["task", "labels", "collection", "seed"]  # the axes that every name of a cell shows
UNTRAINED: Settings = {  # stands for the settings of training where the reward is known: none of them is read
    "lr": 0.0,
    "batch_size": 1,
    "adam": "tf",
    "adam_eps": 0.0,
    "normalize_before": True,
    "normalize_after": True,
}
BASE = ["fetch", "model", "pretrain"]  # what a task is prepared from: a cell's row has these under `base`
ROW_IDS = ["prepare", "comparisons", "reward", "ppo", "zero_shot", "evaluate"]


def owned(settings: Settings) -> dict[str, Settings]:
    """The settings that each kind owns: exactly the fields of its schema, so that nothing else makes it stale."""
    task, labels, collection = settings["task"], settings["labels"], settings["collection"]
    known_reward, runtime, seed = labels["known_reward"], settings["runtime"], settings["seed"]
    reward = settings["reward"] | UNTRAINED if known_reward else settings["reward"]
    online = None
    if collection["online"] and not known_reward:
        online = {
            "num_train": labels["num_train"],
            "num_initial": collection["initial"]["num"],
            "retrainings": collection["retrainings"],
            "validation_share": collection["validation_share"],
            "max_rounds": settings["comparisons"]["max_rounds"],
            "reward": settings["reward"],
        }
    evaluation = {"task": task, "evaluation": settings["evaluation"], "runtime": runtime}
    return {
        "fetch": {"corpus": settings["corpus"]},
        "model": {"model": settings["model"]},
        "pretrain": {"corpus": settings["corpus"], "pretrain": settings["pretrain"]},
        "prepare": {
            "corpus": settings["corpus"],
            "query": {key: task[key] for key in ("query_length", "start_text", "end_text")},
        },
        "comparisons": {
            "task": task,
            "labeller": settings["labeller"],
            "comparisons": settings["comparisons"],
            "runtime": runtime,
        },
        "reward": {
            "task": task,
            "initial": {"name": labels["name"], "num": 0} if known_reward else collection["initial"],
            "known_reward": known_reward,
            "reward": reward,
            "runtime": runtime,
            "seed": 1 if known_reward else seed,  # a known reward has nothing random: one instance for all seeds
        },
        "ppo": {
            "task": task,
            "policy": settings["policy"],
            "online": online,
            "runtime": runtime,
            "seed": seed,
        },
        "zero_shot": evaluation,
        "evaluate": evaluation,
    }


def order(settings: Settings) -> list[str]:
    """The kinds that a cell needs, upstream first: its base model is either fetched or pretrained here."""
    skipped = "model" if settings["model"]["source"] == "pretrain" else "pretrain"
    return [kind for kind in KINDS if kind != skipped]
