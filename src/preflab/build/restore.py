"""Results that DVC's cache has under other paths: equal settings, equal code and equal inputs are the same stage.

DVC's run-cache finds an execution by its command, which contains paths.  The same stage of another grid or sweep has
other paths.  Here an execution is identified by the content of its paths:

    python -m pipelines.reward params/reward/a-1.yaml --queries data/queries/a --out models/reward/a-1 --run …
    pipelines.reward  MD5  --queries MD5  --out                          and the md5s of inputs without an option

`adopt` writes an entry into the run-cache with the paths of the stage that is about to run.  DVC then restores it.
"""

import hashlib
import json
import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from preflab.build.dvc_state import DvcStage

LockRecord = dict[str, Any]  # a stage of dvc.lock, or an entry of the run-cache: cmd, deps, params, outs
UNRECORDED = "--run"  # the option of the run record, which is no output


class Execution(NamedTuple):
    """The `identity` of an execution (a sha256), and its outputs: option → path."""

    identity: str
    outs: dict[str, str]


def execution(cmd: str, deps: Iterable[tuple[str, str]], outs: list[str]) -> Execution:
    """The identity of a command by the content of its paths.  `deps`: path and md5; `outs`: paths."""
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


def of_record(record: LockRecord) -> Execution:
    """The execution that an entry of DVC's run-cache, or a stage of dvc.lock, records."""
    deps = [(dep["path"], str(dep.get("md5"))) for dep in record.get("deps", [])]
    return execution(record["cmd"], deps, [out["path"] for out in record.get("outs", [])])


def adopted(stage: "DvcStage", deps: list[tuple[str, str]], record: LockRecord) -> LockRecord | None:
    """The entry of the run-cache for `stage` with the outputs of `record`, an execution equal to it.

    None if the outputs of the two do not have the same options.  `deps`: path and md5, sorted.
    """
    new_outs, old_outs = execution(stage.cmd, deps, list(stage.outs)).outs, of_record(record).outs
    deps_by_md5 = {dep.get("md5"): dep for dep in record["deps"]}
    outs_by_path = {out["path"]: out for out in record["outs"]}
    if new_outs.keys() != old_outs.keys() or len(new_outs) != len(stage.outs):
        return None
    return {
        "cmd": stage.cmd,
        "deps": [{**deps_by_md5[md5], "path": path} for path, md5 in deps],
        "outs": sorted(
            ({**outs_by_path[old_outs[option]], "path": path} for option, path in new_outs.items()),
            key=lambda out: str(out["path"]),
        ),
    }


def adopt(cache: Path, key: str, entry: LockRecord) -> None:
    """Write `entry` into the run-cache of the folder `cache`, under the `key` that DVC computes for the stage."""
    from dvc.utils import dict_sha256
    from dvc.utils.serialize import dumps_yaml

    file = cache / "runs" / key[:2] / key / dict_sha256(entry, exclude=["size", "nfiles"])
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.parents[1] / f".{file.name}.{os.getpid()}"  # elsewhere: DVC reads the newest file of the folder
    temporary.write_text(dumps_yaml(entry))
    temporary.replace(file)
