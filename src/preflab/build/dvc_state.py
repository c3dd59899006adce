"""What dvc.yaml wants, what dvc.lock remembers, and what is there now, read without DVC.

DVC takes 10 ms a stage and a second for a long dvc.lock to say that nothing has changed; a plan asks for little of it.
What was read is remembered in `.preflab/plan.json`: of a path the md5, as long as inode, time and size stay; of a
dvc.lock the stages, as long as their text stays; of a file in params/ the content, as long as some stage was built
from it; of the run-cache its entries.  tests/test_plan.py holds the answers against `dvc status`.
"""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from preflab.build import restore
from preflab.errors import PreflabError, did_you_mean
from preflab.files import read, replace

if TYPE_CHECKING:
    from dvc.repo import Repo
    from pathspec import GitIgnoreSpec

Record = dict[str, Any]  # a stage of dvc.lock: cmd, deps, params, outs

KEYS = ["cmd", "wdir", "desc", "deps", "outs", "metrics", "plots"]  # of a stage of dvc.yaml
LARGE = 8 << 20  # bytes; the md5 of a larger file is looked up in DVC's own memory first


class Stage(NamedTuple):
    """A stage of dvc.yaml, filled in.  `outs`: by path, whether DVC's cache keeps it (it does not keep metrics)."""

    cmd: str
    deps: list[str]
    outs: dict[str, bool]


class State:
    """One look at a workspace, which other processes may be changing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._memory = _load(root / ".preflab" / "plan.json")
        self._texts: dict[str, Record] = {}
        self._stages: dict[str, dict[str, Stage]] = {}
        self._records: dict[str, dict[str, Record]] = {}
        self._md5s: dict[str, list[str]] = {}  # path → signature, md5
        self._contents: dict[str, str] = self._memory.get("contents", {})  # md5 → text
        self._found: dict[str, str | None] = {}
        self._executions: dict[str, list[str]] = {}  # entry of the run-cache → identity (restore.py), its text
        self._repo: Repo | None = None
        self._ignored: GitIgnoreSpec | None = None

    def stages(self, at: str) -> dict[str, Stage]:
        """dvc.yaml in the folder `at` ("" for the project's own), by stage."""
        if at not in self._stages:
            folder = self.root / at
            self._stages[at] = stages(read(folder / "dvc.yaml"), read(folder / "instances.yaml"))
        return self._stages[at]

    def records(self, at: str) -> dict[str, Record]:
        """dvc.lock in the folder `at`, by stage.  Each stage is parsed alone, and only if its text is new."""
        if at not in self._records:
            lock = self.root / at / "dvc.lock"
            with _unchanging(self.root):
                text = lock.read_text() if lock.exists() else ""
            known = self._memory.get("texts", {})
            self._records[at] = {}
            for one in re.findall(r"^  \S.*\n(?:^(?:    .*)?\n)*", text.partition("\nstages:")[2], re.MULTILINE):
                key = hashlib.sha256(one.encode()).hexdigest()
                self._texts[key] = known.get(key) or parsed(one, f"{at}dvc.lock")
                self._records[at] |= self._texts[key]
        return self._records[at]

    def md5(self, path: str) -> str | None:
        """Of a file or a folder, as dvc.lock writes it; None if there is nothing."""
        if path not in self._found:
            self._found[path] = self._md5(path)
        return self._found[path]

    def expect(self, outs: dict[str, str]) -> None:
        """Answer for these paths with the md5s that they will have once DVC has restored them."""
        self._found |= outs

    def execution(self, file: Path) -> tuple[str, Record]:
        """The identity and the content of an entry of the run-cache, which never changes."""
        key = f"{file.parent.name}/{file.name}"
        known = self._memory.get("executions", {}).get(key)
        if known is None:
            record = parsed(file.read_text(), file.name)
            known = [restore.of_record(record).identity, json.dumps(record)]
        self._executions[key] = known
        return known[0], json.loads(known[1])

    def text(self, md5: str | None) -> str | None:
        """Of a file in params/ that was looked at once; None if it was not."""
        return self._contents.get(md5 or "")

    def keep(self) -> None:
        """Remember what was read here."""
        md5s = self._memory.get("md5s", {}) | self._md5s
        built = [
            dep.get("md5")
            for pipeline in self._records.values()
            for one in pipeline.values()
            for dep in one.get("deps", [])
        ]
        needed = {md5 for _, md5 in md5s.values()}.union(built)
        contents = {md5: text for md5, text in self._contents.items() if md5 in needed}
        executions = self._memory.get("executions", {}) | self._executions
        memory = {"md5s": md5s, "texts": self._texts, "contents": contents, "executions": executions}
        if memory != self._memory:
            replace(self.root / ".preflab" / "plan.json", json.dumps(memory))
        if self._repo:
            self._repo.close()

    def _md5(self, path: str) -> str | None:
        place = self.root / path
        try:
            files = sorted(_files(place)) if place.is_dir() else None
            signature = _signature(files if files is not None else [("", place.stat())])
        except FileNotFoundError:
            return None
        known = self._memory.get("md5s", {}).get(path)
        if known and known[0] == signature:
            md5: str = known[1]
        elif files is None:
            md5 = self._md5_of_file(place)
            if "params/" in path:
                self._contents[md5] = place.read_text()
        else:
            listed = [
                {"md5": self._md5_of_file(place / name), "relpath": name}
                for name, _ in files
                if not self._is_ignored(f"{path}/{name}")
            ]
            md5 = hashlib.md5(json.dumps(listed, sort_keys=True).encode()).hexdigest() + ".dir"
        self._md5s[path] = [signature, md5]
        return md5

    def _md5_of_file(self, file: Path) -> str:
        """DVC has computed the md5 of what its stages wrote, and remembers it too."""
        if file.stat().st_size < LARGE:
            return hashlib.md5(file.read_bytes()).hexdigest()
        from dvc.repo import Repo
        from dvc_data.hashfile.hash import hash_file

        self._repo = self._repo or Repo(str(self.root))
        return str(hash_file(str(file.absolute()), self._repo.fs, "md5", self._repo.state)[1].value)

    def _is_ignored(self, path: str) -> bool:
        if self._ignored is None:
            from pathspec import GitIgnoreSpec

            file = self.root / ".dvcignore"
            self._ignored = GitIgnoreSpec.from_lines(file.read_text().splitlines() if file.exists() else [])
        return self._ignored.match_file(path)


class Cache:
    """DVC's cache of outputs, and its run-cache: what a stage made of the same inputs before."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._equal: dict[str, Record] | None = None  # by identity, once asked for

    @cached_property
    def folder(self) -> Path:
        """`.dvc/cache`, or where one of DVC's settings has moved it."""
        from dvc.config import Config

        return self.root / (Config(str(self.root / ".dvc"))["cache"].get("dir") or ".dvc/cache")

    def has(self, md5: str | None) -> bool:
        """The output, a folder by its list of files."""
        return md5 is not None and self._object(md5).exists()

    def text(self, md5: str | None) -> str | None:
        """Of a small file; None if the cache does not have it."""
        return self._object(md5).read_text() if md5 and self.has(md5) else None

    def result(self, stage: Stage, state: State) -> dict[str, str] | None:
        """The md5 of each output if DVC would restore this stage instead of running it."""
        deps = self._deps(stage, state)
        record = self._entry(self._key(stage, deps)) if deps else None
        return {out["path"]: out["md5"] for out in record["outs"]} if record else None

    def adopt(self, stage: Stage, state: State) -> bool:
        """Let DVC restore this stage from an equal one of other paths; whether there is one (restore.py)."""
        deps = self._deps(stage, state)
        if not deps:
            return False
        if self._equal is None:
            self._equal = self._executions(state)
        record = self._equal.get(restore.execution(stage.cmd, deps, list(stage.outs)).identity)
        whole = record is not None and all(self._is_whole(out["md5"]) for out in record["outs"])
        entry = restore.adopted(stage, deps, record) if record and whole else None
        if entry is None:
            return False
        restore.adopt(self.folder, self._key(stage, deps), entry)
        return True

    def _executions(self, state: State) -> dict[str, Record]:
        """The newest execution of each identity in the run-cache."""
        entries = sorted((self.folder / "runs").glob("??/*/[!.]*"), key=lambda file: file.stat().st_mtime)
        return dict(state.execution(file) for file in entries)

    def _deps(self, stage: Stage, state: State) -> list[tuple[str, str]] | None:
        """Path and md5 of each dependency, sorted; None if one is missing."""
        md5s = [(path, state.md5(path)) for path in stage.deps]
        return sorted((path, md5) for path, md5 in md5s if md5) if md5s and all(md5 for _, md5 in md5s) else None

    def _key(self, stage: Stage, deps: list[tuple[str, str]]) -> str:
        """Where DVC's run-cache has what this command made of these inputs."""
        from dvc.utils import dict_sha256

        identity: Record = {"cmd": stage.cmd, "outs": sorted(stage.outs)}
        identity["deps"] = [{"path": path, "hash": "md5", "md5": md5} for path, md5 in deps]
        return str(dict_sha256(identity))

    def _entry(self, key: str) -> Record | None:
        """The newest entry under a key, if the cache has all its outputs."""
        entries = sorted((self.folder / "runs" / key[:2] / key).glob("[!.]*"), key=lambda file: file.stat().st_mtime)
        record = parsed(entries[-1].read_text(), entries[-1].name) if entries else None
        return record if record and all(self._is_whole(out["md5"]) for out in record["outs"]) else None

    def _is_whole(self, md5: str) -> bool:
        if not md5.endswith(".dir"):
            return self.has(md5)
        return self.has(md5) and all(self.has(file["md5"]) for file in json.loads(self._object(md5).read_text()))

    def _object(self, md5: str) -> Path:
        return self.folder / "files" / "md5" / md5[:2] / md5[2:]


def stages(pipeline: Record, cells: Record) -> dict[str, Stage]:
    """Every stage of a dvc.yaml, `foreach` over what instances.yaml lists written out: `ppo@sentiment-5k-offline-1`."""
    found: dict[str, Stage] = {}
    for name, stage in pipeline["stages"].items():
        if "foreach" not in stage:
            found[name] = _filled(name, stage, {})
            continue
        for key, item in cells[stage["foreach"][2:-1]].items():
            values = {"key": key, **{f"item.{role}": value for role, value in item.items()}}
            found[f"{name}@{key}"] = _filled(name, stage["do"], values)
    return found


def _filled(name: str, stage: Record, values: dict[str, str]) -> Stage:
    for key in stage:
        if key not in KEYS:  # a plan that passed over it would be wrong
            raise PreflabError(f"dvc.yaml: {name}: {key}: not known to plan; {did_you_mean(key, KEYS)}")

    def fill(text: str) -> str:
        return re.sub(r"\$\{([\w.]+)\}", lambda found: values[found[1]], text)

    outs = {}
    for out in [out for group in ("outs", "metrics", "plots") for out in stage.get(group, [])]:
        path, flags = next(iter(out.items())) if isinstance(out, dict) else (out, {})
        outs[fill(path)] = flags.get("cache", True)
    return Stage(fill(stage["cmd"]), [fill(path) for path in stage.get("deps", [])], outs)


def writers(root: Path) -> dict[Path, tuple[int, str]]:
    """What live processes of DVC are writing, by path: the process and its command."""
    found = {}
    for path, info in _load(root / ".dvc" / "tmp" / "rwlock").get("write", {}).items():
        if info["pid"] != os.getpid() and _is_alive(info["pid"]):
            found[Path(path)] = info["pid"], info["cmd"]
    return found


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


@contextmanager
def _unchanging(root: Path) -> Iterator[None]:
    """Waits until no DVC process holds the lock under which all of them write dvc.lock, then keeps them from it."""
    lock = root / ".dvc" / "tmp" / "lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def _load(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return found


def parsed(text: str, name: str) -> Record:
    """What DVC has written, by its own parser: it writes YAML 1.2, where 1e-05 is a number."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found: Record = YAML(typ="safe").load(text)
    except YAMLError as error:
        where = text.partition(":")[0].strip()
        raise PreflabError(f"{name}: {where}: unreadable; take it from git or remove it") from error
    return found


def _files(folder: Path, prefix: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Every file below a folder: its relative path, and what the file system says of it."""
    for entry in os.scandir(folder):
        if entry.is_dir():
            yield from _files(Path(entry.path), f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry.stat()


def _signature(files: list[tuple[str, os.stat_result]]) -> str:
    text = " ".join(f"{name} {stat.st_ino} {stat.st_mtime_ns} {stat.st_size}" for name, stat in files)
    return text if len(files) == 1 else hashlib.sha256(text.encode()).hexdigest()
