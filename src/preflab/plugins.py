"""Modules that a setting names: one choice a module of a package; names that begin with `_` are no choices."""

import importlib
from pathlib import Path
from types import ModuleType

from preflab.errors import PreflabError, did_you_mean


def names(package: str) -> list[str]:
    """The choices of `package`, a dotted path inside preflab such as `corpora.readers`; none of them is imported."""
    folder = Path(__file__).parent.joinpath(*package.split("."))
    return sorted(file.stem for file in folder.glob("[!_]*.py"))


def check(package: str, name: str, key: str) -> None:
    """Raises PreflabError, naming the setting `key`, unless `name` is a choice of `package`."""
    if name not in names(package):
        where = f"src/preflab/{package.replace('.', '/')}/"
        raise PreflabError(f"{key}={name}: no module of that name in {where}; {did_you_mean(name, names(package))}")


def load(package: str, name: str, key: str) -> ModuleType:
    """The module `name` of `package`, imported; raises as `check` does."""
    check(package, name, key)
    return importlib.import_module(f"preflab.{package}.{name}")
