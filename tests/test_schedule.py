"""The scheduler and the sweep in real git + DVC repositories, with stub stages whose executions are counted."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Set
from pathlib import Path

import pytest
import yaml

from helpers import workspace
from helpers.workspace import executions, python, run, start
from preflab.build import schedule
from preflab.build.dvc_fork import Child
from preflab.build.schedule import Outcome
from preflab.plan import reasons

GRID_STAGES = {
    *("fetch movie_reviews", "model tiny", "prepare sentiment-tiny", "comparisons sentiment-tiny", "report report"),
    *("zero_shot sentiment-zero-shot", "reward sentiment-5k-1", "reward sentiment-60k-1"),
    *(f"{kind} sentiment-{labels}-offline-1" for kind in ("ppo", "evaluate") for labels in ("5k", "60k")),
}


# --- the scheduler alone ----------------------------------------------------------------------------------------------

PATIENCE = 250  # seconds, when something is broken; no test that passes waits for them


class Fake(schedule.Runner):
    """Stages that do nothing; those in `broken` fail, those in `together` wait until all of them run."""

    def __init__(self, root: Path, jobs: int, broken: Set[str] = frozenset(), together: Set[str] = frozenset()) -> None:
        self.lines: list[str] = []
        super().__init__(
            root, jobs, self.lines.append, lambda stage, outcome: self.lines.append(f"{stage} {outcome.state}")
        )
        self.broken, self.together, self.executed = broken, together, 0
        self.barrier = threading.Barrier(len(together) or 1)

    def _dvc(self, stage: str, log: Path, lock: int) -> int:
        self.executed += 1
        if stage in self.together:
            self.barrier.wait(PATIENCE)
        log.write_text("error: it broke\n" if stage in self.broken else "Running stage 'x':\n")
        return 1 if stage in self.broken else 0


DIAMOND = {"top": set(), "left": {"top"}, "right": {"top"}, "alone": set(), "bottom": {"left", "right"}}


def test_stages_run_after_what_they_read_and_side_by_side(tmp_path: Path) -> None:
    fake = Fake(tmp_path, jobs=2, together={"left", "right"})
    outcomes = fake.run(DIAMOND, set(DIAMOND))
    assert {outcome.state for outcome in outcomes.values()} == {"ran"}
    order = [line.split()[0] for line in fake.lines]
    assert order.index("top") < min(order.index("left"), order.index("right"))
    assert order.index("bottom") > max(order.index("left"), order.index("right"))


def test_what_is_fresh_is_not_touched(tmp_path: Path) -> None:
    fake = Fake(tmp_path, jobs=2)
    outcomes = fake.run(DIAMOND, {"right", "bottom"})
    assert fake.lines == ["right ran", "bottom ran"]
    assert outcomes["top"] == Outcome("fresh")


def test_a_failure_skips_only_what_reads_it(tmp_path: Path) -> None:
    outcomes = Fake(tmp_path, jobs=1, broken={"left"}).run(DIAMOND, set(DIAMOND))
    states = {stage: outcome.state for stage, outcome in outcomes.items()}
    assert states == {"top": "ran", "left": "failed", "right": "ran", "alone": "ran", "bottom": "skipped"}
    assert outcomes["left"].message == "it broke"


def test_two_runners_never_run_a_stage_at_the_same_time(tmp_path: Path) -> None:
    first, second = Fake(tmp_path, jobs=1), Fake(tmp_path, jobs=1)
    with first._locked("top"):
        other = threading.Thread(target=second.run, args=({"top": set()}, {"top"}))
        other.start()
        while not second.lines:
            time.sleep(0.01)
        assert second.executed == 0
        assert second.lines[0].startswith(f"top waits for process {os.getpid()} (")
    other.join(PATIENCE)
    assert second.executed == 1


def test_a_stage_that_is_being_started_at_ctrl_c_is_ended_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starting, started = threading.Event(), []

    class Slow:
        def start(self, _stage: str, _log: int, _lock: int) -> Child:
            starting.set()
            time.sleep(0.3)  # Ctrl-C comes now
            status, child_status = os.pipe()
            started.append(subprocess.Popen(["sleep", "900"], start_new_session=True, pass_fds=(child_status,)))
            os.close(child_status)
            return Child(started[-1].pid, status)

    runner = schedule.Runner(tmp_path, 1, print)
    monkeypatch.setattr(runner, "forks", Slow)
    with (tmp_path / "lock").open("w") as lock:
        stage = threading.Thread(target=runner._dvc, args=("top", tmp_path / "log", lock.fileno()))
        stage.start()
        assert starting.wait(PATIENCE)
        runner._stop()
        stage.join(PATIENCE)
        ended = not stage.is_alive()
        for child in started:
            child.kill()
        assert ended
        assert runner._dvc("bottom", tmp_path / "log", lock.fileno()) != 0
    assert len(started) == 1  # nothing starts after Ctrl-C


@pytest.mark.parametrize(
    ("code", "output", "state"),
    [
        (0, "Running stage 'a':\n> x\nUpdating lock file 'dvc.lock'", "ran"),
        (0, "Stage 'a' is cached - skipping run, checking out outputs", "restored"),
        (0, "Stage 'a' didn't change, skipping\nData and pipelines are up to date.", "unchanged"),
        (255, "Running stage 'a':\nERROR: failed", "failed"),
    ],
)
def test_what_dvc_says_is_understood(code: int, output: str, state: str) -> None:
    assert schedule._state(code, output) == state


def test_changed_settings_are_named() -> None:
    old = {"reward": {"lr": 0.001, "adam": "tf"}, "seed": 1, "gone": True}
    new = {"reward": {"lr": 0.002, "adam": "tf"}, "seed": 1, "adaptive_kl": None}
    lines = reasons.settings_changed(old, new)
    assert lines == ["reward.lr: 0.001 → 0.002", "gone: true → —", "adaptive_kl: — → null"]


# --- real repositories ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_dvc_repro_builds_the_grid_once_and_then_nothing(built_workspace: Path, tmp_path: Path) -> None:
    root = workspace.copy(built_workspace, tmp_path / "w")
    assert executions(root) == dict.fromkeys(GRID_STAGES, 1)
    again = run(root, "dvc", "repro")
    assert "Data and pipelines are up to date." in again.stdout
    assert executions(root) == dict.fromkeys(GRID_STAGES, 1)
    assert run(root, "git", "status", "--porcelain", "src", "conf", "dvc.yaml", "instances.yaml").stdout == ""


@pytest.mark.slow
def test_metrics_and_plots_are_shown(built_workspace: Path, tmp_path: Path) -> None:
    root = workspace.copy(built_workspace, tmp_path / "w")
    metrics = run(root, "dvc", "metrics", "show", "--json").stdout
    assert "reports/metrics/sentiment-60k-offline-1.json" in metrics
    plots = run(root, "dvc", "plots", "show", "--json", "--out", "plots")
    assert "failed to load" not in plots.stderr
    assert "reports/curves/sentiment-60k-offline-1.csv" in plots.stdout
    assert "sentiment-60k-offline-1" in run(root, "dvc", "exp", "show", "--csv").stdout


@pytest.mark.slow
def test_a_sweep_on_a_fresh_workspace_runs_every_stage_once(new_workspace: Path, tmp_path: Path) -> None:
    root = workspace.copy(new_workspace, tmp_path / "w")
    done = python(root, "pipelines.sweep", "-m", "labels=5k,60k")
    assert executions(root) == dict.fromkeys(GRID_STAGES - {"report report"}, 1)
    assert "sentiment-60k-offline-1" in done.stdout
    assert not (root / "sweeps").exists()
    run(root, "dvc", "repro")
    assert executions(root) == dict.fromkeys(GRID_STAGES, 1)


@pytest.mark.slow
def test_a_sweep_outside_the_grid_leaves_the_grid_as_it_is(built_workspace: Path, tmp_path: Path) -> None:
    root = workspace.copy(built_workspace, tmp_path / "w")
    store = f"sqlite:///{root}/mlflow.db"
    lock = (root / "dvc.lock").read_text()
    line = ["pipelines.sweep", "-m", "policy.adaptive_kl.target=4,10"]
    before = executions(root)

    planned = python(root, *line, "+plan=true").stdout
    assert "+ ppo@sentiment-5k-offline-target4-1: never built" in planned
    assert "cached   reward@sentiment-5k-1" in planned
    assert executions(root) == before
    assert not (root / "sweeps").exists()

    python(root, *line, MLFLOW_TRACKING_URI=store)
    new_stages = {f"{kind} sentiment-5k-offline-target4-1" for kind in ("ppo", "evaluate")}
    assert executions(root) - before == dict.fromkeys(new_stages, 1)
    assert (root / "dvc.lock").read_text() == lock
    assert "up to date" in run(root, "dvc", "repro").stdout.splitlines()[-1]

    from mlflow import MlflowClient

    client = MlflowClient(store)
    recorded = client.search_runs([client.get_experiment_by_name("preflab/sweeps").experiment_id])
    kinds = [item.data.tags["preflab.kind"] for item in recorded]
    assert {kind: kinds.count(kind) for kind in kinds} == {"sweep": 1, "reference": 1, "cell": 2}

    # another sweep that has some of the same points
    python(root, "pipelines.sweep", "-m", "policy.adaptive_kl.target=4,12")
    more = {f"{kind} sentiment-5k-offline-target12-1" for kind in ("ppo", "evaluate")}
    assert executions(root) - before == dict.fromkeys(new_stages | more, 1)


@pytest.mark.slow
def test_the_plan_says_why(built_workspace: Path, tmp_path: Path) -> None:
    root = workspace.copy(built_workspace, tmp_path / "w")
    for day, record in enumerate(sorted((root / "reports" / "runs").glob("*.json")), start=1):  # no pauses to estimate
        times = {"started": f"2026-01-{day:02}T00:00:00+00:00", "wall_s": 4.2}
        record.write_text(json.dumps(json.loads(record.read_text()) | times))
    file = root / "conf" / "reward" / "paper.yaml"
    file.write_text(file.read_text().replace("1.77e-05}", "2.5e-05}"))
    refused = python(root, "pipelines.sweep", "-m", "labels=5k", "+plan=true", check=False)
    assert refused.returncode == 2
    assert "type `python -m pipelines.grid`" in refused.stderr
    repro = run(root, "dvc", "repro", check=False)
    assert "error: instances.yaml: differs from what conf/ gives" in repro.stderr

    python(root, "pipelines.grid")
    code = root / "src" / "preflab" / "evaluate" / "responses.py"
    code.write_text(code.read_text().replace('STUB = "stub"', 'STUB = "another"'))
    planned = python(root, "pipelines.sweep", "-m", "labels=5k", "+plan=true").stdout
    assert "run      reward@sentiment-5k-1: reward.lr: 1.77e-05 → 2.5e-05 (about 4.2 s)\n" in planned
    assert "run      ppo@sentiment-5k-offline-1: after reward@sentiment-5k-1 (about 4.2 s)\n" in planned
    assert "zero_shot@sentiment-zero-shot: code changed: src/preflab/evaluate/responses.py (about 4.2 s)\n" in planned
    assert "\ntime: about 17 s" in planned  # zero_shot, reward, ppo, evaluate
    assert "cached   comparisons@sentiment-tiny" in planned
    assert executions(root) == dict.fromkeys(GRID_STAGES, 1)


@pytest.mark.slow
def test_an_old_setting_is_restored_from_the_cache(built_workspace: Path, tmp_path: Path) -> None:
    root = workspace.copy(built_workspace, tmp_path / "w")
    spec = root / "conf" / "grid" / "quick.yaml"
    old = spec.read_text()
    spec.write_text(
        yaml.safe_dump(workspace.SMALL | {"product": {"labels": ["5k"]}, "include": [{"labels": "direct"}]})
    )
    python(root, "pipelines.grid")
    run(root, "dvc", "repro")
    assert executions(root)["ppo sentiment-direct-1"] == 1
    spec.write_text(old)
    python(root, "pipelines.grid")
    run(root, "dvc", "repro")
    assert {stage: n for stage, n in executions(root).items() if n > 1} == {"report report": 3}


@pytest.mark.slow
def test_a_failing_stage_does_not_stop_the_others(built_workspace: Path, tmp_path: Path) -> None:
    root = workspace.copy(built_workspace, tmp_path / "w")
    line = ["pipelines.sweep", "-m", "policy.adaptive_kl.target=4,12"]
    bad, good = "sentiment-5k-offline-target4-1", "sentiment-5k-offline-target12-1"
    failed = python(root, *line, check=False, STUB_FAIL=f"ppo {bad}")
    assert failed.returncode == 1
    assert f"ppo@{bad} failed: the stub was told to fail" in failed.stderr
    assert "not finished" in failed.stdout
    assert executions(root)[f"evaluate {good}"] == 1
    assert executions(root)[f"evaluate {bad}"] == 0
    python(root, *line)
    assert {stage: n for stage, n in executions(root).items() if n > 1} == {f"ppo {bad}": 2}
    assert executions(root)[f"evaluate {bad}"] == 1


def until(root: Path, stage: str, process: "subprocess.Popen[str]") -> None:
    """Wait for the stub of `stage` to have started."""
    while not executions(root)[stage]:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def until_it_waits(process: "subprocess.Popen[str]") -> str:
    """What a sweep prints until it waits for another process."""
    assert process.stdout
    printed = ""
    while "waits for process" not in printed:
        line = process.stdout.readline()
        assert line, f"the sweep ended:\n{printed}"
        printed += line
    return printed


@pytest.mark.slow
def test_a_killed_sweep_is_continued_and_its_orphan_waited_for(built_workspace: Path, tmp_path: Path) -> None:
    root = workspace.copy(built_workspace, tmp_path / "w")
    line = ["pipelines.sweep", "-m", "policy.adaptive_kl.target=4,12"]
    first = start(root, *line, STUB_GATE="ppo")
    until(root, "ppo sentiment-5k-offline-target4-1", first)
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = start(root, *line)
    assert f"waits for process {first.pid}" in until_it_waits(second)
    workspace.open_gate(root)
    printed = second.communicate()[0]
    assert second.returncode == 0, printed
    new_stages = [f"{kind} sentiment-5k-offline-target{n}-1" for kind in ("ppo", "evaluate") for n in (4, 12)]
    assert {stage: executions(root)[stage] for stage in new_stages} == dict.fromkeys(new_stages, 1)


@pytest.mark.slow
def test_two_sweeps_at_once_share_their_stages(built_workspace: Path, tmp_path: Path) -> None:
    root = workspace.copy(built_workspace, tmp_path / "w")
    first = start(root, "pipelines.sweep", "-m", "policy.adaptive_kl.target=4,12", STUB_GATE="ppo")
    until(root, "ppo sentiment-5k-offline-target4-1", first)
    second = start(root, "pipelines.sweep", "-m", "policy.adaptive_kl.target=4,14")
    assert f"waits for process {first.pid}" in until_it_waits(second)
    workspace.open_gate(root)
    for process in (first, second):
        output = process.communicate()[0]
        assert process.returncode == 0, output
    new_stages = [f"{kind} sentiment-5k-offline-target{n}-1" for kind in ("ppo", "evaluate") for n in (4, 12, 14)]
    assert {stage: executions(root)[stage] for stage in new_stages} == dict.fromkeys(new_stages, 1)


@pytest.mark.slow
def test_ctrl_c_ends_the_stages_that_were_started(built_workspace: Path, tmp_path: Path) -> None:
    root = workspace.copy(built_workspace, tmp_path / "w")
    line = ["pipelines.sweep", "-m", "policy.adaptive_kl.target=4"]
    sweep = start(root, *line, STUB_GATE="ppo")
    until(root, "ppo sentiment-5k-offline-target4-1", sweep)
    sweep.send_signal(signal.SIGINT)
    output = sweep.communicate()[0]  # would last until the gate opens
    assert sweep.returncode == 130, output
    python(root, *line)
    assert executions(root)["ppo sentiment-5k-offline-target4-1"] == 2


@pytest.mark.slow
def test_another_launcher_builds_the_same(built_workspace: Path, tmp_path: Path) -> None:
    root = workspace.copy(built_workspace, tmp_path / "w")
    done = python(root, "pipelines.sweep", "-m", "hydra/launcher=basic", "policy.adaptive_kl.target=4,12")
    new_stages = [f"{kind} sentiment-5k-offline-target{n}-1" for kind in ("ppo", "evaluate") for n in (4, 12)]
    assert {stage: executions(root)[stage] for stage in new_stages} == dict.fromkeys(new_stages, 1)
    assert "sentiment-5k-offline-target12-1" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["labels=6k"], "error: labels=6k: no such choice in conf/labels/; did you mean '60k'?"),
        (["policy.lrr=1,2"], "error: policy.lrr=1: no such setting in conf/; did you mean 'policy.lr'?"),
        (["grid=quik"], "error: grid 'quik': no such file in conf/grid/; did you mean 'quick'?"),
        (["labels=5k,,"], "error: "),
        (["labels=5k", "+plan=yes"], "error: +plan=yes: expected true or false"),
    ],
)
def test_a_bad_line_is_one_sentence(new_workspace: Path, line: list[str], sentence: str) -> None:
    done = python(new_workspace, "pipelines.sweep", "-m", *line, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(sentence)
    assert "Traceback" not in done.stderr
