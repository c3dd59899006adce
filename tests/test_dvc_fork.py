"""What a fork of DVC does differently from DVC itself gives the same bytes, and it ends as a process should."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import PROJECT, workspace
from helpers.workspace import run
from preflab.build import dvc_fork
from preflab.build.dvc_fork import TESTED, Forks, spliced
from preflab.errors import PreflabError

LOCK = "schema: '2.0'\nstages:\n  a@1:\n    cmd: one\n  a@2:\n    cmd: two\n    deps:\n    - path: x\n"


@pytest.mark.parametrize("name", ["a@1", "a@2", "b"])
@pytest.mark.parametrize("lock", [LOCK, LOCK + "datasets: []\n", "schema: '2.0'\nstages: {}\n", None])
def test_a_stage_is_written_as_dvc_writes_it(tmp_path: Path, lock: str | None, name: str) -> None:
    from dvc.utils.serialize import modify_yaml

    record = {"cmd": "a long command " * 9, "params": {"p.yaml": {"lr": 1e-05, "none": None, "text": "1e-5"}}}
    texts = []
    for way in (modify_yaml, spliced(name, modify_yaml)):
        path = tmp_path / "dvc.lock"
        path.unlink(missing_ok=True)
        if lock:
            path.write_text(lock)
        with way(str(path)) as data:  # as Lockfile.dump_stages does
            data["stages"] = data.get("stages", {})
            assert data["stages"].get(name, {}).get("cmd") == {"a@1": "one", "a@2": "two"}.get(
                name if "a@" in (lock or "") else ""
            )
            data["stages"].update({name: record})
        texts.append(path.read_text())
    assert texts[0] == texts[1]


@pytest.mark.parametrize(("version", "replaced"), [(TESTED, True), ("3.67.2", False), ("4.0.0", False)])
def test_only_the_tested_dvc_is_changed(version: str, replaced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import dvc.cli
    import dvc.dvcfile
    import dvc.lock

    before = dvc.lock.Lock, dvc.dvcfile.modify_yaml
    monkeypatch.setattr(dvc.lock, "Lock", before[0])  # both are put back after the test
    monkeypatch.setattr(dvc.dvcfile, "modify_yaml", before[1])
    monkeypatch.setattr(dvc, "__version__", version)
    monkeypatch.setattr(sys, "argv", ["dvc", "repro", "-s", "a@1"])
    calls = []

    def main(argv: list[str]) -> int:
        calls.append((argv, dvc.lock.Lock is not before[0], dvc.dvcfile.modify_yaml is not before[1]))
        return 3

    monkeypatch.setattr(dvc.cli, "main", main)
    assert dvc_fork.repro("a@1") == 3
    assert calls == [(["repro", "-s", "a@1"], replaced, replaced)]


def test_the_tested_dvc_is_the_pinned_one() -> None:
    assert f'"dvc=={TESTED}"' in (PROJECT / "pyproject.toml").read_text()


@pytest.mark.slow
def test_a_fork_runs_a_stage_as_dvc_does(built_workspace: Path, tmp_path: Path) -> None:
    for stage in ("reward@sentiment-5k-1", "ppo@sentiment-5k-offline-1", "fetch@movie_reviews"):
        roots = [workspace.copy(built_workspace, tmp_path / f"{way}-{stage}") for way in ("fork", "dvc")]
        for root in roots:
            params = root / "params" / stage.replace("@", "/")
            file = params.with_name(f"{params.name}.yaml")
            file.write_text(file.read_text().replace("lr: 1.77e-05", "lr: 2.0e-05").replace("limit: null", "limit: 5"))
        code, log = forked(roots[0], stage)
        done = run(roots[1], "dvc", "repro", "-s", stage)
        assert code == 0
        assert log == done.stdout + done.stderr
        assert (roots[0] / "dvc.lock").read_text() == (roots[1] / "dvc.lock").read_text()
    code, log = forked(workspace.copy(built_workspace, tmp_path / "w"), "ppo@nothing")
    assert code == 255
    assert "ERROR: Stage 'ppo@nothing' not found" in log


def forked(root: Path, stage: str) -> tuple[int, str]:
    forks = Forks(root, workspace.environment())
    try:
        with (root / "fork.log").open("wb") as log, (root / "lock").open("w") as lock:
            return forks.start(stage, log.fileno(), lock.fileno()).wait(), (root / "fork.log").read_text()
    finally:
        forks.close()


@pytest.mark.slow
def test_a_killed_stage_has_an_exit_code(new_workspace: Path, tmp_path: Path) -> None:
    root = workspace.copy(new_workspace, tmp_path / "w")
    run(root, "dvc", "repro", "params")
    forks = Forks(root, workspace.environment(STUB_GATE="fetch"))
    with (root / "fork.log").open("wb") as log, (root / "lock").open("w") as lock:
        child = forks.start("fetch@movie_reviews", log.fileno(), lock.fileno())
    while "pipelines.fetch" not in (root / "fork.log").read_text():
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert child.ended.is_set()
    forks.close()


def test_dvc_that_does_not_start_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "dvc.py").write_text("raise SystemExit('broken')\n")
    environment = workspace.environment()
    forks = Forks(tmp_path, environment | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{environment['PYTHONPATH']}"})
    with (tmp_path / "log").open("wb") as log, pytest.raises(PreflabError, match="DVC could not be started"):
        forks.start("a", log.fileno(), log.fileno())
    forks.close()


def test_the_forking_process_ends_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from preflab.build.dvc_fork import Forks; "
        "print(Forks(Path(), {**__import__('os').environ})._process.pid, flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, env=workspace.environment(), **pipes)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    while Path(f"/proc/{pid}").exists() and "zombie" not in Path(f"/proc/{pid}/status").read_text():
        time.sleep(0.05)
