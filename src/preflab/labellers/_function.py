"""Any Python function as a labeller, by its dotted path: `labeller.scorer=package.module.function`.

It is called as `function(queries, responses)` with two lists of texts and gives a finite number for each response.  It
lies in the project's src/, beside preflab, where a change makes stages stale (grid/code.py), or in an installed package,
whose version is the user's to keep, as torch's is.  It is imported when settings are checked: heavy packages are best
imported inside the function.
"""

import importlib
import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from preflab.errors import PreflabError, did_you_mean


@dataclass(frozen=True, slots=True)
class Function:
    """A labeller of a user's function; what it gives is checked each time."""

    path: str
    function: Callable[[list[str], list[str]], Any]

    def score(self, queries: list[str], responses: list[str], /) -> np.ndarray:
        """`[texts]` scores, float64; raises if they are not one finite number a response."""
        given = self.function(queries, responses)
        try:
            scores = np.asarray(given, np.float64)
        except (TypeError, ValueError) as error:
            raise PreflabError(
                f"labeller.scorer={self.path}: gave {type(given).__name__} that is no list of numbers ({error}); "
                "it must return one float for each response"
            ) from error
        if scores.shape != (len(responses),):
            raise PreflabError(
                f"labeller.scorer={self.path}: gave scores of shape {scores.shape} for {len(responses)} responses, "
                f"expected ({len(responses)},); it must return one float for each response"
            )
        wrong = np.flatnonzero(~np.isfinite(scores))
        if len(wrong):
            raise PreflabError(
                f"labeller.scorer={self.path}: gave {scores[wrong[0]]} for response {wrong[0]} of {len(responses)}, "
                f"{responses[wrong[0]]!r} ({len(wrong)} are not finite); it must return finite numbers"
            )
        return scores


def load(path: str) -> Function:
    """The function at a dotted path; raises if it cannot be imported, or not be called with two lists."""
    where, _, name = path.rpartition(".")
    if not all(part.isidentifier() for part in path.split(".")):
        raise PreflabError(f"labeller.scorer={path}: not a dotted path; expected package.module.function")
    module = _import(path, where)
    _check_place(path, module)
    if not hasattr(module, name):
        callables = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise PreflabError(f"labeller.scorer={path}: no {name} in the module {where}; {did_you_mean(name, callables)}")
    function = getattr(module, name)
    if not callable(function):
        raise PreflabError(
            f"labeller.scorer={path}: is of type {type(function).__name__}, expected a function (queries, responses)"
        )
    try:
        inspect.signature(function).bind([], [])
    except TypeError as error:
        raise PreflabError(
            f"labeller.scorer={path}: cannot be called as {name}(queries, responses): {error}; give it these two"
        ) from error
    except ValueError:  # written in C, without a signature: its first call will tell
        pass
    return Function(path, function)


def _import(path: str, where: str) -> ModuleType:
    """The module; whatever goes wrong in a user's code on the way is a sentence with its place."""
    try:
        return importlib.import_module(where)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{where}.".startswith(f"{error.name}."):
            reason = f"there is no module {error.name}; put it into the project's src/, or install its package"
        else:
            last = traceback.extract_tb(error.__traceback__)[-1]
            reason = (
                f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno}); mend the module"
            )
        raise PreflabError(f"labeller.scorer={path}: {where} cannot be imported: {reason}") from error


def _check_place(path: str, module: ModuleType) -> None:
    """Raises for a file of the project outside src/, where DVC would not see it change."""
    file, project = Path(getattr(module, "__file__", None) or "/"), Path.cwd()
    inside = file.is_relative_to(project) and "site-packages" not in file.parts
    if inside and not file.is_relative_to(project / "src"):
        raise PreflabError(
            f"labeller.scorer={path}: {file.relative_to(project)} is outside src/, so that no stage would see "
            "it change; move it into src/"
        )
