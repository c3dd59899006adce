"""The files of a finished grid of fabricated cells with four contexts each, whose numbers can be worked out by hand."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

QUERIES = [f"Query {i}." for i in range(4)]
COMMIT = "c0ffee" * 6 + "beef"
# cell -> (labels, collection, seed, judge's log-odds by context, true score, KL, held-out accuracy)
CELLS = {
    "sentiment-5k-offline-1": ("5k", "offline", 1, [1, 1, 1, -1], 1.0, 6.6, 0.36),
    "sentiment-5k-offline-2": ("5k", "offline", 2, [1, 1, -1, 0], 1.0, 6.6, 0.36),
    "sentiment-5k-online-1": ("5k", "online", 1, [0, 2, 0, 2], 0.5, 6.0, 0.30),
    "sentiment-60k-offline-1": ("60k", "offline", 1, [2, 2, 2, 2], 2.0, 6.0, 0.46),
    "sentiment-60k-offline-2": ("60k", "offline", 2, [2, 2, 2, 2], 2.0, 6.0, 0.46),
    "sentiment-direct-1": ("direct", "offline", 1, [1, 1, 1, -1], 3.0, 6.0, None),
    "sentiment-direct-2": ("direct", "offline", 2, [0, 0, 0, 1], 3.0, 6.0, None),
}
NUM_TRAIN = {"5k": 120, "60k": 1496, "direct": 0}
UPSTREAM = {"prepare": "sentiment-tiny", "comparisons": "sentiment-tiny", "zero_shot": "sentiment-zero-shot"}
COMMON = {
    "task": "sentiment",
    "model": "tiny",
    "labeller": "classifier",
    "agreement": 0.42,
    "synthetic": True,
}


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


SETTINGS = {  # what params/KIND/ID.yaml holds of the settings that the time depends on
    "comparisons": {"comparisons": {"num": 1496, "heldout": 256}},
    "reward": {"direct": False, "initial": {"num": 120}},
    "ppo": {"policy": {"episodes": 128}, "online": None},
    "zero_shot": {"evaluation": {"contexts": 4}},
    "evaluate": {"evaluation": {"contexts": 4}},
}


def write_run(root: Path, kind: str, instance: str, wall: float) -> None:
    settings = json.dumps(SETTINGS.get(kind, {}) | {"id": instance})
    record = {
        "run_id": hashlib.md5(f"{kind} {instance}".encode()).hexdigest(),
        "git_commit": COMMIT,
        "dirty": False,
        "params_sha256": hashlib.sha256(settings.encode()).hexdigest(),
        "inputs": {f"data/of/{kind}": hashlib.md5(kind.encode()).hexdigest()},
        "wall_s": wall,
        "started": "2026-11-23T06:00:00+00:00",
        "device": "cpu",
        "cpu_threads": 2,
        "versions": {"python": "3.11.9", "torch": "2.13.0"},
    }
    write(root / f"reports/runs/{kind}-{instance}.json", record)
    write(root / f"params/{kind}/{instance}.yaml", settings)


def write_samples(root: Path, name: str, judge: list[float], true_score: float, kl: float) -> None:
    """Samples and their metrics; a judge without noise (τ = 0), so that every win is certain."""
    columns = {
        "context": [0, 1, 2, 3],
        "query": QUERIES,
        "response": [f"{name} says {i} <b>|*." for i in range(4)],
        "judge": [float(score) for score in judge],
        "vader": [score / 10 for score in judge],
        "true_score": [true_score] * 4,
        "kl": [kl] * 4,
    }
    path = root / f"data/samples/{name}/samples.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table(columns), path)
    metrics = {
        "contexts": 4,
        "votes": 3,
        "votes_seed": 1,
        "judge_tau": 0.0,
        "length": 20.0,
        "ended": 0.95,
        "distinct_1": 0.2,
        "distinct_2": 0.6,
    }
    for key, value in (("true_score", true_score), ("reward_model", true_score), ("kl", kl)):
        metrics |= {key: value, f"{key}_se": 0.125}
    write(root / f"reports/metrics/{name}.json", metrics)


def make_grid(root: Path, names: list[str]) -> dict:
    """The files of a finished grid of these cells; returns what params/report.yaml would hold."""
    write_samples(root, "sentiment-zero-shot", [0, 0, 0, 0], 0.0, 0.0)
    for kind, instance in UPSTREAM.items():
        write_run(root, kind, instance, 10.0)
    accuracies = {"labeller_accuracy_imdb": 0.8814, "judge_accuracy_imdb": 0.8781, "documents": 33432}
    write(root / "reports/prepare/sentiment-tiny.json", accuracies)
    noise = {"agreement": 0.42, "tau": 1.53674, "judge_tau": 1.581108, "labeller_judge_correlation": 0.9335}
    noise |= {"labellers_agree": 0.46, "labellers_agree_se": 0.02, "questions_asked_again": 120.0}
    write(root / "reports/comparisons/sentiment-tiny.json", noise)
    none = {
        "labels": None,
        "collection": None,
        "seed": None,
        "num_train": 0,
        "episodes": 0,
        "kl_target": None,
    }
    zero_shot = COMMON | UPSTREAM | none | {"overrides": {}, "evaluate": "sentiment-zero-shot"}
    cells = {"sentiment-zero-shot": zero_shot}
    for name in names:
        labels, collection, seed, judge, true_score, kl, accuracy = CELLS[name]
        write_samples(root, name, judge, true_score, kl)
        reward = (
            "sentiment-direct"
            if labels == "direct"
            else f"sentiment-{labels if collection == 'offline' else '3k'}-{seed}"
        )
        learned = {"heldout_accuracy": accuracy, "heldout_accuracy_se": 0.02, "heldout_loss": 1.3}
        learned |= {"expected_calibration_error": 0.03, "num_train": NUM_TRAIN[labels]}
        write(root / f"reports/reward/{reward}.json", learned if accuracy else {"direct": 1})
        rows = [f"{u},{64 * u},{u * true_score / 2},{u * kl / 2}" for u in (1, 2)]
        write(root / f"reports/curves/{name}.csv", "\n".join(["update,episode,true_score,kl", *rows]) + "\n")
        for kind, instance in (("reward", reward), ("ppo", name), ("evaluate", name)):
            write_run(root, kind, instance, 3.5 if (kind, labels) == ("evaluate", "direct") else 2.5)
        axes = {"labels": labels, "collection": collection, "seed": seed, "num_train": NUM_TRAIN[labels]}
        ids = {"reward": reward, "ppo": name, "evaluate": name}
        cells[name] = COMMON | UPSTREAM | axes | ids | {"episodes": 128, "kl_target": 6.0, "overrides": {}}
    about = {"grid": "tiny", "scale": "1/40", "episode_scale": "1/1000", "cells": cells}
    write(root / "params/report.yaml", about)
    return about
