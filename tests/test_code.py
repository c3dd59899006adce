"""Which code a result depends on (grid/code.py), and that equal stages are one stage whatever their paths are."""

import ast
import json
import shutil
from pathlib import Path

import pytest
import yaml

from helpers import doc_examples, workspace
from helpers.workspace import PROJECT, executions, python, run
from preflab.build import restore
from preflab.errors import PreflabError
from preflab.grid import code
from preflab.grid.instances_yaml import code_file
from preflab.grid.specs import build
from preflab.plan.reasons import plan

SRC = PROJECT / "src"


def names(script: str, *modules: str) -> set[str]:
    """The modules of a stage, by path in src/preflab/."""
    return {path.removeprefix("src/preflab/") for path in code.digests(PROJECT, script, modules)}


def status(root: Path) -> set[str]:
    """The stages that DVC finds changed."""
    return set(json.loads(run(root, "dvc", "status", "--json").stdout))


# --- which modules count ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", sorted(set(workspace.STAGES) - {"report"}))
def test_the_body_of_a_stage_counts_and_orchestration_does_not(script: str) -> None:
    assert f"stages/{script}.py" in names(script)
    rooms = {name.split("/")[0] for name in names(script)}
    assert rooms <= code.COUNTS
    assert not rooms & {"grid", "build", "plan", "records", "sweep", "report", "settings"}


@pytest.mark.parametrize("script", ["comparisons", "evaluate", "ppo", "reward", "sft"])
def test_seeds_precision_and_processes_count(script: str) -> None:
    assert "machine/runtime.py" in names(script)
    assert script in ("comparisons", "evaluate", "sft") or "machine/parallel.py" in names(script)


def test_a_stage_depends_on_the_modules_that_it_uses_alone() -> None:
    assert "training/ppo.py" in names("ppo")
    assert "training/ppo.py" not in names("reward")
    assert "labellers/vader.py" not in names("ppo")
    assert {"labellers/classifier.py", "labellers/classifiers/linear.py"} <= names(
        "ppo", "preflab.labellers.classifier"
    )
    assert "labellers/summary.py" not in names("ppo", "preflab.labellers.classifier")
    assert "corpora/readers/story.py" not in names("prepare", "preflab.corpora.readers.movie_reviews")


def test_every_stage_has_its_code_and_its_settings_as_dependencies() -> None:
    pipeline = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    kinds = [name for name, stage in pipeline.items() if "foreach" in stage]
    assert len(kinds) == 15
    for kind in kinds:
        assert {"${item.code}", f"params/{kind}/${{key}}.yaml"} <= set(pipeline[kind]["do"]["deps"])
    assert "params/code/report.yaml" in pipeline["report"]["deps"]


def test_imports_inside_functions_of_packages_and_in_turn_count(tmp_path: Path) -> None:
    texts = {
        "preflab/stages/a.py": "from preflab.training import one\nif TYPE_CHECKING:\n    import preflab.text.unused",
        "preflab/training/__init__.py": "",
        "preflab/training/one.py": "def f():\n    from preflab.text import three\n    import preflab.settings.load\n",
        "preflab/text/__init__.py": "import mine.helpers",
        "preflab/text/three.py": "from preflab import missing\n",
        "preflab/text/unused.py": "",
        "preflab/settings/load.py": "import preflab.text.unused",
        "mine/__init__.py": "",
        "mine/helpers.py": "import json",
        "mine/other.py": "",
        "mine/labeller.py": "from mine import other",
    }
    for path, text in texts.items():
        (tmp_path / "src" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / path).write_text(text)
    counted = {
        *("preflab/stages/a.py", "preflab/training/__init__.py", "preflab/training/one.py"),
        *("preflab/text/__init__.py", "preflab/text/three.py", "mine/__init__.py", "mine/helpers.py"),
    }
    assert list(code.digests(tmp_path, "a")) == sorted(f"src/{path}" for path in counted)
    named = code.digests(tmp_path, "a", ["mine.labeller"])
    assert named.keys() - code.digests(tmp_path, "a").keys() == {"src/mine/labeller.py", "src/mine/other.py"}
    (tmp_path / "src/mine/helpers.py").write_text("def f(:")
    with pytest.raises(PreflabError, match=r"helpers\.py: line 1: .*; mend it"):
        code.digests(tmp_path, "a")


def test_the_list_of_a_stage_is_found_by_its_params_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps/x/params/code").mkdir(parents=True)
    (tmp_path / "sweeps/x/params/code/ppo.yaml").touch()
    item = {"ppo": {"a-1": {"code": "sweeps/x/params/code/ppo.yaml"}}}
    (tmp_path / "sweeps/x/instances.yaml").write_text(yaml.safe_dump(item))
    assert code_file(Path("sweeps/x/params/ppo/a-1.yaml")) == [Path("sweeps/x/params/code/ppo.yaml")]
    assert code_file(Path("sweeps/x/params/ppo/b-1.yaml")) == []
    assert code_file(Path("params/ppo/a-1.yaml")) == []


def test_the_file_of_a_list_is_named_after_what_settings_name() -> None:
    assert code.file_name("fetch", []) == "fetch.yaml"
    assert code.file_name("ppo", ["preflab.labellers.vader", "mine.taste"]) == "ppo+vader+mine.taste.yaml"
    long = [f"preflab.human_labels.readers.format_{number}" for number in range(20)]
    assert len(code.file_name("human_labels", long)) < code.LONGEST
    assert code.file_name("human_labels", long) != code.file_name("human_labels", long[1:])


# --- the digest is of the meaning -------------------------------------------------------------------------------------


def reworded(text: str) -> str:
    """The same program in other words: comments, other docstrings, other formatting, a type-only import more."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body[0] = ast.Expr(ast.Constant("Other words."))
    more = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import decimal\n"
    future = "from __future__" in text
    return ("" if future else more) + "# a comment\n" + ast.unparse(tree) + ("\n" + more if future else "")


def test_other_words_have_the_same_digest_in_every_module_that_counts(tmp_path: Path) -> None:
    seen = 0
    for file in sorted((SRC / "preflab").rglob("*.py")):
        if file.relative_to(SRC / "preflab").parts[0] in code.COUNTS:
            other = tmp_path / f"{seen}.py"
            other.write_text(reworded(file.read_text()))
            assert code.meaning(other) == code.meaning(file), file
            seen += 1
    assert seen > 80


@pytest.mark.parametrize(
    "change",
    ["x = 2", "x = 1.0", "def f(): return 1", "x = 1\nx = 1", "y = 1", "if True:\n    x = 1", "import math\nx = 1"],
)
def test_another_program_has_another_digest(tmp_path: Path, change: str) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / "b.py").write_text(change)
    assert code.meaning(tmp_path / "a.py") != code.meaning(tmp_path / "b.py")


@pytest.mark.slow
def test_dvc_finds_no_stage_stale_for_other_words_and_the_right_ones_for_other_code(
    built_workspace: Path, tmp_path: Path
) -> None:
    root = workspace.copy(built_workspace, tmp_path / "w")
    before = executions(root)
    for file in (root / "src" / "preflab").rglob("*.py"):
        file.write_text(f'"""Other words."""\n# a comment\n{file.read_text()}')
    assert status(root) == {"params"}
    run(root, "dvc", "repro")
    assert executions(root) == before
    assert status(root) == set()

    runtime = root / "src" / "preflab" / "machine" / "runtime.py"
    runtime.write_text(runtime.read_text() + "SEED = 1\n")
    python(root, "pipelines.grid", "--check")
    changed = run(root, "dvc", "status").stdout
    for stage in ("comparisons@sentiment-tiny", "reward@sentiment-5k-1", "ppo@sentiment-60k-offline-1"):
        assert stage in status(root)
    assert "params/code/ppo+classifier.yaml" in changed
    assert "params/ppo/" not in changed
    assert (
        "code changed: src/preflab/machine/runtime.py"
        in plan(root, build(root, "quick").graph())["reward@sentiment-5k-1"].reasons
    )

    body = root / "src" / "preflab" / "stages" / "ppo.py"
    body.write_text(body.read_text() + "OTHER = 1\n")
    python(root, "pipelines.grid", "--check")
    assert (
        "code changed: src/preflab/stages/ppo.py"
        in plan(root, build(root, "quick").graph())["ppo@sentiment-5k-offline-1"].reasons
    )


@pytest.mark.slow
def test_what_contributing_teaches_to_add_makes_nothing_stale(built_workspace: Path, tmp_path: Path) -> None:
    root = workspace.copy(built_workspace, tmp_path / "w")
    for title in ("## A labeller", "## A corpus", "## A format of human labels", "## A baseline"):
        files = doc_examples.files(doc_examples.section("CONTRIBUTING.md", title))
        assert len(files) >= 2
        doc_examples.place(files, root)
    task = doc_examples.files(doc_examples.section("docs/tasks.md", "## A task of your own"))
    assert "src/simple.py" in task  # a module of the user's beside preflab
    doc_examples.place(task, root)
    before = executions(root)
    python(root, "pipelines.grid")
    assert status(root) == {"params"}
    run(root, "dvc", "repro")
    assert executions(root) == before


# --- DVC shows settings -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_dvc_shows_settings_and_how_they_differ(built_workspace: Path, tmp_path: Path) -> None:
    root = workspace.copy(built_workspace, tmp_path / "w")
    file = root / "conf/reward/paper.yaml"
    file.write_text(file.read_text().replace("1.77e-05}", "2.5e-05}"))
    run(root, "git", "add", "-A")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    run(root, "git", *identity, "commit", "-q", "-m", "another rate")
    python(root, "pipelines.grid")
    shown = json.loads(run(root, "dvc", "params", "diff", "--json", "--all").stdout)
    text = json.dumps(shown)
    assert "params/reward/sentiment-5k-1.yaml" in text
    assert "2.5e-05" in text
    experiments = json.loads(run(root, "dvc", "exp", "show", "--json").stdout)
    params = experiments[0]["data"]["params"]
    reward = next(value for path, value in params.items() if path.endswith("params/reward/sentiment-5k-1.yaml"))
    assert reward["data"]["reward"]["lr"] == 2.5e-05


# --- equal stages of other paths --------------------------------------------------------------------------------------


def test_an_execution_is_known_by_what_its_paths_hold() -> None:
    cmd = "python -m pipelines.reward params/reward/{id}.yaml --queries {q} --out {at}models/{id} --run {at}{id}.json"
    mine = restore.execution(
        cmd.format(id="a", q="data/q", at=""),
        [("params/reward/a.yaml", "1"), ("data/q", "2"), ("params/code/reward.yaml", "3")],
        ["models/a"],
    )
    theirs = restore.execution(
        cmd.format(id="b-7", q="other/q", at="sweeps/x/"),
        [("params/reward/b-7.yaml", "1"), ("other/q", "2"), ("sweeps/x/params/code/reward.yaml", "3")],
        ["sweeps/x/models/b-7"],
    )
    assert mine.identity == theirs.identity
    assert theirs.outs == {"--out": "sweeps/x/models/b-7"}
    for different in (
        [("params/reward/a.yaml", "9"), ("data/q", "2"), ("params/code/reward.yaml", "3")],
        [("params/reward/a.yaml", "1"), ("data/q", "2"), ("params/code/reward.yaml", "9")],
        [("params/reward/a.yaml", "2"), ("data/q", "1"), ("params/code/reward.yaml", "3")],
    ):
        other = restore.execution(cmd.format(id="a", q="data/q", at=""), different, ["models/a"])
        assert other.identity != mine.identity


@pytest.mark.slow
def test_a_sweep_of_another_grid_is_restored_when_the_committed_grid_has_changed(
    built_workspace: Path, tmp_path: Path
) -> None:
    root = workspace.copy(built_workspace, tmp_path / "w")
    python(root, "pipelines.sweep", "-m", "labels=5k")  # the committed grid's own cell: nothing to do
    before = executions(root)
    quick = root / "conf/grid/quick.yaml"
    quick.write_text(yaml.safe_dump(workspace.SMALL | {"product": {"labels": ["1k"]}}))
    python(root, "pipelines.grid")
    run(root, "dvc", "repro")
    new = executions(root) - before
    assert {"reward sentiment-1k-1", "ppo sentiment-1k-offline-1"} <= set(new)

    before = executions(root)
    planned = python(root, "pipelines.sweep", "-m", "labels=5k", "+plan=true").stdout
    assert "restore  + reward@sentiment-5k-1" in planned
    assert "restore  + evaluate@sentiment-5k-offline-1" in planned  # the restores are followed downstream
    assert "\n  run " not in planned
    python(root, "pipelines.sweep", "-m", "labels=5k")
    assert executions(root) == before
    metrics = "reports/metrics/sentiment-5k-offline-1.json"
    assert (root / "sweeps/labels-5k" / metrics).read_text() == (built_workspace / metrics).read_text()

    # and a point of a sweep that joins the grid
    python(root, "pipelines.sweep", "-m", "labels=2.5k")
    before = executions(root)
    quick.write_text(yaml.safe_dump(workspace.SMALL | {"product": {"labels": ["1k", "2.5k"]}}))
    shutil.rmtree(root / "sweeps")
    assert "restored by the next build: 3 stages" in python(root, "pipelines.grid").stdout
    run(root, "dvc", "repro")
    assert set(executions(root) - before) == {"report report"}


@pytest.mark.slow
def test_times_of_other_grids_are_remembered(built_workspace: Path, tmp_path: Path) -> None:
    root = workspace.copy(built_workspace, tmp_path / "w")
    record = {"kind": "reward", "id": "x", "params_sha256": "1", "inputs": {"models/base/tiny": "2"}, "wall_s": 7.0}
    record |= {"started": "2026-01-01T00:00:00.000+00:00"}
    settings = yaml.safe_load((root / "params/reward/sentiment-5k-1.yaml").read_text())
    for run_record in (root / "reports/runs").glob("*.json"):
        run_record.unlink()
    folder = root / ".preflab" / "executions"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "reward-x.json").write_text(json.dumps(record | {"settings": settings}))
    planned = python(root, "pipelines.sweep", "-m", "reward.lr=1e-4", "+plan=true").stdout
    line = next(line for line in planned.splitlines() if "+ reward@" in line)
    assert line.endswith("never built (about 7.0 s)")
