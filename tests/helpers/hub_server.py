"""A Hugging Face hub of our own: the part of its API and its files that huggingface_hub and datasets ask for.

    with hub_server.serve({("model", "org/toy"): {"config.json": b"{}"}}) as hub:
        subprocess.run(…, env=os.environ | hub.environment(tmp_path))

Large files (LFS) have their sha256 as ETag and are sent from another host; the others have git's sha1.  Faults:
`cut` bytes after which the connection breaks, `wrong` bytes, `short` files, no `ranges`, some requests `down` (503).
"""

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]
COMMIT = "c" * 40
BRANCHES = {"main", "refs/convert/parquet"}


class Hub(ThreadingHTTPServer):
    """`repositories`: files by kind (model, dataset) and name; each has one commit, COMMIT."""

    daemon_threads = True

    def __init__(self, repositories: dict[tuple[str, str], Files]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories = repositories
        self.asked: list[str] = []  # method, path and first byte of each request
        self.cut: int | None = None
        self.cuts = 1 << 30  # how often
        self.wrong = False
        self.short = False
        self.ranges = True  # False: files are always sent from the start
        self.down = 0  # how many of the next requests are refused

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """For a process that is to use this hub, with its cache under `home`."""
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))
        }
        return kept | {"HF_ENDPOINT": self.address, "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "0"} | more

    def starts(self, name: str) -> list[int]:
        """The first byte that was asked for, of each download of a file."""
        return [int(asked.split()[2]) for asked in self.asked if asked.startswith("GET ") and f"/{name} " in asked]


def is_large(content: bytes) -> bool:
    """The real hub takes 10 MB."""
    return len(content) > 5000


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if is_large(content) else git_sha1(content)


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.route()

    def do_GET(self) -> None:
        self.route()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.route(json.loads(body) if self.headers["Content-Type"] == "application/json" else {})

    def route(self, body: dict[str, object] | None = None) -> None:
        path = unquote(urlsplit(self.path).path)
        start = int(re.sub(r"bytes=(\d+)-.*", r"\1", self.headers.get("Range", "bytes=0-")))
        self.server.asked.append(f"{self.command} {path} {start}")
        if self.server.down > 0:
            self.server.down -= 1
            return self.answer(503, b"")
        if found := re.fullmatch(r"/(cdn/)?(datasets/)?([\w.-]+/[\w.-]+)/resolve/(.+)", path):
            return self.resolve(bool(found[1]), "dataset" if found[2] else "model", found[3], found[4])
        if found := re.fullmatch(r"/api/(model|dataset)s/([\w.-]+/[\w.-]+)(?:/(revision|tree|paths-info)/(.+))?", path):
            return self.api(found[1], found[2], found[3] or "revision", found[4] or "main", body or {})
        return self.answer(404, b"")

    def api(self, kind: str, name: str, what: str, rest: str, body: dict[str, object]) -> None:
        files = self.server.repositories.get((kind, name))
        if files is None:
            return self.answer(401, b"", {"X-Error-Code": "RepoNotFound"})
        revision, inner = self.split(rest)
        if not revision:
            return self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        if what == "revision":
            siblings = [{"rfilename": file} for file in files]
            return self.json(
                {"id": name, "sha": COMMIT, "siblings": siblings, "private": False, "gated": False, "tags": []}
            )
        if what == "paths-info":
            paths = body["paths"]
            assert isinstance(paths, list)
            return self.json([one for path in paths for one in self.listed(files, path, only=True)])
        below = list(self.listed(files, inner, recursive="recursive=true" in self.path.lower()))
        return self.json(below) if below or not inner else self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})

    def split(self, rest: str) -> tuple[str, str]:
        """Revision and path; a branch may have slashes."""
        for revision in (COMMIT, *BRANCHES):
            if rest == revision or rest.startswith(f"{revision}/"):
                return revision, rest[len(revision) :].strip("/")
        return "", ""

    def listed(
        self, files: Files, inner: str, recursive: bool = False, only: bool = False
    ) -> Iterator[dict[str, object]]:
        """Folders and files in the folder `inner`; or `only` this path."""

        def wanted(path: str) -> bool:
            below = path.removeprefix(prefix)
            return path == inner if only else path.startswith(prefix) and (recursive or "/" not in below)

        prefix = f"{inner}/" if inner else ""
        folders = {str(parent) for path in files for parent in PurePosixPath(path).parents if parent.name}
        for folder in sorted(filter(wanted, folders)):
            yield {"type": "directory", "path": folder, "oid": "d" * 40, "size": 0}
        for path in sorted(filter(wanted, files)):
            content = files[path]
            about: dict[str, object] = {"type": "file", "path": path, "oid": git_sha1(content), "size": len(content)}
            if is_large(content):
                about["lfs"] = {"oid": etag(content), "size": len(content), "pointerSize": 130}
            yield about

    def resolve(self, from_cdn: bool, kind: str, name: str, rest: str) -> None:
        files = self.server.repositories.get((kind, name))
        if files is None:
            return self.answer(401, b"", {"X-Error-Code": "RepoNotFound"})
        revision, path = self.split(rest)
        if not revision:
            return self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        if path not in files:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        content = files[path]
        headers = {"ETag": f'"{etag(content)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if is_large(content) and not from_cdn:
            headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(len(content))}
            return self.answer(
                302,
                b"",
                headers
                | {
                    "ETag": '"of the redirect"',
                    "Location": f"http://localhost:{self.server.server_port}/cdn{self.path}",
                },
            )
        return self.send(content, headers)

    def send(self, content: bytes, headers: dict[str, str]) -> None:
        """The bytes that are asked for, as far as the faults let them through."""
        whole = len(content)
        first, last = 0, whole - 1
        if self.server.ranges and (found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))):
            first, last = int(found[1]), min(int(found[2] or whole), whole - 1)
            if first >= whole:
                self.answer(416, b"")
                return
            headers |= {"Content-Range": f"bytes {first}-{last}/{whole}"}
        if self.server.wrong and is_large(content):
            content = bytes(byte ^ 1 for byte in content)
        if self.server.short and is_large(content):
            last = min(last, whole // 2)
        body = content[first : last + 1]
        sent = len(body)
        if self.server.cut is not None and self.server.cuts > 0 and is_large(content) and self.command == "GET":
            sent = min(sent, self.server.cut)
            self.server.cuts -= sent < len(body)
            self.close_connection = True
        self.answer(206 if "Content-Range" in headers else 200, body, headers, sent)

    def json(self, value: object) -> None:
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, sent: int | None = None) -> None:
        """`sent`: how much of the body goes out; None: all."""
        self.send_response(status)
        for name, value in ((headers or {}) | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:sent])

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serve(repositories: dict[tuple[str, str], Files]) -> Iterator[Hub]:
    """The hub, in a thread."""
    with Hub(repositories) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()
