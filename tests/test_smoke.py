"""The real stages on the grid `smoke`, by the commands that a user types, in a scratch copy of the project."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from helpers import workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SWEEP = ["-m", "policy.adaptive_kl.target=6,12", "labels=5k,direct", "grid=smoke"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the working tree in which `dvc repro` has built the smoke grid."""
    root = tmp_path_factory.mktemp("clone") / "preflab"
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=workspace.PROJECT, capture_output=True, check=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, names):
        source = workspace.PROJECT / name
        if source.exists() and not name.startswith(("reports/", "dvc.lock")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(source.read_bytes())
    for command in ("git init -q", "git add -A", "git -c user.name=t -c user.email=t@t commit -qm start"):
        subprocess.run(command.split(), cwd=root, check=True)
    run(root, "-m", "pipelines.grid", "smoke")
    run(root, "-m", "dvc", "repro")
    return root


def command(root: Path) -> dict[str, str]:
    """The scratch copy's own sources come first; downloads are shared, so that the network is asked once at most."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PYTHONPATH": str(root / "src"), "PATH": path, "MLFLOW_TRACKING_URI": ""}


def run(root: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """`python ARGUMENTS` in the scratch copy."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=root, env=command(root), capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def executions(root: Path) -> Counter[str]:
    """How often each stage ran to its end: the finished runs of the MLflow experiment `preflab/stages`."""
    script = (
        "import json, mlflow; mlflow.set_tracking_uri('sqlite:///mlflow.db'); c = mlflow.MlflowClient();"
        "e = c.get_experiment_by_name('preflab/stages').experiment_id;"
        "runs = c.search_runs([e], \"attributes.status = 'FINISHED'\", max_results=1000);"
        "print(json.dumps([r.info.run_name for r in runs]))"
    )
    return Counter(json.loads(run(root, "-c", script).stdout.splitlines()[-1]))


def test_repro_builds_the_report_and_then_nothing(built: Path) -> None:
    stages = executions(built)
    assert set(stages.values()) == {1}
    assert {"reward sentiment-3k-1", "ppo sentiment-5k-online-1", "evaluate sentiment-5k-online-1"} <= set(stages)
    with (built / "reports/tables/table1.csv").open() as file:
        built_rows = [row for row in csv.DictReader(file) if row["cells"]]
    (row,) = built_rows  # the policy of the grid against zero-shot; the other rows have not been run
    assert (row["task"], row["comparison"], row["source"]) == ("sentiment", "5k online vs zero-shot", "synthetic")
    assert row["labels"] == "5k × 1/500 = 10"
    metrics = json.loads((built / "reports/metrics/sentiment-5k-online-1.json").read_text())
    wins, low, high = (float(row[key]) for key in ("wins", "wins_low", "wins_high"))
    assert 0 <= low < wins < high <= 100
    assert wins == pytest.approx(100 * metrics["win_rate"], abs=0.06)  # of the same 64 contexts, with one decimal
    for page in ("index.md", "index.html"):
        text = (built / "reports" / page).read_text()
        assert "5k online vs zero-shot" in text
        assert row["wins"] in text
        assert "synthetic labeller" in text
    before = (built / "dvc.lock").read_bytes()
    assert "up to date" in run(built, "-m", "dvc", "repro").stdout
    assert (built / "dvc.lock").read_bytes() == before


def test_forced_training_leaves_the_lock_as_it_is(built: Path) -> None:
    before = (built / "dvc.lock").read_bytes()
    for stage in ("reward@sentiment-3k-1", "ppo@sentiment-5k-online-1"):
        run(built, "-m", "dvc", "repro", "--force", "--no-run-cache", "--single-item", stage)
    assert (built / "dvc.lock").read_bytes() == before


def test_a_killed_sweep_continues_and_runs_every_stage_once(built: Path) -> None:
    done = executions(built)
    sweep = subprocess.Popen(
        [sys.executable, "-m", "pipelines.sweep", *SWEEP], cwd=built, env=command(built),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (executions(built) - done):
        assert sweep.poll() is None, "the sweep ended before a stage of it was recorded"
        time.sleep(0.5)
    sweep.send_signal(signal.SIGKILL)
    sweep.wait()
    shown = run(built, "-m", "pipelines.sweep", *SWEEP).stdout
    more = executions(built) - done
    assert set(more.values()) == {1}  # nothing that was finished before the kill ran again
    kinds = Counter(name.split()[0] for name in more)
    assert kinds == {"reward": 2, "ppo": 4, "evaluate": 4}  # 2 targets × 2 rewards; the rest is the grid's
    policies = [name.removeprefix("ppo ") for name in more if name.startswith("ppo ")]
    assert sum("target6" in policy for policy in policies) == sum("target12" in policy for policy in policies) == 2
    assert [policy for policy in policies if policy not in shown] == []  # the sweep's table has a row for each
    assert "up to date" in run(built, "-m", "dvc", "repro").stdout
