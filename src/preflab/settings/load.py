"""Settings as typed objects: from a stage's params file, or from a cell that Hydra has composed.

Each stage reads one file `params/KIND/ID.yaml` that holds only the settings it owns.  The schemas (data.py, method.py,
stages.py) say what may stand in it: types and, beside each field, ranges and choices; their `problems` compare fields
with each other.  Everything that is wrong is said at once.  Values and their sources (paper, released code, ours)
stand in conf/.  No torch here.
"""

from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from preflab.errors import PreflabError, did_you_mean
from preflab.settings.overrides import in_quotes
from preflab.settings.ranges import Choices, Key, Range
from preflab.settings.stages import STAGES

Allowed = Range | Choices | None


class SettingsError(PreflabError):
    """Settings that cannot be used; `problems`: a sentence for each, beginning with the key."""

    def __init__(self, where: str, problems: list[str]) -> None:
        super().__init__(f"{where}: " + "; ".join(problems))
        self.problems = problems


def load(stage: str, path: Path) -> Any:
    """The settings of one stage instance from its params file, typed and checked."""
    from omegaconf import OmegaConf

    if not path.exists():
        raise PreflabError(f"{path}: not found; `dvc repro params` writes it from conf/")
    return parse(stage, OmegaConf.to_container(OmegaConf.load(path)), str(path))


def parse(stage: str, settings: Any, where: str) -> Any:
    """`settings` (a dictionary) as an instance of the stage's schema; raises SettingsError, in which `where` names
    them."""
    typed, problems = read(STAGES[stage], settings)
    if problems:
        raise SettingsError(where, problems)
    return typed


def read(schema: Any, settings: Any, key: str = "") -> tuple[Any, list[str]]:
    """`settings` as an instance of `schema` (`WRONG` if keys or types are), and every problem.

    `key`: what users type for the whole, such as `policy`.
    """
    if not isinstance(settings, dict):
        names = ", ".join(entry.name for entry in fields(schema))
        return WRONG, [f"{key}={shown(settings)}: must be a group of settings: {names}"]
    hints, dot = _hints(schema), f"{key}." if key else ""
    problems = [
        f"{dot}{name}: no such setting; {did_you_mean(str(name), list(hints))}"
        for name in settings
        if name not in hints
    ]
    values: dict[str, Any] = {}
    for entry in fields(schema):
        if entry.name in settings:
            typed, wrong = _value(hints[entry.name], settings[entry.name], dot + entry.name)
            values[entry.name] = typed
            problems += wrong
        elif entry.default is MISSING and entry.default_factory is MISSING:
            values[entry.name] = WRONG
            problems.append(f"{dot}{entry.name}: missing; give it a value")
    if any(value is WRONG for value in values.values()):
        return WRONG, problems
    typed = schema(**values)
    problems += typed.problems(key) if hasattr(schema, "problems") else []
    unread = typed.unread() if hasattr(schema, "unread") else ()
    return typed, [problem for problem in dict.fromkeys(problems) if problem.partition("=")[0] not in unread]


def wrong_keys(schema: Any, settings: Any, prefix: str) -> list[str]:
    """Every problem of a group whose keys begin with `prefix`."""
    return read(schema, settings, prefix.rstrip("."))[1]


class _Wrong:
    """In place of a value whose type is not that of its field."""


WRONG = _Wrong()


def _value(hint: Any, value: Any, key: str) -> tuple[Any, list[str]]:
    """The value as the type of its field, or WRONG, and every problem."""
    kind, nullable, marks = unwrap(hint)
    key = next((mark.key for mark in marks if isinstance(mark, Key)), key)
    if nullable and value is None:
        return None, []
    if is_dataclass(kind):
        return read(kind, value, key)
    if get_origin(kind) is list and isinstance(value, list):
        return _values(get_args(kind)[0], {f"{key}[{i}]": item for i, item in enumerate(value)})
    if get_origin(kind) is dict and isinstance(value, dict):
        typed, problems = _values(get_args(kind)[1], {f"{key}.{name}": item for name, item in value.items()})
        return WRONG if typed is WRONG else dict(zip(map(str, value), typed, strict=True)), problems
    allowed = next((mark for mark in marks if isinstance(mark, Range | Choices)), None)
    typed, wanted = _scalar(get_origin(kind) or kind, value, key, allowed)
    return typed, [f"{key}={shown(value)}: {wanted}" + (", or null" if nullable else "")] if wanted else []


def unwrap(hint: Any) -> tuple[Any, bool, list[Any]]:
    """The type of a field without `| None` and marks, whether None is one of its values, and its marks (ranges.py)."""
    marks: list[Any] = []
    nullable = False
    while True:
        if get_origin(hint) is Annotated:
            marks += hint.__metadata__
            hint = hint.__origin__
        elif type(None) in get_args(hint):
            nullable = True
            hint = next(kind for kind in get_args(hint) if kind is not type(None))
        else:
            return hint, nullable, marks


def _values(hint: Any, items: dict[str, Any]) -> tuple[Any, list[str]]:
    """The list of several values by their keys, or WRONG, and every problem."""
    pairs = [_value(hint, item, key) for key, item in items.items()]
    typed = [item for item, _ in pairs]
    problems = [problem for _, wrong in pairs for problem in wrong]
    return WRONG if any(item is WRONG for item in typed) else typed, problems


def _scalar(kind: type, value: Any, key: str, allowed: Allowed) -> tuple[Any, str]:
    """A number, text or truth value, or WRONG; and what it must be, "" if it is that.

    A whole number may stand for any number, and for text, as in `corpus.name=2021`.
    """
    if kind in (int, float):
        is_number = isinstance(value, int | kind) and not isinstance(value, bool)
        if is_number and (not isinstance(allowed, Range) or value in allowed):
            return kind(value), ""
        what = f"must be {'a whole number' if kind is int else 'a number'} {allowed or ''}"
        return value if is_number else WRONG, what.rstrip()
    if kind is str and isinstance(value, str | int) and not isinstance(value, bool):
        text = str(value)
        words = allowed.all() if isinstance(allowed, Choices) else [text]
        return text, "" if text in words else did_you_mean(text, words)
    if kind is str and isinstance(value, float | bool):
        return WRONG, f"must be text; type it in quotes: {in_quotes(key, shown(value))}"
    if kind is bool and isinstance(value, bool):
        return value, ""
    return WRONG, {
        bool: "must be true or false",
        list: "must be a list, as in [a, b]",
        dict: "must be a dictionary, as in {a: 1, b: 2}",
    }.get(kind, "must be text")


def shown(value: Any) -> str:
    """A value as a user types it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


@cache
def _hints(schema: type) -> dict[str, Any]:
    return get_type_hints(schema, include_extras=True)
