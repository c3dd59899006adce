"""The tables of results by conf/report.yaml: functions of modules of this package, in the order of the page."""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from preflab.errors import PreflabError, did_you_mean
from preflab.report.cells.load import Grid
from preflab.report.table import Table

Make = Callable[[Grid], list[Table]]


def tables(grid: Grid, path: Path) -> list[Table]:
    """Every table of every function that `path` names."""
    made = [table for make in functions(path) for table in make(grid)]
    labels = [table.label for table in made]
    if twice := [label for label in dict.fromkeys(labels) if labels.count(label) > 1]:
        raise PreflabError(f"{path}: two tables have the label {twice[0]}, which names their files; rename one")
    return made


def functions(path: Path) -> list[Make]:
    """The functions, imported.  Raises if the file is not `tables: [MODULE.FUNCTION, …]`, or one is not there."""
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PreflabError(f"{path}: cannot be read ({' '.join(str(error).split())}); mend it") from error
    names = found.get("tables") if isinstance(found, dict) else None
    if not isinstance(names, list) or list(found) != ["tables"]:
        raise PreflabError(f"{path}: expected nothing but `tables`, a list of MODULE.FUNCTION of preflab.report")
    return [_function(name, str(path)) for name in names]


def _function(name: Any, where: str) -> Make:
    module, _, function = str(name).rpartition(".")
    full = f"preflab.report.{module}"
    if not module.replace(".", "_").isidentifier() or not _exists(full):
        raise PreflabError(f"{where}: {name}: no module {module} in src/preflab/report/; expected MODULE.FUNCTION")
    there = vars(importlib.import_module(full))
    if not callable(there.get(function)):
        own = [key for key, value in there.items() if getattr(value, "__module__", "") == full and key[0] != "_"]
        raise PreflabError(f"{where}: {name}: no function {function} in {module}.py; {did_you_mean(function, own)}")
    make: Make = there[function]
    return make


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its folder is no package
        return False
