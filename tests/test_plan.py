"""The plan, which reads DVC's files itself, against `dvc status` in real repositories."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import workspace
from helpers.workspace import python, run
from preflab.build import dvc_state
from preflab.errors import PreflabError
from preflab.grid.specs import build
from preflab.plan.reasons import NEVER, Verdict, _busy, plan

REWARD, SETTINGS = "reward@sentiment-5k-1", "params/reward/sentiment-5k-1.yaml"


def edit(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def edit_code(root: Path) -> None:
    """Change a module and let the stage `params` list its digest."""
    edit(root / "src/preflab/training/ppo.py", "stub", "another stub")
    python(root, "pipelines.grid", "--check")


def remove_from_cache(root: Path, stage: str) -> None:
    records = dvc_state.DvcState(root).records("")
    shutil.rmtree(root / ".dvc/cache/files/md5" / records[stage]["outs"][0]["md5"][:2])


CHANGES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda _root: None,
    "setting": lambda root: edit(root / SETTINGS, "1.77e-05", "2.0e-05"),
    "setting that is missing": lambda root: (root / SETTINGS).unlink(),
    "comment in settings": lambda root: edit(root / SETTINGS, "seed: 1", "seed: 1  # one"),
    "code": lambda root: edit(root / "src/preflab/training/ppo.py", "stub", "another stub"),
    "code of stages": edit_code,
    "code in a folder": lambda root: (root / "src/preflab/labellers/new.py").write_text(""),
    "code that is missing": lambda root: shutil.rmtree(root / "src/preflab/evaluate"),
    "byte code": lambda root: (root / "src/preflab/evaluate/__init__.pyc").write_text(""),
    "input": lambda root: edit(root / "data/queries/sentiment-tiny/weights.txt", "", "x"),
    "output": lambda root: edit(root / "reports/metrics/sentiment-5k-offline-1.json", "{", "{ "),
    "output that is missing": lambda root: shutil.rmtree(root / "models/policy/sentiment-5k-offline-1"),
    "output that the cache has lost": lambda root: remove_from_cache(root, "ppo@sentiment-60k-offline-1"),
    "command": lambda root: edit(root / "dvc.yaml", "pipelines.ppo params", "pipelines.ppo  params"),
    "lost record": lambda root: edit(root / "dvc.lock", f"  {REWARD}:", f"  {REWARD}-gone:"),
    "no records": lambda root: (root / "dvc.lock").unlink(),
    "touched": lambda root: (root / "models/policy/sentiment-5k-offline-1/weights.txt").touch(),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_the_plan_agrees_with_dvc(built_workspace: Path, tmp_path: Path, change: str) -> None:
    root = workspace.copy(built_workspace, tmp_path / "w")
    graph = build(root, "quick").graph()
    assert plan(root, graph) == {}  # and remembers the files
    CHANGES[change](root)
    verdicts = plan(root, graph)
    changed = {stage for stage, (reasons, _) in verdicts.items() if any("after " not in reason for reason in reasons)}
    status = json.loads(run(root, "dvc", "status", "--json").stdout)
    assert changed <= status.keys()
    restored = {stage for stage, verdict in verdicts.items() if verdict.cached}
    for stage in status.keys() - changed - {"report"}:  # what it reads is restored, and then nothing differs
        assert graph[stage] & restored, stage
    assert bool(changed) == (change not in ("nothing", "byte code", "touched"))
    for stage in changed:  # the words are of what DVC names
        text = "; ".join(verdicts[stage].reasons)
        entries = [{entry: []} if isinstance(entry, str) else entry for entry in status[stage]]
        named = [path for entry in entries if "changed deps" in entry for path in entry["changed deps"]]
        named = named or [path for entry in entries if "changed outs" in entry for path in entry["changed outs"]]
        assert text == NEVER or all(path in text for path in named if not path.startswith("params/"))


@pytest.mark.slow
def test_what_the_run_cache_has_is_restored(built_workspace: Path, tmp_path: Path) -> None:
    root = workspace.copy(built_workspace, tmp_path / "w")
    graph = build(root, "quick").graph()
    shutil.rmtree(root / "models/policy/sentiment-5k-offline-1")
    verdicts = plan(root, graph)
    assert verdicts["ppo@sentiment-5k-offline-1"] == Verdict(
        ["output deleted: models/policy/sentiment-5k-offline-1"], cached=True
    )
    file = root / SETTINGS
    edit(file, "1.77e-05", "2.0e-05")
    assert plan(root, graph)[REWARD] == Verdict(["reward.lr: 1.77e-05 → 2e-05"], cached=False)
    run(root, "dvc", "repro", "-s", REWARD)
    edit(file, "2.0e-05", "1.77e-05")
    assert plan(root, graph)[REWARD] == Verdict(["reward.lr: 2e-05 → 1.77e-05"], cached=True)
    assert "is cached" in run(root, "dvc", "repro", "-s", REWARD).stdout
    assert REWARD not in plan(root, graph)


@pytest.mark.slow
def test_what_has_changed_is_named_as_far_as_it_is_known(built_workspace: Path, tmp_path: Path) -> None:
    root = workspace.copy(built_workspace, tmp_path / "w")
    graph = build(root, "quick").graph()
    (root / "src/preflab/labellers/new.py").write_text("")  # no stage names it
    edit_code(root)
    edit(root / SETTINGS, "1.77e-05", "2.0e-05")
    ppo = "code changed: src/preflab/training/ppo.py"
    reward = "reward.lr: 1.77e-05 → 2e-05"
    verdicts = plan(root, graph)  # from DVC's cache
    assert verdicts["ppo@sentiment-5k-offline-1"].reasons == [ppo, f"after {REWARD}"]
    assert verdicts[REWARD].reasons == [reward]
    shutil.rmtree(root / ".dvc/cache/files")
    assert f"settings changed: {SETTINGS}" in plan(root, graph)[REWARD].reasons

    root = workspace.copy(built_workspace, tmp_path / "v")
    assert plan(root, graph) == {}  # and remembers the files
    shutil.rmtree(root / ".dvc/cache/files")
    edit_code(root)
    edit(root / SETTINGS, "1.77e-05", "2.0e-05")
    assert reward in plan(root, graph)[REWARD].reasons


def test_a_stage_that_another_process_writes_is_in_use(tmp_path: Path) -> None:
    lock = tmp_path / ".dvc" / "tmp" / "rwlock"
    lock.parent.mkdir(parents=True)
    writes = {str(tmp_path / "a"): {"pid": 1, "cmd": "dvc repro"}, str(tmp_path / "b"): {"pid": 2**30, "cmd": "gone"}}
    lock.write_text(json.dumps({"write": writes}))
    written = dvc_state.writers(tmp_path)
    assert written == {tmp_path / "a": (1, "dvc repro")}
    reader = dvc_state.DvcStage("", ["a/file"], {})
    assert _busy(tmp_path, reader, written) == "in use by process 1 (dvc repro)"
    assert _busy(tmp_path, dvc_state.DvcStage("", ["ab"], {"b": True}), written) is None


def test_a_large_file_has_the_same_md5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, "dvc", "init", "-q")
    (tmp_path / "file").write_bytes(b"12345")
    small = dvc_state.DvcState(tmp_path).md5("file")
    monkeypatch.setattr(dvc_state, "LARGE", 1)
    state = dvc_state.DvcState(tmp_path)
    assert state.md5("file") == small == "827ccb0eea8a706c4c34a16891f84e7b"  # md5sum
    state.keep()
    assert state.md5("nothing") is None


def test_dvc_yaml_is_filled_in() -> None:
    pipeline = {
        "one": {"cmd": "run", "deps": ["a"], "outs": ["b", {"c": {"cache": False}}]},
        "many": {
            "foreach": "${many}",
            "do": {
                "cmd": "run ${key} --from ${item.data}",
                "deps": ["${item.data}", "params/${key}.yaml"],
                "metrics": [{"${key}.json": {"cache": False}}],
            },
        },
    }
    stages = dvc_state.stages({"stages": pipeline}, {"many": {"x": {"data": "d"}}})
    assert stages["one"] == dvc_state.DvcStage("run", ["a"], {"b": True, "c": False})
    meta = dvc_state.stages({"stages": {"one": {"cmd": "run", "desc": "a text", "meta": {"owner": "x"}}}}, {})
    assert meta == dvc_state.stages({"stages": {"one": {"cmd": "run"}}}, {})
    for key in ("frozen", "params", "always_changed"):  # a plan that ignored one of these would be wrong
        with pytest.raises(PreflabError, match=rf"dvc.yaml: one: {key}: a plan does not understand it; .*choices: cmd"):
            dvc_state.stages({"stages": {"one": {"cmd": "run", key: True}}}, {})
    for foreach in (["x"], {"x": {"data": "d"}}, "x ${many}"):
        with pytest.raises(PreflabError, match=r"dvc.yaml: many: foreach: .*expected \${KIND}"):
            dvc_state.stages({"stages": {"many": {"foreach": foreach, "do": {"cmd": "run"}}}}, {"many": {}})
    assert stages["many@x"] == dvc_state.DvcStage("run x --from d", ["d", "params/x.yaml"], {"x.json": False})


def test_a_dvc_lock_with_a_conflict_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\nstages:\n  a:\n    cmd: [\n  b:\n    cmd: x\n")
    with pytest.raises(PreflabError, match=r"dvc.lock: a: unreadable; take it from git or remove it"):
        dvc_state.DvcState(tmp_path).records("")
