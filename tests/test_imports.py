"""What a user types all day starts at once: `--help`, grid and plan import neither torch nor mlflow."""

from pathlib import Path

import pytest

from helpers import workspace
from helpers.heavy_imports import imported

PIPELINES = sorted(path.stem for path in (workspace.PROJECT / "pipelines").glob("[!_]*.py"))


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
