"""The modules that compute a stage: when one of them changes, the stage is stale.

`params/code/KIND.yaml` lists them with their md5, and the file of settings of every stage of that kind begins with the
md5 of this list.  Found by following imports from the stage's script, those inside functions too.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

# Modules that every stage uses and that do not decide its numbers: they may change without making results stale.
AROUND = {
    *("cell_files", "checkpoint", "cli", "config", "errors", "estimate", "files", "grid", "kinds", "parallel"),
    *("provenance", "runtime", "spool", "telemetry", "tracking"),
    "prepare",  # the other stages only read with it what it wrote
}
BY_NAME = {"corpora", "labellers"}  # packages that import their own modules by the name in a setting


def digests(root: Path, script: str) -> dict[str, str]:
    """The md5 of every module that decides what `pipelines/SCRIPT.py` computes, by path."""
    return {
        file.relative_to(root).as_posix(): hashlib.md5(file.read_bytes()).hexdigest()
        for file in sorted(modules(root, script))
    }


def modules(root: Path, script: str) -> set[Path]:
    """The files of these modules."""
    found: set[Path] = set()
    ahead = [root / "pipelines" / f"{script}.py"]
    while ahead:
        for file in _imported(root / "src", ahead.pop()) - found:
            if file.stem == script or file.stem not in AROUND:
                found.add(file)
                ahead.append(file)
    return found


@cache
def _imported(src: Path, file: Path) -> set[Path]:
    """The files of our package that one file imports."""
    names = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    places = [src / name.replace(".", "/") for name in names if name.startswith("preflab.")]
    files = {file for place in places for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()}
    packages = [one.parent for one in files if one.name == "__init__.py" and one.parent.name in BY_NAME]
    return files.union(*(package.glob("*.py") for package in packages))
