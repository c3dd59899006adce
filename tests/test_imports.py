"""What a user types all day starts at once: `--help`, grid and plan import neither torch nor mlflow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import workspace
import yaml

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


# Modules that every stage uses and that do not decide its numbers: they may change without making results stale.
AROUND = {
    *(
        "cell_files",
        "checkpoint",
        "cli",
        "config",
        "errors",
        "files",
        "grid",
        "kinds",
        "parallel",
        "provenance",
        "runtime",
        "spool",
    ),
    *("telemetry", "tracking"),
    "prepare",  # the other stages only read with it what it wrote
}


def modules_of(file: Path, seen: set[Path], around: set[str]) -> set[Path]:
    """The files of our package but `around` that `file` imports, directly or through others, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = (
            [node.module or "", *(f"{node.module}.{a.name}" for a in node.names)]
            if type(node) is ast.ImportFrom
            else []
        )
        names += [alias.name for alias in node.names] if type(node) is ast.Import else []
        for name in names:
            place = workspace.PROJECT / "src" / name.replace(".", "/")
            for found in (place.with_suffix(".py"), place / "__init__.py"):
                if name.startswith("preflab.") and found.exists() and found not in seen and found.stem not in around:
                    seen.add(found)
                    modules_of(found, seen, around)
    return seen


@pytest.mark.parametrize("stage", [*workspace.STAGES, "zero_shot"])
def test_a_stage_depends_on_the_code_that_computes_it(stage: str) -> None:
    declared = yaml.safe_load((workspace.PROJECT / "dvc.yaml").read_text())["stages"][stage]
    code = [workspace.PROJECT / path for path in declared.get("do", declared)["deps"] if path.startswith("src/")]
    script = "evaluate" if stage == "zero_shot" else stage
    used = modules_of(workspace.PROJECT / "pipelines" / f"{script}.py", set(), AROUND - {stage})
    assert used
    missing = {path for path in used if not any(path == dep or path.is_relative_to(dep) for dep in code)}
    assert sorted(path.name for path in missing) == []
    assert all(any(path == dep or path.is_relative_to(dep) for path in used) for dep in code), "none is superfluous"
