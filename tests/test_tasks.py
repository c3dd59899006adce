"""All five tasks from texts to evaluated policies: the grid `tasks`, its stages by the commands of dvc.yaml, in turn.

The summarization tasks read real articles and posts where they are at hand, the package's news otherwise.
"""

import importlib
import json
import re
import shlex
import sys
from pathlib import Path
from statistics import mean

import pyarrow.parquet as pq
import pytest
import yaml

from helpers import doc_examples, workspace
from helpers.real_files import SAMPLES
from pipelines import _stage
from preflab.build import dvc_state
from preflab.grid import instances_yaml
from preflab.grid import specs as specs_grid

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TASKS = ["sentiment", "descriptiveness", "mock", "tldr_small", "cnndm_small"]
REAL = {
    "tldr_small": ("openai_instructgpt/tldr_samples.csv", "context", "ref_text"),
    "cnndm_small": ("cnndm/kaggle_train_sample100.zip", "article", "highlights"),
}


def spec(task: str) -> dict[str, object]:
    """The grid `tasks` cut down to one task, and fewer contexts than a sample has articles."""
    found = yaml.safe_load((workspace.PROJECT / "conf" / "grid" / "tasks.yaml").read_text())
    found["product"] = {"task": [task]}
    found["base"] += ["evaluation.contexts=4", "comparisons.heldout=8", "comparisons.num=8"]
    file, text, reference = REAL.get(task, ("", "", ""))
    if file and (SAMPLES / file).exists():
        found["base"] += ["corpus=table", f"corpus.path='{SAMPLES / file}'"]
        found["base"] += [f"corpus.columns.text={text}", f"corpus.columns.reference={reference}"]
    return found


def build(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, object]]:
    """Every stage of the grid of a workspace, in this process; the rows of its cells."""
    monkeypatch.chdir(root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
    built = specs_grid.build(root, "quick")
    instances_yaml.write_params(root, built)
    stages = dvc_state.stages(yaml.safe_load((root / "dvc.yaml").read_text()), instances_yaml.as_data(built))
    for instance in built.instances.values():
        words = shlex.split(stages[instance.stage].cmd)
        words = words[: words.index("--run")] if "--run" in words else words  # nothing is recorded
        monkeypatch.setattr(sys, "argv", words[2:])
        _stage.run(words[2].removeprefix("pipelines."), None)
    return built.cells


@pytest.mark.parametrize("task", TASKS)
def test_a_two_cell_grid_of_each_task_is_built(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = build(workspace.make(tmp_path / "w", spec(task)), monkeypatch)
    assert [row["method"] for row in built.values()] == ["zero_shot", "rl"]
    for cell, row in built.items():
        metrics = json.loads(Path(f"reports/metrics/{cell}.json").read_text())
        assert metrics["contexts"] == 4
        assert ("win_rate" in metrics) == (row["method"] == "rl")
        assert ("rouge1" in metrics) == (task in REAL)
        assert metrics["ended"] == 1 or task != "mock"  # the task that truncates nothing


def test_the_task_of_ones_own_in_the_docs_is_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = doc_examples.files(doc_examples.section("docs/tasks.md", "## A task of your own"))
    assert list(shown) == ["conf/task/simple.yaml", "src/simple.py"]
    root = workspace.make(tmp_path / "w")
    doc_examples.place(shown, root)
    (root / "conf" / "grid" / "quick.yaml").write_text(yaml.safe_dump(spec("simple")))
    monkeypatch.syspath_prepend(root / "src")
    built = build(root, monkeypatch)
    assert {row["task"]: row["labeller"] for row in built.values()} == {"simple": "simple.short_words"}
    assert [row["method"] for row in built.values()] == ["zero_shot", "rl"]
    simple = importlib.import_module("simple")
    for cell in built:
        found = pq.read_table(f"data/samples/{cell}/samples.parquet").to_pydict()
        scale = json.loads(Path(f"data/samples/{cell}/labeller.json").read_text())
        scores = [-mean(len(word) for word in re.findall("[a-z]+", text.lower())) for text in found["response"]]
        assert found["true_score"] == pytest.approx([(score - scale["mean"]) / scale["std"] for score in scores])
        assert found["judge"] == simple.few_long_words(found["query"], found["response"])
    grid = specs_grid.build(root, "quick")
    used = {kind: {i.code for i in grid.instances.values() if i.kind == kind} for kind in ("ppo", "reward")}
    assert used == {"ppo": {"params/code/ppo+simple.yaml"}, "reward": {"params/code/reward.yaml"}}
