"""What a user sees after a mistake: exit status 2, culprit and cure on a line or two, no traceback."""

import errno
import re
import runpy
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import PROJECT
from helpers.command_line import command, error_of


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder with a copy of the project's conf/, dvc.yaml and scripts."""
    for name in ("conf", "pipelines"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    shutil.copy(PROJECT / "dvc.yaml", tmp_path)
    return tmp_path


def replace(file: Path, old: str, new: str) -> None:
    """Change one setting in a file, which must have it."""
    text, count = re.subn(old, new, file.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1, f"{file} has no {old}"
    file.write_text(text)


def test_unknown_choice_has_a_did_you_mean(workspace: Path) -> None:
    replace(workspace / "conf" / "grid" / "quick.yaml", r"labels: \[5k, 60k\]", "labels: [5k, 60kk]")
    error = error_of(command(workspace, "pipelines.grid", "quick"))
    assert "labels=60kk" in error
    assert "did you mean '60k'" in error
    assert "500, 5k, 60k, direct" in error
    assert not (workspace / "instances.yaml").exists()


def test_unknown_grid_has_a_did_you_mean(workspace: Path) -> None:
    error = error_of(command(workspace, "pipelines.grid", "quik"))
    assert "'quik'" in error
    assert "did you mean 'quick'" in error


def test_misspelt_key_in_conf_names_it(workspace: Path) -> None:
    replace(workspace / "conf" / "reward" / "paper.yaml", "^normalize_before:", "normalise_before:")
    error = error_of(command(workspace, "pipelines.grid", "quick"))
    assert "reward.normalise_before" in error
    assert "did you mean 'normalize_before'" in error


def test_misspelt_override_names_it(workspace: Path) -> None:
    replace(workspace / "conf" / "grid" / "smoke.yaml", "^base:.*$", "base:\n  - policy.batch_sise=64")
    error = error_of(command(workspace, "pipelines.grid", "smoke"))
    assert "policy.batch_sise=64" in error
    assert "did you mean 'policy.batch_size'" in error


def test_batch_that_does_not_divide_names_both_numbers(workspace: Path) -> None:
    replace(workspace / "conf" / "policy" / "paper.yaml", r"^nminibatches: 1\b", "nminibatches: 3")
    error = error_of(command(workspace, "pipelines.grid", "paper"))
    assert "policy.batch_size=1024: not a multiple of policy.nminibatches=3" in error


def test_all_problems_are_reported_at_once(workspace: Path) -> None:
    replace(workspace / "conf" / "policy" / "paper.yaml", r"^nminibatches: 1\b", "nminibatches: 3")
    replace(workspace / "conf" / "policy" / "paper.yaml", "^adam: tf", "adam: tff")
    error = error_of(command(workspace, "pipelines.grid", "paper"))
    assert "policy.nminibatches=3" in error
    assert "policy.adam=tff: did you mean 'tf'" in error


def test_scale_that_is_no_number(workspace: Path) -> None:
    replace(workspace / "conf" / "grid" / "quick.yaml", r"scale=1/\d+", "scale=tiny")
    assert "scale=tiny: expected a number or a fraction" in error_of(command(workspace, "pipelines.grid", "quick"))


def test_conf_newer_than_cells_says_what_to_type(workspace: Path) -> None:
    assert command(workspace, "pipelines.grid", "quick").returncode == 0
    assert command(workspace, "pipelines.grid", "--check").returncode == 0
    replace(workspace / "conf" / "reward" / "paper.yaml", "^adam_eps: 1.0e-05", "adam_eps: 1.0e-04")
    error = error_of(command(workspace, "pipelines.grid", "--check"))
    assert "instances.yaml" in error
    assert "python -m pipelines.grid" in error


@pytest.mark.parametrize("stage", ["fetch", "model"])
def test_missing_params_file_says_who_writes_it(tmp_path: Path, stage: str) -> None:
    error = error_of(command(tmp_path, f"pipelines.{stage}", "params/absent.yaml", "--out", "out"))
    assert "params/absent.yaml: not found" in error
    assert "dvc repro params" in error


@pytest.mark.parametrize("stage", ["fetch", "model"])
def test_misspelt_key_in_params_names_it(tmp_path: Path, stage: str) -> None:
    group = {"fetch": "corpus", "model": "model"}[stage]
    (tmp_path / "params.yaml").write_text(f"{group}: {{nam: x}}\n")
    error = error_of(command(tmp_path, f"pipelines.{stage}", "params.yaml", "--out", "out"))
    assert f"params.yaml: {group}.nam: no such setting; did you mean 'name'" in error


def test_read_only_output_folder_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The system's refusal is simulated: root may write anywhere."""

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    params = tmp_path / "params.yaml"
    params.write_text(f"corpus: {{name: x, reader: table, source: path, path: '{params}'}}\n")
    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(sys, "argv", ["fetch", str(params), "--out", str(tmp_path / "raw")])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("pipelines.fetch", run_name="__main__")
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert str(tmp_path / "raw") in error
    assert "read-only" in error


def test_an_occupied_port_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = command(PROJECT, "pipelines.ui", "--port", str(port))
    assert run.stdout == ""
    assert error_of(run).startswith(f"error: port {port} is in use")
    assert run.stderr.count("\n") == 1


def test_a_reader_that_closes_the_pipe_ends_a_command_quietly() -> None:
    program = "from preflab import cli; cli.main(lambda: [print('x' * 9999) for _ in range(9999)] and None)"
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "{program}" | head -1 > /dev/null; exit ${{PIPESTATUS[0]}}'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (141, "")
