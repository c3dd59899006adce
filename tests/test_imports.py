"""What a user types all day starts at once: `--help`, grid and plan import neither torch nor mlflow."""

from pathlib import Path

import pytest
import yaml

from helpers import workspace
from helpers.heavy_imports import imported
from preflab.grid import code

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


@pytest.mark.parametrize("stage", [*workspace.STAGES, "zero_shot"])
def test_a_stage_depends_on_the_code_that_computes_it(stage: str) -> None:
    declared = yaml.safe_load((workspace.PROJECT / "dvc.yaml").read_text())["stages"][stage]
    deps = declared.get("do", declared)["deps"]
    script = "evaluate" if stage == "zero_shot" else stage
    used = code.modules(workspace.PROJECT, script)
    assert used
    if stage != "report":  # whose settings are of no kind
        assert f"params/{stage}/${{key}}.yaml" in deps  # begins with the md5 of the list of modules
        return
    listed = [workspace.PROJECT / path for path in deps if path.startswith("src/")]  # with its template
    missing = {path for path in used if not any(path == dep or path.is_relative_to(dep) for dep in listed)}
    assert sorted(path.name for path in missing) == []
    assert all(any(path == dep or path.is_relative_to(dep) for path in used) for dep in listed), "none is superfluous"


def names(script: str) -> set[str]:
    return {
        file.relative_to(workspace.PROJECT / "src/preflab").as_posix()
        for file in code.modules(workspace.PROJECT, script)
    }


def test_the_code_of_a_stage_is_what_it_imports() -> None:
    assert names("fetch") == {"fetch.py", "hub.py", "hub_data.py"}
    assert names("report") > {"report/page.py", "evaluate/statistics.py"}
    assert names("prepare") > {"prepare.py", "corpora/__init__.py", "corpora/movie_reviews.py"}  # read by name
    assert names("ppo") > {"ppo.py", "online.py", "labellers/classifier.py", "classifier.py"}
    assert not names("ppo") & {"tracking.py", "config.py", "prepare.py", "evaluate/statistics.py", "pretrain.py"}


def test_imports_inside_functions_and_of_packages_count(tmp_path: Path) -> None:
    texts = {
        "pipelines/a.py": "from preflab import one\n",
        "src/preflab/one.py": "def f():\n    from preflab.two import three\n    import preflab.settings.load\n",
        "src/preflab/two/__init__.py": "",
        "src/preflab/two/three.py": "from preflab import corpora, missing\n",
        "src/preflab/two/unused.py": "",
        "src/preflab/corpora.py": "",
        "src/preflab/corpora/by_name.py": "import preflab.four",
        "src/preflab/four.py": "import json",
        "src/preflab/settings/load.py": "",
    }
    for path, text in texts.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    found = code.digests(tmp_path, "a")
    assert list(found) == sorted(
        set(texts) - {"pipelines/a.py", "src/preflab/two/unused.py", "src/preflab/settings/load.py"}
    )
    assert found["src/preflab/two/__init__.py"] == "d41d8cd98f00b204e9800998ecf8427e"  # md5 of nothing
