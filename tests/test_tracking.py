"""Records of executions: files first, MLflow second; what MLflow could not take is delivered later."""

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from preflab.records import spool, tracking

if TYPE_CHECKING:
    from mlflow.entities import Run

AWAY = "http://127.0.0.1:9"  # the discard port: refuses at once


SETTINGS = "policy: {episodes: 64}\nonline: null\n"  # of a policy, as far as a record's work depends on them


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables made; making them takes seconds."""
    root = tmp_path_factory.mktemp("store")
    spool.connect(root)
    return root / "mlflow.db"


@pytest.fixture
def root(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a params file, an upstream output in dvc.lock, and an empty store of its own."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.chdir(tmp_path)
    with sqlite3.connect(empty_store) as source, sqlite3.connect(tmp_path / "mlflow.db") as copy:
        source.backup(copy)
        where = f"file://{tmp_path}/mlartifacts/"
        copy.execute("UPDATE experiments SET artifact_location = ? || name", (where,))
    (tmp_path / "params" / "ppo").mkdir(parents=True)
    (tmp_path / "params" / "ppo" / "a-1.yaml").write_text("policy: {lr: 1.0e-05}\nseed: 1\n")
    (tmp_path / "dvc.lock").write_text(
        "stages:\n  reward@b:\n    outs:\n    - {path: models/reward/b, md5: 0123abcd.dir}\n"
    )
    return tmp_path


def execute(root: Path, fail: bool = False) -> None:
    inputs = {"reward": Path("models/reward/b")}
    with tracking.stage("ppo", Path("reports/runs/ppo-a-1.json"), Path("params/ppo/a-1.yaml"), inputs) as record:
        for step in range(3):
            record.metrics({"kl": step / 2, "score": float("nan")}, step=step)
        if fail:
            raise RuntimeError("NaN loss")
        record.summary({"kl": 1.25})


def record_of(root: Path) -> dict[str, Any]:
    return json.loads((root / "reports" / "runs" / "ppo-a-1.json").read_text())


def runs(root: Path, experiment: str = spool.STAGES) -> list["Run"]:
    client = spool.connect(root)
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def waiting(root: Path) -> list[Path]:
    return list((root / ".preflab" / "spool").glob("*.jsonl"))


def test_a_stage_is_recorded_in_a_file_and_in_mlflow(root: Path) -> None:
    execute(root)
    record, (run,) = record_of(root), runs(root)
    assert record["run_id"] == run.info.run_id
    assert record["inputs"] == {"models/reward/b": "0123abcd.dir"}
    assert (record["kind"], record["id"]) == ("ppo", "a-1")
    assert record["params_sha256"] == run.data.tags["params.sha256"]
    assert {
        "started",
        "wall_s",
        "device",
        "cpu_threads",
        "versions",
        "command",
        "git_commit",
        "dirty",
    } <= record.keys()
    assert (run.info.run_name, run.info.status) == ("ppo a-1", "FINISHED")
    assert run.data.params == {"policy.lr": "1e-05", "seed": "1"}
    assert run.data.metrics == {"kl": 1.25}  # no NaN
    assert run.data.tags["input.reward"] == "models/reward/b 0123abcd.dir"
    assert run.data.tags["data.human"] == "false"
    history = spool.connect(root).get_metric_history(run.info.run_id, "kl")
    assert sorted((metric.step, metric.value) for metric in history) == [
        (0, 0.0),
        (1, 0.5),
        (2, 1.0),
        (2, 1.25),
    ]
    assert not waiting(root)


def test_a_failed_stage_is_failed_in_mlflow_and_leaves_no_record(root: Path) -> None:
    with pytest.raises(RuntimeError, match="NaN loss"):
        execute(root, fail=True)
    assert runs(root)[0].info.status == "FAILED"
    assert not (root / "reports").exists()


def test_a_store_that_is_away_does_not_fail_the_stage_and_is_told_later(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", AWAY)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    execute(root)
    assert record_of(root)["run_id"] is None
    assert len(waiting(root)) == 1
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert not runs(root)
    assert tracking.replay(root) == 1
    (run,) = runs(root)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"kl": 1.25})
    assert record_of(root)["run_id"] == run.info.run_id
    assert not waiting(root)
    assert tracking.replay(root) == 0


def test_a_locked_database_does_not_fail_the_stage(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "PATIENCE", 0.5)
    blocker = sqlite3.connect(root / "mlflow.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    execute(root)
    blocker.execute("ROLLBACK")
    assert record_of(root)["kind"] == "ppo"


def test_the_next_stage_delivers_what_an_earlier_one_left(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", AWAY)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    execute(root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    execute(root)
    assert len(runs(root)) == 2
    assert not waiting(root)


def test_a_later_execution_keeps_its_own_run_id(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record of an old execution is delivered after a newer one has overwritten its file."""
    box = spool.Spool(root)
    start = {"experiment": spool.STAGES, "name": "old", "tags": {}, "params": {}, "time": 1, "parent": None}
    box.write({"run": "old", "op": "start", **start})
    box.write({"run": "old", "op": "record", "path": "reports/runs/ppo-a-1.json", "started": "long ago"})
    box.leave()
    execute(root)
    newest = next(run for run in runs(root) if run.info.run_name == "ppo a-1")
    assert record_of(root)["run_id"] == newest.info.run_id
    assert {run.info.status for run in runs(root)} == {"FINISHED", "KILLED"}


def test_a_killed_stage_is_delivered_as_killed_but_not_while_it_lives(root: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from preflab.records import tracking\n"
        "with tracking.stage('ppo', Path('r.json'), Path('params/ppo/a-1.yaml')) as record:\n"
        "    record.event('metrics', values={'kl': 2.0}, step=1, time=1)\n"
        "    print('ready', flush=True); sys.stdin.read()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    child = subprocess.Popen([sys.executable, "-c", script], cwd=root, env=os.environ, **pipes)
    assert child.stdout
    assert child.stdout.readline() == b"ready\n"
    assert tracking.replay(root) == 0
    child.send_signal(signal.SIGKILL)
    child.wait()
    with waiting(root)[0].open("a") as half:
        half.write('{"run": "ppo-a-1", "op": "met')
    assert tracking.replay(root) == 1
    (run,) = runs(root)
    assert (run.info.status, run.data.metrics) == ("KILLED", {"kl": 2.0})


def test_a_delivery_that_broke_off_goes_on_with_the_same_run(root: Path) -> None:
    """A spool that knows its run id continues that run instead of making another."""
    run_id = spool.connect(root).create_run("1").info.run_id
    box = spool.Spool(root)
    start = {"experiment": spool.STAGES, "name": "x", "tags": {}, "params": {}, "time": 1, "parent": None}
    box.write({"run": "x", "op": "start", **start})
    box.write({"run": "x", "op": "metrics", "values": {"kl": 3.0}, "step": 0, "time": 1})
    box.write({"run": "x", "op": "created", "run_id": run_id})
    box.leave()
    tracking.replay(root)
    (run,) = runs(root)
    assert (run.info.run_id, run.data.metrics) == (run_id, {"kl": 3.0})


def test_metrics_never_wait_for_mlflow(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer = threading.Event(), threading.Event()

    def silent(*_: object) -> None:
        asked.set()
        answer.wait()
        raise ConnectionError

    monkeypatch.setattr(spool, "connect", silent)
    monkeypatch.setattr(tracking, "PATIENCE", 0.1)
    monkeypatch.setattr(tracking, "INTERVAL", 0.01)
    execute(root)  # would never end
    assert asked.wait(250)
    assert len(waiting(root)) == 1
    answer.set()


@pytest.fixture
def about(root: Path) -> dict[str, Any]:
    """A finished grid of one cell and its reference, the cell in a sweep's folder."""
    common = {
        "task": "t",
        "model": "m",
        "labeller": "c",
        "agreement": None,
        "synthetic": True,
        "num_train": 8,
    }
    reference = common | {
        "labels": None,
        "collection": None,
        "overrides": {},
        "zero_shot": "z",
        "evaluate": "z",
    }
    cell = common | {"labels": "5k", "collection": "offline", "seed": 1, "overrides": {"policy.lr": "1"}}
    cell |= {
        "reward": "r",
        "ppo": "p",
        "evaluate": "e",
        "zero_shot": "z",
        "at": {"ppo": "sweeps/s/", "evaluate": "sweeps/s/"},
    }
    files = {
        "reports/metrics/z.json": '{"kl": 0.0}',
        "sweeps/s/reports/metrics/e.json": '{"kl": 5.5, "win_rate": 0.8}',
        "reports/reward/r.json": '{"heldout_accuracy": 0.5}',
        "sweeps/s/reports/curves/p.csv": "update,episode,kl\n0,64,1.0\n1,128,2.0\n",
        "sweeps/s/reports/runs/ppo-p.json": json.dumps(
            {"run_id": "1234", "params_sha256": hashlib.sha256(SETTINGS.encode()).hexdigest(), "inputs": {}}
        ),
        "sweeps/s/params/ppo/p.yaml": SETTINGS,
        "data/samples/z/samples.parquet": "zero",
        "sweeps/s/data/samples/e/samples.parquet": "cell",
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return {
        "grid": "quick",
        "scale": "1/40",
        "episode_scale": "1/1000",
        "cells": {"zero": reference, "cell": cell},
    }


def test_a_grid_is_one_parent_with_a_child_per_cell(root: Path, about: dict[str, Any], tmp_path: Path) -> None:
    parent = tracking.log_grid("s", about, root, {"preflab.overrides": "policy.lr=1"}, {"table.md": "| a |"})
    by_name = {run.info.run_name: run for run in runs(root, spool.SWEEPS)}
    assert by_name.keys() == {"s", "zero", "cell"}
    assert by_name["s"].info.run_id == parent
    assert by_name["s"].data.tags["preflab.kind"] == "sweep"
    assert by_name["zero"].data.tags["preflab.kind"] == "reference"
    child = by_name["cell"]
    assert child.data.tags["mlflow.parentRunId"] == parent
    assert (child.data.tags["preflab.kind"], child.data.tags["preflab.cell"]) == ("cell", "cell")
    assert child.data.tags["stage.ppo.run_id"] == "1234"
    assert child.data.params["labels"] == "5k"
    assert child.data.params["policy.lr"] == "1"
    assert child.data.metrics == {"kl": 5.5, "win_rate": 0.8, "reward/heldout_accuracy": 0.5, "curve/kl": 2.0}
    client = spool.connect(root)
    folder = Path(client.download_artifacts(child.info.run_id, "cell"))
    assert {path.name for path in folder.iterdir()} == {
        "cell.json", "metrics.json", "samples.parquet", "curve.csv", "reward.json", "runs.json",
    }  # fmt: skip
    assert json.loads((folder / "cell.json").read_text()) == about["cells"]["cell"]
    assert (folder / "samples.parquet").read_text() == "cell"
    grid = json.loads(Path(client.download_artifacts(parent, "grid.json")).read_text())
    assert grid == {"grid": "quick", "scale": "1/40", "episode_scale": "1/1000"}


def test_a_grid_is_replayed_too(root: Path, about: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", AWAY)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert tracking.log_grid("s", about, root, {}) is None
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.replay(root) == 1
    parent = next(run for run in runs(root, spool.SWEEPS) if run.info.run_name == "s")
    children = [
        run for run in runs(root, spool.SWEEPS) if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    ]
    assert len(children) == 2
