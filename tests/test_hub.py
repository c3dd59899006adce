"""Models and data sets from a hub of our own, one that drops connections, one that serves wrong bytes, and none."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers import hub_server
from helpers.hub_repositories import REPOSITORIES, TOY, WEIGHTS, jsonl, news, parquet
from helpers.hub_server import COMMIT, Hub
from preflab import corpora
from preflab.corpora import fetch
from preflab.errors import PreflabError
from preflab.models import sources
from preflab.settings.data import ColumnsSettings, CorpusSettings, ModelSettings

datasets = pytest.importorskip("datasets")
constants = pytest.importorskip("huggingface_hub.constants")

Run = subprocess.CompletedProcess[str]


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """As HF_HUB_OFFLINE=1."""
    from huggingface_hub.utils import close_session

    close_session()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def model(path: str = f"org/toy@{COMMIT}") -> ModelSettings:
    return ModelSettings("toy", "hub", path)


def corpus(path: str = f"org/news@{COMMIT}", **more: Any) -> CorpusSettings:
    settings: dict[str, Any] = {"subset": "3.0.0" if "news" in path else ""} | more
    return CorpusSettings("toy", "table", source="hub", path=path, **settings)


def rows(folder: Path, split: str) -> list[dict[str, object]]:
    import pyarrow.parquet as pq

    found: list[dict[str, object]] = pq.read_table(folder / "corpus" / f"{split}.parquet").to_pylist()
    return found


# --- models ------------------------------------------------------------------------------------------------------


def test_a_model_is_fetched_once(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    sources.build(model(), tmp_path / "out")
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == TOY | {
        "model.safetensors": WEIGHTS
    }
    assert not any("pytorch_model" in asked for asked in hub.asked)
    asked = len(hub.asked)
    sources.build(model(), tmp_path / "again")
    assert len(hub.asked) == asked
    offline(monkeypatch)
    sources.build(model(), tmp_path / "offline")
    assert (tmp_path / "offline" / "model.safetensors").read_bytes() == WEIGHTS


def test_a_branch_is_asked_for_its_commit_and_remembered(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources.build(model("org/toy"), tmp_path / "out")
    assert "GET /api/models/org/toy 0" in hub.asked[0]
    assert all(COMMIT in asked for asked in hub.asked[1:])  # all files of one commit, whatever happens to the branch
    offline(monkeypatch)
    sources.build(model("org/toy"), tmp_path / "offline")
    with pytest.raises(PreflabError, match=r"org/toy@dev: .* \(offline, .*unset HF_HUB_OFFLINE.*model=tiny"):
        sources.build(model("org/toy@dev"), tmp_path / "dev")


def test_a_broken_connection_is_resumed_where_it_broke(tmp_path: Path, hub: Hub) -> None:
    hub.cut = 25_000
    sources.build(model(), tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == WEIGHTS
    assert sorted(set(hub.starts("model.safetensors"))) == [0, 25_000, 50_000]


def test_a_killed_download_goes_on_where_it_was(tmp_path: Path, hub: Hub) -> None:
    blobs = tmp_path / "hf" / "hub" / "models--org--toy" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{hub_server.etag(WEIGHTS)}.part").write_bytes(WEIGHTS[:41_000])
    sources.build(model(), tmp_path / "out")
    assert set(hub.starts("model.safetensors")) == {41_000}
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == WEIGHTS
    assert not list(blobs.glob("*.part"))


def test_a_server_that_always_begins_at_the_start_is_put_up_with(tmp_path: Path, hub: Hub) -> None:
    blobs = tmp_path / "hf" / "hub" / "models--org--toy" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{hub_server.etag(WEIGHTS)}.part").write_bytes(WEIGHTS[:41_000])
    hub.ranges, hub.cut, hub.cuts = False, 10_000, 1
    sources.build(model(), tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("garbage", [b"x" * 41_000, b"x" * 60_000, b"x" * 70_000])
def test_what_a_killed_download_left_is_not_trusted(tmp_path: Path, hub: Hub, garbage: bytes) -> None:
    blobs = tmp_path / "hf" / "hub" / "models--org--toy" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{hub_server.etag(WEIGHTS)}.part").write_bytes(garbage)
    sources.build(model(), tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == WEIGHTS


def test_wrong_bytes_are_refused_and_not_kept(tmp_path: Path, hub: Hub) -> None:
    hub.wrong = True
    expected = hub_server.etag(WEIGHTS)
    with pytest.raises(PreflabError, match=rf"model\.safetensors: found [0-9a-f]{{64}}, the hub says {expected}"):
        sources.build(model(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    hub.wrong = False
    sources.build(model(), tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == WEIGHTS


def test_a_file_that_is_too_short_is_refused(tmp_path: Path, hub: Hub) -> None:
    hub.short = True
    with pytest.raises(PreflabError, match=r"model\.path=org/toy@c+: .* ends after 30001 bytes, the hub says 60000"):
        sources.build(model(), tmp_path / "out")


def test_a_damaged_file_of_the_cache_is_deleted(tmp_path: Path, hub: Hub) -> None:
    sources.build(model(), tmp_path / "out")
    blob = tmp_path / "hf" / "hub" / "models--org--toy" / "blobs" / hub_server.etag(WEIGHTS)
    blob.write_bytes(b"damaged")
    with pytest.raises(PreflabError, match=r"model\.safetensors: found .* it is deleted, so type the same again"):
        sources.build(model(), tmp_path / "again")
    sources.build(model(), tmp_path / "again")
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == WEIGHTS


def test_a_server_that_is_down_for_a_moment_is_asked_again(tmp_path: Path, hub: Hub) -> None:
    hub.down = 2
    sources.build(model("org/toy"), tmp_path / "out")
    hub.down = 1 << 30
    with pytest.raises(PreflabError, match=r"model\.path=org/toy@main: .*503.*model=tiny"):
        sources.build(model("org/toy@main"), tmp_path / "again")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (f"org/pickled@{COMMIT}", r"Entry Not Found .*model\.safetensors\.index\.json"),
        ("org/absent", "Repository Not Found"),
        ("org/toy@" + "d" * 40, "Revision Not Found"),
        ("no name", "Repo id must"),
    ],
)
def test_a_model_that_the_hub_has_not(tmp_path: Path, hub: Hub, path: str, reason: str) -> None:
    with pytest.raises(PreflabError, match=rf"^model\.path={re.escape(path)}: .*{reason}.*model=tiny"):
        sources.build(model(path), tmp_path / "out")


def stage(
    hub: Hub, home: Path, kind: str, settings: dict[str, object], **more: str
) -> subprocess.CompletedProcess[str]:
    """`python -m pipelines.model` or fetch, with the environment that a user would set."""
    params = home / "toy.yaml"
    params.write_text(json.dumps(settings))
    line = [sys.executable, "-m", f"pipelines.{kind}", str(params), "--out", str(home / "out")]
    return subprocess.run(line, capture_output=True, text=True, check=False, env=hub.environment(home, **more))


COLUMNS = {"text": "article", "reference": "highlights"}
NEWS = {"name": "x", "reader": "table", "source": "hub", "path": "org/news", "subset": "1.0.0", "columns": COLUMNS}
TINY = {"name": "toy", "source": "hub", "path": "org/tiny"}  # a whole model: the stage checks that it computes
TINY_FILES = {file.name: file.read_bytes() for file in (sources.ASSETS / "tiny").iterdir()}


@pytest.mark.parametrize(
    ("kind", "settings", "made", "instead"),
    [
        ("fetch", {"corpus": NEWS}, "corpus/documents-0.parquet", "corpus=movie_reviews"),
        ("model", {"model": TINY}, "model.safetensors", "model=tiny"),
    ],
)
def test_the_environment_of_the_hub_holds(
    tmp_path: Path, kind: str, settings: dict[str, object], made: str, instead: str
) -> None:
    """The cache alone is enough; without it, one line says what to do."""
    with hub_server.serve(REPOSITORIES | {("model", "org/tiny"): TINY_FILES}) as server:
        run = stage(server, tmp_path, kind, settings)
        assert (run.stderr, run.stdout, run.returncode) == ("", "", 0)
        (tmp_path / "out").rename(tmp_path / "first")
        asked = len(server.asked)
        run = stage(server, tmp_path, kind, settings, HF_HUB_OFFLINE="1")
        assert (run.stderr, run.returncode, len(server.asked)) == ("", 0, asked)
        assert (tmp_path / "out" / made).read_bytes() == (tmp_path / "first" / made).read_bytes()
        (tmp_path / "out").rename(tmp_path / "second")
        run = stage(server, tmp_path, kind, settings, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "empty"))
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1, run.stderr
    assert "unset HF_HUB_OFFLINE, or take a" in run.stderr
    assert instead in run.stderr


# --- data sets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streaming", [False, True])
def test_a_data_set_keeps_its_splits(tmp_path: Path, hub: Hub, streaming: bool) -> None:
    fetch.fetch_corpus(corpus(streaming=streaming), tmp_path)
    expected = [
        {"article": row["article"], "highlights": row["highlights"]} for row in news("train", 300) + news("more", 200)
    ]
    assert rows(tmp_path, "train") == expected
    assert len(rows(tmp_path, "test")) == 40
    assert json.loads((tmp_path / "source.json").read_text()) == {
        "repository": "org/news",
        "commit": COMMIT,
        "subset": "3.0.0",
        "rows": {"train": 500, "test": 40},
    }
    assert not any("1.0.0" in asked.split()[1] and "resolve" in asked for asked in hub.asked)


def test_whole_files_are_verified_and_enough_without_network(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.wrong = True
    with pytest.raises(PreflabError, match=r"parquet: found [0-9a-f]{64}, the hub says"):
        fetch.fetch_corpus(corpus(), tmp_path / "wrong")
    assert not (tmp_path / "wrong" / "corpus").exists()
    hub.wrong, hub.cut = False, 8_000
    fetch.fetch_corpus(corpus(), tmp_path / "first")
    assert {0, 8_000} <= set(hub.starts("3.0.0/train-00000-of-00002.parquet"))
    hub.cut = None
    asked = len(hub.asked)
    fetch.fetch_corpus(corpus(), tmp_path / "again")
    assert len(hub.asked) == asked
    offline(monkeypatch)
    fetch.fetch_corpus(corpus(), tmp_path / "offline")
    for name in ("train", "test"):
        content = {
            (tmp_path / run / "corpus" / f"{name}.parquet").read_bytes() for run in ("first", "again", "offline")
        }
        assert len(content) == 1
    with pytest.raises(PreflabError, match=r"org/news@c+: .*offline, and not all of it is in .*corpus=movie_reviews"):
        fetch.fetch_corpus(corpus(subset="1.0.0"), tmp_path / "old")


def test_a_stream_ends_with_the_rows_asked_for_and_survives_breaks(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.cut, hub.cuts = 5_000, 2
    fetch.fetch_corpus(corpus(streaming=True, rows=120), tmp_path)
    assert [row["article"] for row in rows(tmp_path, "train")] == [row["article"] for row in news("train", 120)]
    assert len(rows(tmp_path, "test")) == 40
    assert hub.cuts == 0
    assert hub.starts("3.0.0/train-00001-of-00002.parquet") == []


def test_a_single_split_is_no_split(tmp_path: Path, hub: Hub) -> None:
    """Columns that are empty at first are strings; a branch is resolved to its commit, which source.json keeps."""
    columns = ColumnsSettings(text="content", reference="summary")
    fetch.fetch_corpus(corpus("org/posts@refs/convert/parquet", streaming=True, rows=50, columns=columns), tmp_path)
    found = rows(tmp_path, "documents-0")
    assert found[4:6] == [{"content": "Post 4.", "summary": None}, {"content": "Post 5.", "summary": "A post."}]
    assert json.loads((tmp_path / "source.json").read_text())["commit"] == COMMIT


@pytest.mark.parametrize("streaming", [False, True])
def test_files_may_be_compressed_and_splits_named_otherwise(tmp_path: Path, hub: Hub, streaming: bool) -> None:
    fetch.fetch_corpus(corpus(f"org/packed@{COMMIT}", streaming=streaming), tmp_path)
    assert rows(tmp_path, "train") == [{"text": f"Text {i}.", "label": i % 2} for i in range(30)]
    assert rows(tmp_path, "validation") == [{"text": "Other.", "label": 1}]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"path": "org/absent"}, "Repository Not Found.*corpus=movie_reviews"),
        ({"subset": "9.0.0"}, r"'9\.0\.0' not found.*corpus=movie_reviews"),
        ({"splits": ["tset"]}, r"corpus\.splits=\['tset'\]: .*did you mean 'test'"),
        (
            {"columns": ColumnsSettings("body", "body", "body")},
            r"corpus\.columns\.text=body: .* article, highlights, id",
        ),
        ({"path": f"org/code@{COMMIT}"}, "(?i)scripts are no longer supported"),
        ({"path": f"org/pickles@{COMMIT}"}, "its files are of the kind webdataset"),
    ],
)
def test_a_data_set_that_cannot_be_had(tmp_path: Path, hub: Hub, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(PreflabError, match=reason):
        fetch.fetch_corpus(corpus(**({"path": f"org/news@{COMMIT}"} | change)), tmp_path)
    assert not (tmp_path / "corpus").exists()


DAMAGED = {
    "train.parquet": [
        ("cut off", parquet(news("train", 30))[:-200]),
        ("empty", b""),
        ("no parquet", b"PAR1" + bytes(200) + b"PAR1"),
    ],
    "train.jsonl": [
        ("cut off", jsonl(news("train", 30))[:-40]),
        ("empty", b""),
        ("not UTF-8", jsonl(news("train", 3)).replace(b"News", b"N\xff\xfe")),
        ("no objects", b"1\n2\n"),
        ("one long line", b'{"article": "' + b"x" * 10_000_000),
    ],
    "train.csv": [("more fields than columns", b"article,highlights\na,b\nc,d,e\n"), ("empty", b"")],
}


def read(damaged: CorpusSettings, folder: Path) -> int:
    """Refused by the hub's library, or by the reader of what it wrote."""
    fetch.fetch_corpus(damaged, folder)
    return len(corpora.load(damaged, folder).documents)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("name", "content"),
    [pytest.param(name, content, id=f"{name} {why}") for name, files in DAMAGED.items() for why, content in files],
)
def test_a_data_set_with_a_damaged_file_is_refused(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, streaming: bool
) -> None:
    with hub_server.serve({("dataset", "org/news"): {name: content, "README.md": b"# news"}}) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", server.address)
        damaged = corpus(streaming=streaming, subset="")
        with pytest.raises(PreflabError) as refusal:
            read(damaged, tmp_path)
    assert len(str(refusal.value).splitlines()) == 1
    assert re.search(r"org/news@c+: .*corpus=movie_reviews|train\.parquet|documents-0\.parquet", str(refusal.value))


def test_no_network_is_a_sentence_with_the_alternative(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.server_close()
    hub.shutdown()
    with pytest.raises(PreflabError, match=r"^corpus\.path=org/news@c+: cannot be had .*corpus=movie_reviews, news"):
        fetch.fetch_corpus(corpus(), tmp_path)
