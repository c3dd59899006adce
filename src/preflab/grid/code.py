"""The code that a result depends on: a stage is stale when the meaning of one of its modules has changed.

A stage depends on

* its body in stages/, and the modules that its settings name: a labeller, a reader, a user's function;
* every module that these import, in turn, also inside functions, if it lies in one of the folders COUNTS.

The digests of these modules are listed in `params/code/KIND.yaml`, or `params/code/KIND+NAME+NAME.yaml` with the names
of modules that settings name.  This file is a dependency of the stage.

A digest is of the syntax tree without comments, docstrings, formatting and imports for type checkers.  Orchestration
(grid, build, plan, records, sweep), downloads (which are verified), settings (whose values are in params/) and the
report do not decide numbers and do not count.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from preflab.errors import PreflabError

COUNTS = {  # stages/ and the folders below it
    "comparisons",
    "corpora",
    "evaluate",
    "human_labels",
    "labellers",
    "machine",
    "models",
    "sampling",
    "stages",
    "text",
    "training",
}
PACKAGES = {"preflab", "hydra_plugins"}  # ours in src/; other packages and modules there are the user's
LONGEST = 80  # characters of a file's name


def file_name(kind: str, modules: Iterable[str]) -> str:
    """`comparisons+classifier+judge.yaml` for a stage whose settings name the modules classifier and judge.

    `modules`: dotted names.  A long or ambiguous name is replaced by a digest of them.
    """
    parts = [module.rpartition(".")[2] if module.startswith("preflab.") else module for module in modules]
    name = "+".join([kind, *parts])
    if len(name) > LONGEST or len(set(parts)) < len(parts):
        name = f"{kind}+{hashlib.sha256(' '.join(modules).encode()).hexdigest()[:12]}"
    return f"{name}.yaml"


def digests(root: Path, script: str, modules: Iterable[str] = ()) -> dict[str, str]:
    """The digest of every module that decides what `pipelines/SCRIPT.py` computes, by its path from `root`.

    `modules`: the dotted names of those that the stage's settings name.  Raises PreflabError for a syntax error.
    """
    src = root / "src"
    starts = [src / "preflab" / "stages" / f"{script}.py", *_files(src, modules)]
    if script == "report":
        starts = sorted((src / "preflab" / "report").rglob("*.py"))
    return {file.relative_to(root).as_posix(): meaning(file) for file in sorted(reached(src, starts))}


def reached(src: Path, starts: Iterable[Path]) -> set[Path]:
    """The files `starts` and every module that they import, in turn, and that counts."""
    files: set[Path] = set()
    queue = [file for file in starts if file.exists()]
    while queue:
        file = queue.pop()
        if file not in files:
            files.add(file)
            queue += [other for other in imported(src, file) if _counts(src, other)]
    return files


def meaning(file: Path) -> str:
    """The digest of a module's meaning, 16 hex digits.  Raises PreflabError for a syntax error."""
    return _meaning(file, file.stat().st_mtime_ns)


@cache
def _meaning(file: Path, modified: int) -> str:
    return hashlib.sha256("".join(_dumped(_parsed(file, modified))).encode()).hexdigest()[:16]


def _counts(src: Path, file: Path) -> bool:
    package, *rooms = file.relative_to(src).with_suffix("").parts
    return package not in PACKAGES or (bool(rooms) and rooms[0] in COUNTS)


@cache
def _parsed(file: Path, _modified: int) -> ast.Module:
    try:
        return ast.parse(file.read_bytes())
    except SyntaxError as error:
        raise PreflabError(f"{file}: line {error.lineno}: {error.msg}; mend it, or move it out of src/") from error


def _dumped(node: object) -> Iterator[str]:
    """A syntax tree as text, without what does not run.  Empty fields, which differ between Pythons, are left out."""
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name, value in ast.iter_fields(node):
            if value is not None and value != []:
                yield f" {name}="
                yield from _dumped(value)
        yield ")"
    elif isinstance(node, list):
        for child in node:
            if _runs(child):
                yield from _dumped(child)
                yield ","
    else:
        yield repr(node)


def _runs(node: object) -> bool:
    """False for a string as a statement (a docstring) and for code that only type checkers read."""
    if isinstance(node, ast.Expr):
        return not (isinstance(node.value, ast.Constant) and isinstance(node.value.value, str))
    if isinstance(node, ast.ImportFrom):
        return node.module != "typing"
    return not (isinstance(node, ast.If) and _is_type_checking(node))


def _is_type_checking(node: ast.If) -> bool:
    return getattr(node.test, "id", getattr(node.test, "attr", "")) == "TYPE_CHECKING"


def imported(src: Path, file: Path) -> Iterator[Path]:
    """The files of src/ that `file` imports, with the `__init__` of the packages that they lie in."""
    names: set[str] = set()
    for node in _walked(_parsed(file, file.stat().st_mtime_ns)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    yield from _files(src, names)


def _walked(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below `node`, without code that only type checkers read."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and _is_type_checking(child)):
            yield from _walked(child)


def _files(src: Path, names: Iterable[str]) -> Iterator[Path]:
    """The files of dotted names, with the `__init__` of each package on the way; none for names outside `src`."""
    for name in names:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            path = src.joinpath(*parts[:length])
            for file in (path.with_suffix(".py"), path / "__init__.py"):
                if file.exists():
                    yield file
