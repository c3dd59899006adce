"""What a user types all day starts at once: `--help`, grid and plan import neither torch nor mlflow."""

import subprocess
import sys
from pathlib import Path

import pytest
import workspace

PIPELINES = sorted(path.stem for path in (workspace.PROJECT / "pipelines").glob("[!_]*.py"))
HEAVY = ["torch", "transformers", "mlflow", "pandas", "sklearn", "matplotlib"]

REPORT = """
import runpy, sys
module, sys.argv = sys.argv[1], sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    print("IMPORTED", [name for name in {heavy} if name in sys.modules])
"""


def imported(root: Path, *arguments: str) -> list[str]:
    """The heavy packages that a module has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT.format(heavy=HEAVY), *arguments],
        cwd=root,
        env=workspace.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    line = done.stdout.splitlines()[-1]
    assert line.startswith("IMPORTED ")
    return eval(line.removeprefix("IMPORTED "))


def test_all_pipelines_are_seen() -> None:
    assert set(workspace.STAGES) | {"grid", "sweep", "ui"} <= set(PIPELINES)


@pytest.mark.parametrize("name", PIPELINES)
def test_help_is_light(name: str) -> None:
    assert imported(workspace.PROJECT, f"pipelines.{name}", "--help") == []


@pytest.mark.slow
def test_grid_and_plan_are_light(tmp_path: Path) -> None:
    root = workspace.make(tmp_path / "w")
    assert imported(root, "pipelines.grid") == []
    assert imported(root, "pipelines.sweep", "-m", "labels=5k", "+plan=true") == []
