"""The code that a result depends on: when the meaning of one of its modules changes, the stage is stale.

A stage depends on its body in stages/ and on every module that this imports, also inside functions and in turn, as far
as it lies in the rooms of COUNTS; and on the modules that its settings name (a labeller, a reader, a user's function).
`params/code/KIND.yaml`, or `KIND+NAME+NAME.yaml` with the modules that settings name, lists their digests, and every
stage has its file as a dependency.

The digest of a module is of its meaning: its syntax tree without comments, docstrings, formatting and imports for type
checkers.  Orchestration (grid, build, plan, records, sweep), downloads (which are verified), settings (whose values are
in params/) and the report do not decide numbers and do not count.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from preflab.errors import PreflabError

COUNTS = {  # the rooms below stages/
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
OURS = {"preflab", "hydra_plugins"}  # in src/; what lies beside them is the user's
LONGEST = 80  # characters of a file's name


def file_name(kind: str, modules: Iterable[str]) -> str:
    """`comparisons+classifier+judge.yaml` for a stage whose settings name the modules classifier and judge."""
    parts = [module.rpartition(".")[2] if module.startswith("preflab.") else module for module in modules]
    name = "+".join([kind, *parts])
    if len(name) > LONGEST or len(set(parts)) < len(parts):
        name = f"{kind}+{hashlib.sha256(' '.join(modules).encode()).hexdigest()[:12]}"
    return f"{name}.yaml"


def digests(root: Path, script: str, modules: Iterable[str] = ()) -> dict[str, str]:
    """The digest of every module that decides what `pipelines/SCRIPT.py` computes, by its path in the project.

    `modules`: those that the stage's settings name, dotted.  Raises PreflabError for a file that is not Python.
    """
    src = root / "src"
    starts = [src / "preflab" / "stages" / f"{script}.py", *_files(src, modules)]
    if script == "report":
        starts = sorted((src / "preflab" / "report").rglob("*.py"))
    return {file.relative_to(root).as_posix(): meaning(file) for file in sorted(reached(src, starts))}


def reached(src: Path, starts: Iterable[Path]) -> set[Path]:
    """`starts` and every counting module that they import, in turn."""
    files: set[Path] = set()
    ahead = [file for file in starts if file.exists()]
    while ahead:
        file = ahead.pop()
        if file not in files:
            files.add(file)
            ahead += [other for other in imported(src, file) if _counts(src, other)]
    return files


def meaning(file: Path) -> str:
    """16 hex digits of a module's meaning."""
    return _meaning(file, file.stat().st_mtime_ns)


@cache
def _meaning(file: Path, modified: int) -> str:
    return hashlib.sha256("".join(_dumped(_parsed(file, modified))).encode()).hexdigest()[:16]


def _counts(src: Path, file: Path) -> bool:
    package, *rooms = file.relative_to(src).with_suffix("").parts
    return package not in OURS or (bool(rooms) and rooms[0] in COUNTS)


@cache
def _parsed(file: Path, _modified: int) -> ast.Module:
    try:
        return ast.parse(file.read_bytes())
    except SyntaxError as error:
        raise PreflabError(f"{file}: line {error.lineno}: {error.msg}; mend it, or move it out of src/") from error


def _dumped(node: object) -> Iterator[str]:
    """A syntax tree as text: what runs, and no empty fields, in which versions of Python differ."""
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
    """Not a text that stands alone (a docstring), nor anything for type checkers."""
    if isinstance(node, ast.Expr):
        return not (isinstance(node.value, ast.Constant) and isinstance(node.value.value, str))
    if isinstance(node, ast.ImportFrom):
        return node.module != "typing"
    return not (isinstance(node, ast.If) and _is_type_checking(node))


def _is_type_checking(node: ast.If) -> bool:
    return getattr(node.test, "id", getattr(node.test, "attr", "")) == "TYPE_CHECKING"


def imported(src: Path, file: Path) -> Iterator[Path]:
    """The files of src/ that one file imports, with the packages that they lie in."""
    names: set[str] = set()
    for node in _walked(_parsed(file, file.stat().st_mtime_ns)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    yield from _files(src, names)


def _walked(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but those for type checkers."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and _is_type_checking(child)):
            yield from _walked(child)


def _files(src: Path, names: Iterable[str]) -> Iterator[Path]:
    """The files of dotted names, with the `__init__` of each package on the way; names from elsewhere have none."""
    for name in names:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            place = src.joinpath(*parts[:length])
            for file in (place.with_suffix(".py"), place / "__init__.py"):
                if file.exists():
                    yield file
