"""The worked examples of CONTRIBUTING.md: their files in a copy of the project, and the commands that they show."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from helpers import doc_examples, report_files, workspace
from helpers.doc_examples import PROJECT
from preflab.grid import code, instances_yaml
from preflab.grid.specs import build

DOCUMENT = "CONTRIBUTING.md"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project without its results; `assets/` is linked, it holds a model."""
    for name in ("conf", "pipelines", "src"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("assets", "__pycache__"))
    (tmp_path / "src" / "preflab" / "assets").symlink_to(PROJECT / "src" / "preflab" / "assets")
    shutil.copy(PROJECT / "dvc.yaml", tmp_path)
    instances_yaml.write(tmp_path, build(tmp_path, "smoke"))  # a pipeline that is there already
    workspace.run(tmp_path, "git", "init", "-q")
    (tmp_path / ".dvc").mkdir()
    shutil.copy(PROJECT / ".dvc" / "config", tmp_path / ".dvc")
    return tmp_path


def added(heading: str, project: Path) -> list[str]:
    """Put the files of an example in their places; their names, code first."""
    found = doc_examples.files(doc_examples.section(DOCUMENT, heading))
    doc_examples.place(found, project)
    return list(found)


def typed(heading: str, project: Path) -> str:
    """What the commands of an example print."""
    shown = doc_examples.commands(doc_examples.section(DOCUMENT, heading))
    assert shown
    return "".join(python(project, *shlex.split(line)[1:]) for line in shown)


def python(project: Path, *arguments: str) -> str:
    """What Python prints in the copy, with the library of the copy."""
    return workspace.run(project, "python", *arguments, PYTHONPATH=str(project / "src")).stdout


def test_a_labeller(project: Path) -> None:
    assert added("## A labeller", project) == ["src/preflab/labellers/variety.py", "conf/labeller/variety.yaml"]
    assert "comparisons@sentiment-tiny-variety" in typed("## A labeller", project)
    program = "print(labellers.load('variety', None).score(['', '', ''], ['a b c d', 'a b a b', '']).tolist())"
    assert python(project, "-c", f"from preflab import labellers; {program}") == "[1.0, 0.5, 0.0]\n"


def test_a_corpus(project: Path) -> None:
    assert added("## A corpus", project) == ["src/preflab/corpora/readers/fortunes.py", "conf/corpus/fortunes.yaml"]
    (project / "fortunes").write_bytes(b"A bird in the hand.\n%\nTwo in\nthe bush.\n")
    assert "fetch@fortunes" in typed("## A corpus", project)
    program = """
import sys
from pathlib import Path
from preflab import corpora
from preflab.corpora import fetch
from preflab.grid import compose
from preflab.settings.load import parse
with compose.composer(Path("conf")) as composed:
    settings = composed(["corpus=fortunes", "corpus.path=fortunes"])["corpus"]
corpus = parse("fetch", {"corpus": settings}, "conf").corpus
fetch.fetch_corpus(corpus, Path("raw"))
print([(document.text, document.source) for document in corpora.load(corpus, Path("raw")).documents])
"""
    found = [("A bird in the hand.", "fortunes"), ("Two in\nthe bush.", "fortunes")]
    assert python(project, "-c", program) == f"{found}\n"


def test_a_format_of_human_labels(project: Path) -> None:
    files = ["src/preflab/human_labels/readers/votes.py", "conf/labeller/votes.yaml"]
    assert added("## A format of human labels", project) == files
    record = {"ask": "q", "left": "a", "right": "b", "vote": "right", "who": "ann"}
    (project / "votes.jsonl").write_text(f"{json.dumps(record)}\n{json.dumps(record | {'vote': 'tie'})}\n")
    printed = typed("## A format of human labels", project)
    assert "rows by format: votes 2" in printed
    assert "human_comparisons@sentiment-tiny-human-votes" in printed
    assert "won of 2    0: 0.0%, 1: 100.0%" in printed
    (project / "votes.jsonl").write_text(f"{json.dumps(record)}\n{json.dumps(record | {'vote': 'up'})}\n")
    refused = workspace.run(
        project, "python", "-m", "pipelines.ingest", "votes.jsonl", check=False, PYTHONPATH=str(project / "src")
    )
    assert refused.returncode == 2
    assert "row 2: the answer is 'up', expected one of left, right, or tie" in refused.stderr


def test_a_baseline(project: Path) -> None:
    files = ["src/preflab/evaluate/baselines/first_sentence.py", "conf/method/first_sentence.yaml"]
    assert added("## A baseline", project) == files
    assert "text@sentiment-first_sentence" in typed("## A baseline", project)
    program = "print(baselines.respond('first_sentence', ['It rains. It pours.', ''], [None, None]))"
    assert python(project, "-c", f"from preflab.evaluate import baselines; {program}") == "['It rains.', '']\n"
    assert files[0] in code.digests(project, "evaluate", ["preflab.evaluate.baselines.first_sentence"])


def test_a_table(project: Path) -> None:
    found = doc_examples.files(doc_examples.section(DOCUMENT, "## A table"))
    assert list(found) == ["src/preflab/report/tables/different.py", "conf/report.yaml"]
    line = found.pop("conf/report.yaml")
    doc_examples.place(found, project)
    with (project / "conf" / "report.yaml").open("a") as stream:
        stream.write(line)
    report_files.make_grid(project, ["sentiment-5k-offline-1", "sentiment-60k-offline-1"])
    typed("## A table", project)
    for name in ("index.md", "index.html"):
        assert "Different responses. Synthetic labels" in (project / "reports" / name).read_text()
    ids = ["sentiment-zero-shot", "sentiment-5k-offline-1", "sentiment-60k-offline-1"]
    rows = (project / "reports" / "tables" / "different.csv").read_text().splitlines()
    assert rows[0] == "cell,share,cells"
    assert sorted(row.split(",")[0] for row in rows[1:]) == sorted(ids)
    assert (project / "reports" / "tables" / "different.tex").exists()
