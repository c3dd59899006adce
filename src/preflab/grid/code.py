"""The modules that compute a stage: when one of them changes, the stage is stale.

`params/code/KIND.yaml` lists them with their md5, and the file of settings of every stage of that kind begins with the
md5 of this list.  Found by following imports from the stage's script, those inside functions too.  What lies beside
preflab in src/ is a user's: a function there may be the labeller (labellers/_function.py), so all of it belongs to
the stages that load one.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

from preflab.errors import PreflabError

# Modules that every stage uses and that do not decide its numbers: they may change without making results stale.
AROUND = {"build", "downloads", "grid", "plan", "records", "report", "settings", "sweep"}
FLAT = {"cli", "errors", "files", "plugins", "telemetry"}
# Packages that import their own modules by the name in a setting.
BY_NAME = {"baselines", "labellers", "readers"}
PACKAGES = {"preflab", "hydra_plugins"}  # ours in src/


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
            place = file.relative_to(root / "src").with_suffix("").parts
            if place[1:2] and place[1] not in AROUND | FLAT:
                found.add(file)
                ahead.append(file)
    return found


@cache
def _imported(src: Path, file: Path) -> set[Path]:
    """The files of our package that one file imports."""
    names = set()
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError as error:
        raise PreflabError(f"{file}: line {error.lineno}: {error.msg}; mend it, or move it out of src/") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    places = [src / name.replace(".", "/") for name in names if name.startswith("preflab.")]
    files = {file for place in places for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()}
    packages = [one.parent for one in files if one.name == "__init__.py" and one.parent.name in BY_NAME]
    files = files.union(*(package.glob("*.py") for package in packages))
    return files | _of_users(src) if any(package.name == "labellers" for package in packages) else files


def _of_users(src: Path) -> set[Path]:
    """The modules beside our packages, and those of packages there."""
    return {
        file
        for place in src.iterdir()
        if place.stem not in PACKAGES
        for file in (place, *place.rglob("*.py"))
        if file.suffix == ".py"
    }
