"""Modules that a setting names, and functions of the user's that it names by a dotted path.

Each module of a package such as `corpora.readers` is a choice, except those whose names begin with `_`.
"""

import importlib
import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from preflab.errors import PreflabError, did_you_mean


def names(package: str) -> list[str]:
    """The choices of `package`, a dotted path inside preflab such as `corpora.readers`.  Imports none of them."""
    folder = Path(__file__).parent.joinpath(*package.split("."))
    return sorted(file.stem for file in folder.glob("[!_]*.py"))


def check(package: str, name: str, key: str) -> None:
    """Raise PreflabError, naming the setting `key`, unless `name` is a choice of `package`."""
    if name not in names(package):
        folder = f"src/preflab/{package.replace('.', '/')}/"
        raise PreflabError(f"{key}={name}: no module of that name in {folder}; {did_you_mean(name, names(package))}")


def load(package: str, name: str, key: str) -> ModuleType:
    """Import the module `name` of `package`; raises PreflabError as `check` does."""
    check(package, name, key)
    return importlib.import_module(f"preflab.{package}.{name}")


def function(path: str, key: str) -> Callable[[list[str], list[str]], Any]:
    """Import the function (queries, responses) at the dotted path `path`.

    Raises PreflabError, naming the setting `key`, if it cannot be imported, is no function of two arguments, or lies in
    the project outside src/, where a change of it would make no stage stale.
    """
    module_name, _, name = path.rpartition(".")
    start = f"{key}={path}: "
    if not all(part.isidentifier() for part in path.split(".")):
        raise PreflabError(f"{start}not a dotted path; expected package.module.function")
    module = _import(module_name, start)
    file, project = Path(getattr(module, "__file__", None) or "/"), Path.cwd()
    inside = file.is_relative_to(project) and "site-packages" not in file.parts
    if inside and not file.is_relative_to(project / "src"):
        file = file.relative_to(project)
        raise PreflabError(f"{start}{file} is outside src/, so that no stage would see it change; move it into src/")
    if not hasattr(module, name):
        callables = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise PreflabError(f"{start}no {name} in the module {module_name}; {did_you_mean(name, callables)}")
    chosen: Callable[[list[str], list[str]], Any] = getattr(module, name)
    if not callable(chosen):
        raise PreflabError(f"{start}is of type {type(chosen).__name__}, expected a function (queries, responses)")
    try:
        inspect.signature(chosen).bind([], [])
    except TypeError as error:
        raise PreflabError(
            f"{start}cannot be called as {name}(queries, responses): {error}; give it these two parameters"
        ) from error
    except ValueError:  # written in C, without a signature: its first call will tell
        pass
    return chosen


def _import(module_name: str, start: str) -> ModuleType:
    """Import a user's module; raises PreflabError, which begins with `start`, with the place of any exception in it."""
    try:
        return importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module_name}.".startswith(f"{error.name}."):
            reason = f"there is no module {error.name}; put it into the project's src/, or install its package"
        else:
            last = traceback.extract_tb(error.__traceback__)[-1]
            reason = (
                f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno}); mend the module"
            )
        raise PreflabError(f"{start}{module_name} cannot be imported: {reason}") from error
