"""The settings that each kind of stage owns, out of a cell's: exactly the fields of its schema in settings/stages.py.

Each function takes a cell's composed configuration and returns the content of a params file.  A setting that a stage
does not own cannot make it stale.
"""

from typing import Any

from preflab.settings.cell import PUBLISHED, SAME

Settings = dict[str, Any]

PUBLISHABLE = {  # the keys that the sections `paper` and `released` of a task file may have, by group
    "policy": ["lr", "batch_size", "kl_coef", "kl_target", "whiten_rewards"],
    "reward": ["lr", "batch_size", "rollout_batch"],
}
UNTRAINED: Settings = {  # settings of training that direct policies do not read, at fixed values
    "lr": 0.0,
    "batch_size": 1,
    "epochs": 1,
    "adam": "tf",
    "adam_eps": 0.0,
    "normalize_before": True,
    "normalize_after": True,
    "shared": False,
}


def task(settings: Settings) -> Settings:
    """The settings of the task, without the sections `paper` and `released`."""
    return {key: value for key, value in settings["task"].items() if key not in PUBLISHED}


def prepare(settings: Settings) -> Settings:
    """Corpora, the window of a query, and the transformer that labels, if any."""
    separate = settings["classifier_corpus"]["name"] != SAME
    return {
        "corpus": settings["corpus"],
        "query": {key: settings["task"][key] for key in ("query_length", "start_text", "end_text")},
        "classifier_corpus": settings["classifier_corpus"] if separate else None,
        "transformer": settings["labeller"].get("training"),
    }


def comparisons(settings: Settings) -> Settings:
    """The labeller, and how many comparisons it makes."""
    labeller = {key: value for key, value in settings["labeller"].items() if key not in ("training", "human_labels")}
    return {
        "task": task(settings),
        "labeller": labeller,
        "comparisons": settings["comparisons"],
        "runtime": settings["runtime"],
    }


def reward(settings: Settings) -> Settings:
    """How a reward model is trained on the initial labels, or the true score is normalised (`direct`)."""
    labels = settings["labels"]
    direct = labels["direct"]
    return {
        "task": task(settings),
        "initial": {"name": labels["name"], "num": 0} if direct else settings["collection"]["initial"],
        "direct": direct,
        "reward": settings["reward"] | UNTRAINED if direct else settings["reward"],
        "runtime": settings["runtime"],
        "seed": 1 if direct else settings["seed"],  # a true score has no randomness: one instance for all seeds
    }


def ppo(settings: Settings) -> Settings:
    """How a policy is trained; `online`: with its reward models, `shared`: in one network with its reward model."""
    policy, labels, collection = settings["policy"], settings["labels"], settings["collection"]
    if policy["adaptive_kl"] and policy["adaptive_kl"]["target"] is None:  # a task of the paper with a fixed β
        policy = policy | {"adaptive_kl": None}
    online = shared = None
    if collection["online"] and not labels["direct"]:
        online = {
            "num_train": labels["num_train"],
            "num_initial": collection["initial"]["num"],
            "retrainings": collection["retrainings"],
            "retrain_from": collection["retrain_from"],
            "validation_share": collection["validation_share"],
            "max_rounds": settings["comparisons"]["max_rounds"],
            "reward": settings["reward"],
        }
    elif settings["reward"]["shared"] and not labels["direct"]:
        shared = {"num_train": labels["num_train"], "batch_size": settings["reward"]["batch_size"]}
    return {
        "task": task(settings),
        "policy": policy,
        "online": online,
        "shared": shared,
        "runtime": settings["runtime"],
        "seed": settings["seed"],
    }


def evaluation(settings: Settings, method: str = "sample", n: int = 1, frontier: Settings | None = None) -> Settings:
    """How responses are evaluated.

    `method`: where they come from; `n`: samples of which the best is taken; `frontier`: of the optimal frontier.
    """
    evaluation = {key: value for key, value in settings["evaluation"].items() if key != "frontier"}
    return {
        "task": task(settings),
        "evaluation": evaluation,
        "runtime": settings["runtime"],
        "method": method,
        "n": n,
        "frontier": frontier,
    }
