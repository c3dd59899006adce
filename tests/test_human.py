"""Cells that train on human labels: what the stages `human_labels` and `human_comparisons` make, and the report."""

import hashlib
import json
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from tokenizers import Tokenizer, models

from helpers import hub_server, label_files, workspace
from helpers.label_files import PAD as GPT2_PAD
from helpers.report_files import make_grid
from helpers.tiny_model import END, PAD, reward_settings, task
from helpers.toy_reviews import WORDS
from pipelines import _stage
from preflab import comparisons
from preflab.build import dvc_state
from preflab.comparisons import synthetic
from preflab.errors import PreflabError
from preflab.grid import instances_yaml, kinds
from preflab.grid.compose import composer
from preflab.grid.instances import expand
from preflab.grid.points import Point
from preflab.grid.specs import build
from preflab.human_labels import gpt2, table
from preflab.plan.reasons import plan
from preflab.records import tracking
from preflab.report import captions
from preflab.report.cells.load import from_files
from preflab.report.tables import provenance
from preflab.sampling.prompt import Prompt
from preflab.sampling.reference import Reference
from preflab.settings import data, method
from preflab.settings.data import HumanLabelsSettings
from preflab.settings.load import parse
from preflab.settings.stages import ComparisonsStage, HumanLabelsStage, RewardStage
from preflab.stages import human_comparisons as human_comparisons_stages
from preflab.stages import human_labels as human_labels_stages
from preflab.stages import reward as reward_stage
from preflab.stages.human_comparisons import left_out, read

RUNTIME = method.RuntimeSettings(1, "fp32")
QUERY = "we saw the film . we saw it ."
LONG = "good film . it . good plot ."  # ends with its second period, the first at index 4 or later


def stage(heldout: int = 2, num: int = 100, **of_task: Any) -> ComparisonsStage:
    labeller = data.LabellerSettings("people", "classifier", "judge", 0.42)
    return ComparisonsStage(task(**of_task), labeller, data.ComparisonsSettings(num, heldout, 64, 200, 1), RUNTIME)


def jsonl(path: Path, records: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def choice(best: int | None = 0, query: str = QUERY, samples: tuple[str, ...] = (LONG, "bad bad"), **more: Any) -> Any:
    return {"query": query, "samples": list(samples), "best": best, **more}


def bring(settings: HumanLabelsSettings, out: Path) -> dict[str, Any]:
    """Numbers of the stage `human_labels`."""
    return human_labels_stages.run(HumanLabelsStage(settings), out=out).metrics


def brought(path: Path, out: Path, **settings: Any) -> Path:
    """The folder of the stage `labels`."""
    bring(HumanLabelsSettings("own", "path", str(path), **settings), out)
    return out


@pytest.fixture
def vocabulary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Letters in place of GPT-2's vocabulary, which would be fetched."""
    found: dict[str, int] = json.loads((label_files.gpt2_folder(tmp_path / "gpt2") / "encoder.json").read_text())
    monkeypatch.setattr(gpt2, "_vocabulary", lambda _folder: found)
    return found


def released(
    best: int, query: str = "we saw it .", samples: tuple[str, ...] = ("good film .", "bad"), length: int = 24
) -> dict[str, Any]:
    """A record of the files released with the paper, of letters as tokens."""
    padded = {f"sample{i}": label_files.ids(text, 24) for i, text in enumerate(samples)}
    return {"query": label_files.ids(query, length), **padded, "best": best}


def test_texts_become_comparisons_of_the_models_tokens(tmp_path, queries, model):
    rows = [choice(i % 2, labeller="ann") for i in range(5)] + [choice(None), choice(1), choice(0, "it .")]
    folder = tmp_path / "mine"
    jsonl(folder / "a.jsonl", rows)
    jsonl(folder / "b.jsonl", [{"query": QUERY, "samples": ["good"], "scores": [1.0]}])
    found = human_comparisons_stages.run(
        stage(), labels=brought(folder, tmp_path / "l"), queries=queries, model=model, out=tmp_path / "out"
    ).metrics
    train, heldout = (comparisons.read(tmp_path / "out" / f"{name}.parquet") for name in ("train", "heldout"))
    # the last six tokens of the query; samples through their end token, and room for the task's eight
    assert train[0].query == [WORDS.index(word) for word in ["film", ".", "we", "saw", "it", "."]]
    assert train[0].samples == [[1, 4, END, 8, END, PAD, PAD, PAD], [2, 2, PAD, PAD, PAD, PAD, PAD, PAD]]
    assert [c.best for c in train] == [0, 1, 0, 1, 0]
    assert [(c.best, c.query) for c in heldout] == [(1, train[0].query), (0, [8, END, PAD, PAD, PAD, PAD])]
    assert {(c.labeller, c.source) for c in train} == {("ann", "mine/a.jsonl")}
    assert {c.labeller for c in heldout} == {"people"}
    assert {key: found[key] for key in ("labels", "train", "heldout", "retokenised", "queries_cut")} == {
        "labels": 9, "train": 5, "heldout": 2, "retokenised": 0, "queries_cut": 6,
    }  # fmt: skip
    assert (found["left_out_ties"], found["left_out_ratings"], found["responses_cut"]) == (1, 1, 7)
    assert found["heldout_queries_in_train"] == 1
    assert found["judge_agrees"] in (0, 0.5, 1)
    calibration = synthetic.load_calibration(tmp_path / "out")
    assert (calibration.name, calibration.scorer, calibration.judge) == ("people", "classifier", "judge")
    assert calibration.judge_agreement == pytest.approx(0.42)
    assert json.loads((tmp_path / "out" / "human.json").read_text()) == found


def test_a_reward_model_trains_on_them_as_on_others(tmp_path, queries, model):
    labels = brought(jsonl(tmp_path / "a.jsonl", [choice(i % 2) for i in range(10)]), tmp_path / "l")
    human_comparisons_stages.run(stage(), labels=labels, queries=queries, model=model, out=tmp_path / "out")
    paths = {"queries": queries, "model": model, "comparisons": tmp_path / "out", "out": tmp_path / "reward"}

    def trained(number: int) -> dict[str, float]:
        cfg = RewardStage(task(), method.InitialSettings("5k", number), False, reward_settings(), RUNTIME, 1)
        return reward_stage.run(cfg, **paths, log=tracking.SilentRecord()).metrics

    assert trained(8)["num_train"] == 8
    with pytest.raises(PreflabError, match=r"holds 8 comparisons, labels 5k needs 12; .* fewer comparisons\.heldout"):
        trained(12)


def test_token_ids_become_text_for_a_model_with_another_tokenizer(tmp_path, queries, model, vocabulary):
    path = jsonl(tmp_path / "sentiment" / "offline_5k.json", [released(i % 2) for i in range(6)])
    found = human_comparisons_stages.run(
        stage(), labels=brought(path, tmp_path / "l"), queries=queries, model=model, out=tmp_path / "out"
    ).metrics
    first = comparisons.read(tmp_path / "out" / "train.parquet")[0]
    assert first.query == [6, 7, 8, END, PAD, PAD]
    assert first.samples == [[1, 4, END, *[PAD] * 5], [2, *[PAD] * 7]]
    assert (found["retokenised"], found["labels"], found["queries_cut"]) == (6, 6, 0)


def test_token_ids_stay_what_they_are_for_gpt2(tmp_path, vocabulary):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"n_positions": 64, "vocab_size": 50257}))
    Tokenizer(models.BPE(vocabulary, [])).save(str(folder / "tokenizer.json"))
    labels = brought(jsonl(tmp_path / "a.json", [released(1)]), tmp_path / "l") / "labels.parquet"
    prompt = Prompt(50257, ord("."), 4)
    counts: Counter[str] = Counter()
    long = task(query_length=24, response_length=24)
    (got,) = read(labels, long, Reference(None, None, None, prompt), folder, counts)
    assert GPT2_PAD not in got.query
    assert (got.query, got.samples) == ([*map(ord, "we saw it .")], [[*map(ord, "good film .")], [*map(ord, "bad")]])
    assert counts["retokenised"] == 0


def test_the_files_own_splits_are_held_out(tmp_path, queries, model):
    rows = [choice(0, split=split) for split in ("valid1", "train", "test", "train", "valid2")]
    labels = brought(jsonl(tmp_path / "a.jsonl", rows), tmp_path / "l")
    found = human_comparisons_stages.run(
        stage(), labels=labels, queries=queries, model=model, out=tmp_path / "out"
    ).metrics
    assert (found["train"], found["heldout"]) == (2, 2)  # at most comparisons.heldout


def test_two_humans_agree_by_hand(tmp_path, queries, model):
    """Answers 0, 0, 1 to one question: one pair of three is alike; a person's second answer replaces the first."""
    who = [("ann", 0), ("bob", 0), ("cyd", 0), ("cyd", 1)]
    rows = [choice(best, labeller=name) for name, best in who] + [choice(0, "it ."), choice(0, "we saw .")]
    labels = brought(jsonl(tmp_path / "a.jsonl", rows), tmp_path / "l")
    found = human_comparisons_stages.run(
        stage(), labels=labels, queries=queries, model=model, out=tmp_path / "out"
    ).metrics
    assert (found["questions_asked_again"], found["labellers_agree"]) == (1, 0.3333)


def test_a_summary_keeps_the_beginning_of_its_source(tmp_path, queries, model):
    labels = brought(jsonl(tmp_path / "a.jsonl", [choice()] * 4), tmp_path / "l")
    human_comparisons_stages.run(stage(suffix="the"), labels=labels, queries=queries, model=model, out=tmp_path / "out")
    words = [WORDS[i] for i in comparisons.read(tmp_path / "out" / "train.parquet")[0].query]
    assert " ".join(words) == "we saw the film . we"


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([choice()] * 2, {}, r"labels\.parquet: 2 labels .*comparisons\.heldout=2 leaves 0 .*lower comparisons\.held"),
        ([choice(None)] * 3, {}, r"none of the 3 labels can be trained on .*\(3 ties\); name a file"),
        ([choice(query="it " * 60)] * 4, {}, r"queries of 60 tokens on average, but task\.query_length=6; take the"),
        (
            [choice(samples=("it " * 60, "it"))] * 4,
            {"response_length": 9},
            r"responses of 30 tokens.*response_length=9",
        ),
        ([choice(), choice(samples=("a", "b", "c"))] * 2, {}, r"different numbers of samples \(2 of 2, 2 of 3\)"),
        ([choice(task="tldr")] * 4, {"name": "cnndm"}, r"none of the 4 labels .*task=cnndm \(4 other tasks\)"),
        ([choice(samples=("", "a"))] * 4, {}, r"\(4 empty\)"),
    ],
)
def test_labels_that_no_cell_can_train_on_are_refused(tmp_path, queries, model, rows, settings, message):
    labels = brought(jsonl(tmp_path / "a.jsonl", rows), tmp_path / "l")
    with pytest.raises(PreflabError, match=message):
        human_comparisons_stages.run(
            stage(**settings), labels=labels, queries=queries, model=model, out=tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()


def test_a_task_of_ones_own_takes_any_labels():
    label = table.HumanLabel("q", ["a", "b"], 0, None, "", "tldr", "", "", "", 1, None, None)
    assert left_out(label, "haiku") == ""
    assert left_out(label, "tldr") == ""
    assert left_out(label, "sentiment") == "other_tasks"


def test_files_that_are_not_what_they_should_be_are_refused(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", [choice(), choice(7)])
    with pytest.raises(
        PreflabError, match=r"1 of 2 rows rejected, .*row 2: best is 7.*labeller\.human_labels\.max_bad=1"
    ):
        brought(path, tmp_path / "l")
    assert not (tmp_path / "l" / "labels.parquet").exists()
    with pytest.raises(
        PreflabError, match=r"found sha256 [0-9a-f]{64}, expected 00 \(labeller\.human_labels\.sha256\)"
    ):
        brought(path, tmp_path / "l", sha256="00")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    found = bring(HumanLabelsSettings("own", "path", str(path), sha256=digest, max_bad=1), tmp_path / "l")
    assert (found["summary"]["rows"], found["rejected"]) == (1, 1)
    assert found["rejected_rows"] == [{"file": "a.jsonl", "row": 2, "reason": "best is 7, expected 0 to 1"}]


def test_a_file_of_the_hub_is_continued_and_says_its_commit(tmp_path, hub, vocabulary):
    content = json.dumps([released(i % 2) for i in range(60)]).encode()
    hub.repositories[("dataset", "org/labels")] = {"sentiment/offline_5k.json": content}
    hub.cut, hub.cuts = 3000, 2
    file = HumanLabelsSettings("paper", "hub", "org/labels", "sentiment/offline_5k.json")
    found = bring(file, tmp_path / "l")
    assert len(hub.starts("offline_5k.json")) > 2
    assert (found["commit"], found["summary"]["rows"]) == (hub_server.COMMIT, 60)
    label = next(table.read_labels(tmp_path / "l" / "labels.parquet"))
    assert (label.task, label.file) == ("sentiment", "offline_5k.json")  # told by the folder
    with pytest.raises(
        PreflabError, match=r"labeller\.human_labels\.path=org/none: .*or name a file of yours: labeller=hum"
    ):
        bring(HumanLabelsSettings("paper", "hub", "org/none", "a.json"), tmp_path / "l")


def cell(root: Path, *lines: str) -> Any:
    with composer(workspace.PROJECT / "conf") as compose:
        return compose(list(lines))


def test_a_cell_reads_labels_in_place_of_making_them(tmp_path, monkeypatch):
    path = jsonl(tmp_path / "mine.jsonl", [choice()])
    settings = cell(tmp_path, "labeller=human", f"labeller.human_labels.path={path}")
    needed = [kind.name for _, kind in kinds.order(settings)]
    assert "comparisons" not in needed
    assert needed.index("human_labels") < needed.index("human_comparisons") < needed.index("reward")
    own = {kind.name: kind.owns(settings) for _, kind in kinds.order(settings)}
    assert own["human_labels"]["human_labels"]["path"] == str(path)
    # another file is another stage `human_labels`; the comparisons are stale by what that stage gives, not by a setting
    assert own["human_comparisons"]["labeller"].keys() == {
        *("name", "scorer", "judge", "agreement", "flip_rate", "pool"),
    }
    assert kinds.files_of("human_labels", own["human_labels"], "p") == {"file": str(path)}
    monkeypatch.chdir(tmp_path)
    assert kinds.files_of("human_labels", own["human_labels"], "p") == {"file": "mine.jsonl"}
    hub_file = kinds.KINDS["human_labels"].owns(cell(tmp_path, "labeller=human_sentiment"))
    assert kinds.files_of("human_labels", hub_file, "params/human_labels/x.yaml") == {
        "file": "params/human_labels/x.yaml"
    }


def test_every_released_file_is_a_choice():
    files = {}
    with composer(workspace.PROJECT / "conf") as compose:
        for name in ("sentiment", "descriptiveness", "cnndm", "cnndm_online", "tldr", "tldr_online"):
            settings = compose([f"labeller=human_{name}", f"task={name.removesuffix('_online')}"])
            parsed = parse("human_labels", kinds.KINDS["human_labels"].owns(settings), "conf").human_labels
            parse("human_comparisons", kinds.KINDS["human_comparisons"].owns(settings), "conf")
            assert (parsed.source, parsed.path) == ("hub", "vwxyzjn/lm-human-preferences")
            files[name] = parsed.file
    assert files["sentiment"] == "sentiment/offline_5k.json"
    assert files["cnndm_online"] == "cnndm/online_45k.json"
    assert len(set(files.values())) == 6


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["labeller=human"], r"labeller\.human_labels\.path is not set: name your file or folder"),
        (
            ["labeller=human", "labeller.human_labels.path=none.json"],
            r"path=none\.json: no such file or folder \(a relative",
        ),
        (["labeller=human_tldr", "labeller.human_labels.source=web"], r"labels\.source=web: .*choices: hub, path"),
        (["labeller=human_tldr", "labeller.human_labels.format=trll"], r"labels\.format=trll: did you mean 'trl'"),
        (
            ["labeller=human_tldr", "labeller.human_labels.max_bad=1.5"],
            r"max_bad=1\.5: must be a whole number, or a share",
        ),
        (["labeller=human_tldr", "collection=online"], r"collection=online: human labels cannot be collected while a"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_before_anything_runs(tmp_path, lines, message):
    root = tmp_path / "w"
    (root / "conf").parent.mkdir()
    (root / "conf").symlink_to(workspace.PROJECT / "conf")
    with composer(root / "conf") as compose, pytest.raises(PreflabError, match=message):
        expand("x", [Point(lines, {})], compose)


TEXTS = "It was a film of {} . I saw it .", ("It is good .", "It is bad .", "A film", "No")
LABELS = {
    "released": lambda i: released(i % 4, TEXTS[0].format(i), TEXTS[1], 40),
    "own": lambda i: choice(i % 4, TEXTS[0].format(i), TEXTS[1], labeller="ann"),
}


def small(path: Path) -> dict[str, Any]:
    """Two cells of budgets that mean nothing."""
    found: dict[str, Any] = yaml.safe_load((workspace.PROJECT / "conf" / "grid" / "tasks.yaml").read_text())
    found["base"] += ["evaluation.contexts=4", "comparisons.heldout=8", "comparisons.num=8", "labeller=human"]
    return found | {
        "product": {"task": ["sentiment"]},
        "base": [*found["base"], f"labeller.human_labels.path='{path}'"],
    }


def built_by_commands(root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Every stage of the grid by its command in dvc.yaml, in turn; returns the grid."""
    built = build(root, "quick")
    instances_yaml.write_params(root, built)
    stages = dvc_state.stages(yaml.safe_load((root / "dvc.yaml").read_text()), instances_yaml.as_data(built))
    for instance in built.instances.values():
        words = shlex.split(stages[instance.stage].cmd)
        words = words[: words.index("--run")]  # nothing is recorded
        monkeypatch.setattr(sys, "argv", words[2:])
        _stage.run(words[2].removeprefix("pipelines."), None)
    return built


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("schema", LABELS)
def test_a_grid_is_built_on_human_labels(tmp_path, monkeypatch, vocabulary, schema):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps([LABELS[schema](i) for i in range(24)]))
    root = workspace.make(tmp_path / "w", small(path))
    monkeypatch.chdir(root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
    built = built_by_commands(root, monkeypatch)
    assert [row["method"] for row in built.cells.values()] == ["zero_shot", "rl"]
    assert {row["synthetic"] for row in built.cells.values()} == {False}
    finished = from_files(instances_yaml.report_params(built))
    assert "Human labels, synthetic judge" in captions.caption_mark(finished)
    facts = dict(provenance.facts(finished))
    said = "sentiment: 8 to train on and 8 held out, of 24"
    if schema == "released":
        said += "; 24 tokenised again from their text, as tiny has another tokenizer than the labels"
    assert facts["Human labels"].startswith(said)
    assert facts["Labels are from"] == "human (labeller: human)"
    assert ("human_labels", "own") in {
        (name, instance) for name, instance, _ in provenance.lineage(finished.cells[-1], finished)
    }


@pytest.mark.slow
def test_dvc_notices_another_file_of_labels(tmp_path):
    path = jsonl(tmp_path / "mine.jsonl", [choice()])
    root = workspace.make(tmp_path / "w", small(path))
    workspace.run(root, "dvc", "repro")
    graph = build(root, "quick").graph()
    assert plan(root, graph) == {}
    jsonl(path, [choice(1)])
    verdicts = plan(root, graph)
    assert verdicts["human_labels@own"].reasons == [f"input changed: {path}"]
    assert json.loads(workspace.run(root, "dvc", "status", "--json").stdout).keys() - {"report"} == {"human_labels@own"}
    workspace.run(root, "dvc", "repro")
    found = workspace.executions(root)
    assert found["human_labels own"] == 2
    comparisons = {name: count for name, count in found.items() if name.startswith("human_comparisons ")}
    assert list(comparisons.values()) == [1]  # the stub wrote the same
    path.unlink()
    assert plan(root, graph)["human_labels@own"].reasons == [f"input deleted: {path}"]


def test_a_run_says_whether_it_reads_human_labels(tmp_path):
    assert tracking._reads_human_labels("human_comparisons", {})
    assert not tracking._reads_human_labels("reward", {"comparisons": tmp_path})
    (tmp_path / "human.json").touch()
    assert tracking._reads_human_labels("reward", {"comparisons": tmp_path})


def test_the_report_says_that_humans_labelled_and_what_became_of_their_labels(tmp_path):
    about = make_grid(tmp_path, ["sentiment-5k-offline-1", "sentiment-direct-1"])
    found = {"labels": 6260, "train": 4992, "heldout": 1024, "retokenised": 6260, "left_out_ties": 3}
    found |= {"left_out_other_tasks": 1, "queries_cut": 20, "responses_cut": 0, "agreement": 0.38, "judge_tau": 1.5}
    (tmp_path / "reports/comparisons/sentiment-tiny.json").write_text(json.dumps(found))
    for name in ("sentiment-zero-shot", "sentiment-5k-offline-1"):
        about["cells"][name] |= {"labeller": "people", "agreement": None, "synthetic": False}
    mixed = from_files(about, tmp_path)
    assert captions.caption_mark(mixed).startswith("Human and synthetic labels, synthetic judge; labels × 1/40")
    assert captions.labellers(mixed.cells) == "classifier, two such labellers agree on 42 %; people"
    facts = dict(provenance.facts(mixed))
    assert facts["Human labels"] == (
        "sentiment: 4,992 to train on and 1,024 held out, of 6,260; left out: 1 other tasks, 3 ties; 6,260 tokenised "
        "again from their text, as tiny has another tokenizer than the labels; cut to the task: 20 queries, 0 responses"
    )
    assert facts["Labeller and judge"] == "two labellers agree on 38 %, judge's τ 1.5"
    about["cells"].pop("sentiment-direct-1")
    alone = from_files(about, tmp_path)
    assert captions.caption_mark(alone).startswith("Human labels, synthetic judge; labels × 1/40")
