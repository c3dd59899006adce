"""The stages of dvc.yaml, their records in dvc.lock, and the files of the workspace, read without DVC.

DVC takes 10 ms a stage, and a second for a long dvc.lock, to say that nothing has changed.  A plan takes a fraction of
that.  `.preflab/plan.json` keeps what was read:

* the md5 of a path, until its inode, time or size changes;
* the stages of a dvc.lock, until their text changes;
* the content of a file in params/, as long as a stage in dvc.lock was built from it;
* the entries of the run-cache, which never change.

tests/test_plan.py compares the answers with `dvc status`.
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
from preflab.build.restore import LockRecord
from preflab.errors import PreflabError, did_you_mean
from preflab.files import read, replace

if TYPE_CHECKING:
    from dvc.repo import Repo
    from pathspec import GitIgnoreSpec

# Keys of a stage in dvc.yaml that a plan understands; `desc` and `meta` change nothing, and DVC ignores them too.
KEYS = ["cmd", "wdir", "desc", "meta", "deps", "outs", "metrics", "plots"]
LARGE = 8 << 20  # bytes; the md5 of a larger file is looked up in DVC's own memory first


class DvcStage(NamedTuple):
    """A stage of dvc.yaml with its variables filled in.

    `deps`: paths; `outs`: by path, whether DVC's cache keeps it (it does not keep metrics).
    """

    cmd: str
    deps: list[str]
    outs: dict[str, bool]


class DvcState:
    """A workspace as it was when each of its files was first asked for; other processes may be changing it.

    A pipeline is named by its folder `at`, relative to `root`: "" for the project's own, "sweeps/NAME/" for a sweep's.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._memory = _load(root / ".preflab" / "plan.json")
        self._texts: dict[str, LockRecord] = {}  # sha256 of a stage's lines in dvc.lock → the stage
        self._stages: dict[str, dict[str, DvcStage]] = {}
        self._records: dict[str, dict[str, LockRecord]] = {}
        self._md5s: dict[str, list[str]] = {}  # path → signature, md5
        self._contents: dict[str, str] = self._memory.get("contents", {})  # md5 → text
        self._answers: dict[str, str | None] = {}  # path → md5, None if missing
        self._executions: dict[str, list[str]] = {}  # entry of the run-cache → identity (restore.py), its text
        self._repo: Repo | None = None
        self._ignored: GitIgnoreSpec | None = None

    def stages(self, at: str) -> dict[str, DvcStage]:
        """The stages of dvc.yaml in the folder `at`, by name.

        Raises PreflabError for a key of a stage that a plan does not understand.
        """
        if at not in self._stages:
            folder = self.root / at
            self._stages[at] = stages(read(folder / "dvc.yaml"), read(folder / "instances.yaml"))
        return self._stages[at]

    def records(self, at: str) -> dict[str, LockRecord]:
        """The stages of dvc.lock in the folder `at`, by name.  A stage is only parsed if its text is new.

        Raises PreflabError if the file is not YAML, as after a conflict in git.
        """
        if at not in self._records:
            lock = self.root / at / "dvc.lock"
            with _unchanging(self.root):
                text = lock.read_text() if lock.exists() else ""
            remembered = self._memory.get("texts", {})
            self._records[at] = {}
            for lines in re.findall(r"^  \S.*\n(?:^(?:    .*)?\n)*", text.partition("\nstages:")[2], re.MULTILINE):
                key = hashlib.sha256(lines.encode()).hexdigest()
                self._texts[key] = remembered.get(key) or parsed(lines, f"{at}dvc.lock")
                self._records[at] |= self._texts[key]
        return self._records[at]

    def md5(self, path: str) -> str | None:
        """The md5 of a file or a folder, as dvc.lock writes it; None if the path does not exist."""
        if path not in self._answers:
            self._answers[path] = self._md5(path)
        return self._answers[path]

    def expect(self, outs: dict[str, str]) -> None:
        """From now on answer `md5` of these paths with what they will have once DVC has restored them."""
        self._answers |= outs

    def execution(self, file: Path) -> tuple[str, LockRecord]:
        """The identity (restore.py) and the content of an entry of the run-cache."""
        key = f"{file.parent.name}/{file.name}"
        entry = self._memory.get("executions", {}).get(key)
        if entry is None:
            record = parsed(file.read_text(), file.name)
            entry = [restore.of_record(record).identity, json.dumps(record)]
        self._executions[key] = entry
        return entry[0], json.loads(entry[1])

    def text(self, md5: str | None) -> str | None:
        """The content with this md5, if a file in params/ had it when `md5` was last asked for it; else None."""
        return self._contents.get(md5 or "")

    def keep(self) -> None:
        """Write what was read to `.preflab/plan.json`."""
        md5s = self._memory.get("md5s", {}) | self._md5s
        built = [
            dep.get("md5")
            for pipeline in self._records.values()
            for record in pipeline.values()
            for dep in record.get("deps", [])
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
        remembered = self._memory.get("md5s", {}).get(path)
        if remembered and remembered[0] == signature:
            md5: str = remembered[1]
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
        """The md5 of a file; DVC remembers that of a large one, because it has computed it for a stage's output."""
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


class DvcCache:
    """DVC's cache of outputs, and its run-cache: the outputs of earlier executions by command and inputs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._equal: dict[str, LockRecord] | None = None  # identity (restore.py) → execution, once asked for

    @cached_property
    def folder(self) -> Path:
        """`.dvc/cache`, or the folder that DVC's setting `cache.dir` names."""
        from dvc.config import Config

        return self.root / (Config(str(self.root / ".dvc"))["cache"].get("dir") or ".dvc/cache")

    def has(self, md5: str | None) -> bool:
        """Whether the cache has the file of this md5, or the list of files of a folder (its files: `_is_whole`)."""
        return md5 is not None and self._object(md5).exists()

    def text(self, md5: str | None) -> str | None:
        """The content of a small file; None if the cache does not have it."""
        return self._object(md5).read_text() if md5 and self.has(md5) else None

    def result(self, stage: DvcStage, state: DvcState) -> dict[str, str] | None:
        """The md5 of each output, by path, if DVC would restore this stage instead of running it; else None."""
        deps = self._deps(stage, state)
        record = self._entry(self._key(stage, deps)) if deps else None
        return {out["path"]: out["md5"] for out in record["outs"]} if record else None

    def adopt(self, stage: DvcStage, state: DvcState) -> bool:
        """Let DVC restore this stage from an equal execution with other paths (restore.py); False if there is none."""
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

    def _executions(self, state: DvcState) -> dict[str, LockRecord]:
        """The newest execution of each identity in the run-cache."""
        entries = sorted((self.folder / "runs").glob("??/*/[!.]*"), key=lambda file: file.stat().st_mtime)
        return dict(state.execution(file) for file in entries)

    def _deps(self, stage: DvcStage, state: DvcState) -> list[tuple[str, str]] | None:
        """Path and md5 of each dependency, sorted; None if one is missing."""
        md5s = [(path, state.md5(path)) for path in stage.deps]
        return sorted((path, md5) for path, md5 in md5s if md5) if md5s and all(md5 for _, md5 in md5s) else None

    def _key(self, stage: DvcStage, deps: list[tuple[str, str]]) -> str:
        """The key under which DVC's run-cache keeps the executions of this command with these inputs."""
        from dvc.utils import dict_sha256

        identity: LockRecord = {"cmd": stage.cmd, "outs": sorted(stage.outs)}
        identity["deps"] = [{"path": path, "hash": "md5", "md5": md5} for path, md5 in deps]
        return str(dict_sha256(identity))

    def _entry(self, key: str) -> LockRecord | None:
        """The newest entry under a key; None if there is none, or the cache lacks one of its outputs."""
        entries = sorted((self.folder / "runs" / key[:2] / key).glob("[!.]*"), key=lambda file: file.stat().st_mtime)
        record = parsed(entries[-1].read_text(), entries[-1].name) if entries else None
        return record if record and all(self._is_whole(out["md5"]) for out in record["outs"]) else None

    def _is_whole(self, md5: str) -> bool:
        """Whether the cache has a file, or a folder with all its files."""
        if not md5.endswith(".dir"):
            return self.has(md5)
        return self.has(md5) and all(self.has(file["md5"]) for file in json.loads(self._object(md5).read_text()))

    def _object(self, md5: str) -> Path:
        return self.folder / "files" / "md5" / md5[:2] / md5[2:]


def stages(pipeline: dict[str, Any], instances: dict[str, Any]) -> dict[str, DvcStage]:
    """Every stage of a dvc.yaml by DVC's name, with each `foreach` written out: `ppo@sentiment-5k-offline-1`.

    `pipeline`: the content of dvc.yaml; `instances`: that of instances.yaml.  Raises PreflabError for a key of a stage
    that a plan does not understand.
    """
    filled: dict[str, DvcStage] = {}
    for name, stage in pipeline["stages"].items():
        if "foreach" not in stage:
            filled[name] = _filled(name, stage, {})
            continue
        for key, item in instances[_variable(name, stage["foreach"])].items():
            values = {"key": key, **{f"item.{role}": value for role, value in item.items()}}
            filled[f"{name}@{key}"] = _filled(name, stage["do"], values)
    return filled


def _variable(name: str, foreach: object) -> str:
    """`ppo` of `${ppo}`."""
    match = re.fullmatch(r"\$\{(\w+)\}", foreach) if isinstance(foreach, str) else None
    if not match:
        raise PreflabError(f"dvc.yaml: {name}: foreach: {foreach}; expected ${{KIND}}, a key of instances.yaml")
    return match[1]


def _filled(name: str, stage: dict[str, Any], values: dict[str, str]) -> DvcStage:
    for key in stage:
        if key not in KEYS:  # a plan that ignored it would be wrong
            raise PreflabError(f"dvc.yaml: {name}: {key}: a plan does not understand it; {did_you_mean(key, KEYS)}")

    def fill(text: str) -> str:
        return re.sub(r"\$\{([\w.]+)\}", lambda match: values[match[1]], text)

    outs = {}
    for out in [out for group in ("outs", "metrics", "plots") for out in stage.get(group, [])]:
        path, flags = next(iter(out.items())) if isinstance(out, dict) else (out, {})
        outs[fill(path)] = flags.get("cache", True)
    return DvcStage(fill(stage["cmd"]), [fill(path) for path in stage.get("deps", [])], outs)


def writers(root: Path) -> dict[Path, tuple[int, str]]:
    """The paths that running DVC processes are writing, each with the process id and its command."""
    return {
        Path(path): (info["pid"], info["cmd"])
        for path, info in _load(root / ".dvc" / "tmp" / "rwlock").get("write", {}).items()
        if info["pid"] != os.getpid() and _is_alive(info["pid"])
    }


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


@contextmanager
def _unchanging(root: Path) -> Iterator[None]:
    """Wait until no DVC process is writing dvc.lock, and keep all of them from writing it meanwhile."""
    lock = root / ".dvc" / "tmp" / "lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def _load(path: Path) -> dict[str, Any]:
    """The content of a JSON file; empty if it is missing or half written."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return content


def parsed(text: str, name: str) -> LockRecord:
    """Text that DVC has written, read by DVC's parser: it is YAML 1.2, where 1e-05 is a number.

    Raises PreflabError, naming the file `name` and the first key, if it is not YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        record: LockRecord = YAML(typ="safe").load(text)
    except YAMLError as error:
        key = text.partition(":")[0].strip()
        raise PreflabError(f"{name}: {key}: unreadable; take it from git or remove it") from error
    return record


def _files(folder: Path, prefix: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """The path relative to `folder` and the status of every file in it, subfolders included."""
    for entry in os.scandir(folder):
        if entry.is_dir():
            yield from _files(Path(entry.path), f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry.stat()


def _signature(files: list[tuple[str, os.stat_result]]) -> str:
    """A text that changes when a file is written, added, renamed or removed."""
    text = " ".join(f"{name} {stat.st_ino} {stat.st_mtime_ns} {stat.st_size}" for name, stat in files)
    return text if len(files) == 1 else hashlib.sha256(text.encode()).hexdigest()
