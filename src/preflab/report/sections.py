"""The sections of the page by conf/report.yaml: functions that give tables or figures, from top to bottom."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from preflab import plugins
from preflab.errors import PreflabError, did_you_mean
from preflab.report.cells.results import GridResults
from preflab.report.figures.drawing import Figure
from preflab.report.table import Table

Part = Table | Figure
MakeParts = Callable[[GridResults], list[Any]]
ROOMS = ("tables", "figures")


class Section(NamedTuple):
    """A heading and the tables and figures below it; none where the grid has nothing to show."""

    title: str
    parts: list[Part]


def build(grid: GridResults, path: Path) -> list[Section]:
    """Every section of `path` with its tables and figures of this grid.

    Raises PreflabError as `read` does, and for two parts of one kind with one label.
    """
    built = [Section(title, [part for make in makers for part in make(grid)]) for title, makers in read(path).items()]
    names = [(type(part).__name__.lower(), part.label) for section in built for part in section.parts]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        kind, label = twice[0]
        raise PreflabError(f"{path}: two {kind}s have the label {label}, which names their files; rename one")
    return built


def read(path: Path) -> dict[str, list[MakeParts]]:
    """The functions of each section, imported.

    Raises PreflabError unless the file is `TITLE: [tables.MODULE.FUNCTION, figures.MODULE.FUNCTION, …]` for each
    section, and for a module or function that does not exist.
    """
    try:
        sections = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PreflabError(f"{path}: cannot be read ({' '.join(str(error).split())}); mend it") from error
    if not isinstance(sections, dict) or not all(isinstance(names, list) for names in sections.values()):
        expected = "for each section its title and a list of tables.MODULE.FUNCTION and figures.MODULE.FUNCTION"
        raise PreflabError(f"{path}: expected {expected}")
    return {str(title): [_function(str(name), path) for name in names] for title, names in sections.items()}


def _function(name: str, path: Path) -> MakeParts:
    room, _, rest = name.partition(".")
    module_name, _, function = rest.partition(".")
    if room not in ROOMS or not function:
        raise PreflabError(f"{path}: {name}: expected tables.MODULE.FUNCTION or figures.MODULE.FUNCTION")
    module = plugins.load(f"report.{room}", module_name, f"{path}: {room}")
    functions = dict(inspect.getmembers(module, inspect.isroutine))
    if function not in functions:
        own = [key for key, value in functions.items() if value.__module__ == module.__name__ and key[0] != "_"]
        where = f"src/preflab/report/{room}/{module_name}.py"
        raise PreflabError(f"{path}: {name}: no function {function} in {where}; {did_you_mean(function, own)}")
    make: MakeParts = functions[function]
    return make
