"""Results that DVC's cache has under other paths: equal settings, equal code and equal inputs are the same stage.

DVC's run-cache knows an execution by its command with all paths in it.  The same stage of another grid or sweep has
other paths.  Here an execution is known by what its paths hold:

    python -m pipelines.reward params/reward/a-1.yaml --queries data/queries/a --out models/reward/a-1 --run …
    pipelines.reward  MD5  --queries MD5  --out                          and the md5s of inputs without an option

`adopt` writes an entry into the run-cache with the paths of the stage that is about to run; DVC then restores it.
"""

import hashlib
import json
import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from preflab.build.dvc_state import Stage

Record = dict[str, Any]
UNRECORDED = "--run"  # the option of a file that is no output: the record of the execution


class Execution(NamedTuple):
    """`identity` of an execution, and its outputs: option → path."""

    identity: str
    outs: dict[str, str]


def execution(cmd: str, deps: Iterable[tuple[str, str]], outs: list[str]) -> Execution:
    """What a command does, whatever its paths are called.  `deps`: path and md5; `outs`: paths."""
    md5s = dict(deps)
    words: list[str] = []
    produced: dict[str, str] = {}
    named = set()
    option = ""
    for word in shlex.split(cmd):
        if option == UNRECORDED:
            words.pop()
        elif word in md5s:
            named.add(word)
            words.append(md5s[word])
        elif word in outs:
            produced[option] = word
        else:
            words.append(word)
        option = word if word.startswith("--") else ""
    others = sorted(md5 for path, md5 in md5s.items() if path not in named)
    text = json.dumps([words, sorted(produced), others])
    return Execution(hashlib.sha256(text.encode()).hexdigest(), produced)


def of_record(record: Record) -> Execution:
    """Of an entry of DVC's run-cache, or of a stage in dvc.lock."""
    deps = [(dep["path"], str(dep.get("md5"))) for dep in record.get("deps", [])]
    return execution(record["cmd"], deps, [out["path"] for out in record.get("outs", [])])


def adopted(stage: "Stage", deps: list[tuple[str, str]], record: Record) -> Record | None:
    """The run-cache's entry for `stage` with the outputs of `record`, an execution equal to it.

    None if its outputs do not pair with those of the stage.  `deps`: path and md5, sorted.
    """
    mine, theirs = execution(stage.cmd, deps, list(stage.outs)), of_record(record)
    known = {dep.get("md5"): dep for dep in record["deps"]}
    outs = {out["path"]: out for out in record["outs"]}
    if mine.outs.keys() != theirs.outs.keys() or len(mine.outs) != len(stage.outs):
        return None
    return {
        "cmd": stage.cmd,
        "deps": [{**known[md5], "path": path} for path, md5 in deps],
        "outs": sorted(
            ({**outs[theirs.outs[option]], "path": path} for option, path in mine.outs.items()),
            key=lambda out: str(out["path"]),
        ),
    }


def adopt(cache: Path, key: str, entry: Record) -> None:
    """Write `entry` into the run-cache of the folder `cache` under the `key` that DVC looks for."""
    from dvc.utils import dict_sha256
    from dvc.utils.serialize import dumps_yaml

    file = cache / "runs" / key[:2] / key / dict_sha256(entry, exclude=["size", "nfiles"])
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.parents[1] / f".{file.name}.{os.getpid()}"  # DVC reads the newest of all files beside it
    temporary.write_text(dumps_yaml(entry))
    temporary.replace(file)
