"""Settings as typed objects: from a stage's params file, or from a cell that Hydra has composed.

Each stage reads one file `params/KIND/ID.yaml` that holds only the settings it owns.  The schemas (data.py, method.py,
stages.py) say what may stand in it: types and, beside each field, ranges and choices; their `problems` compare fields
with each other.  Everything that is wrong is said at once.  Values and their sources (paper, released code, ours)
stand in conf/.  No torch here.
"""

import re
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from preflab.errors import PreflabError, did_you_mean
from preflab.settings.quotes import in_quotes
from preflab.settings.ranges import Choices, Key, Range
from preflab.settings.stages import STAGES

HUGE = 1e300  # numbers up to this are compared with other settings even if they are out of their own range


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


@dataclass(frozen=True, slots=True)
class SettingType:
    """What a setting may be: a number, text, a truth value, another schema, a list or a dictionary of `inner`.

    `nullable`: or null; `allowed`: its range or choices; `key`: what users type for it, if not the key of its place.
    """

    type: Any
    nullable: bool
    allowed: Range | Choices | None
    key: str | None
    inner: "SettingType | None"


@cache
def setting_types(schema: Any) -> dict[str, SettingType]:
    """By its name, what each setting of a schema may be."""
    return {name: _setting_type(hint) for name, hint in get_type_hints(schema, include_extras=True).items()}


def _setting_type(hint: Any) -> SettingType:
    marks: list[Any] = []
    nullable = False
    while get_origin(hint) is Annotated or type(None) in get_args(hint):
        if get_origin(hint) is Annotated:
            marks += hint.__metadata__
            hint = hint.__origin__
        else:
            nullable = True
            hint = next(kind for kind in get_args(hint) if kind is not type(None))
    allowed = next((mark for mark in marks if isinstance(mark, Range | Choices)), None)
    key = next((mark.key for mark in marks if isinstance(mark, Key)), None)
    container = get_origin(hint)
    return SettingType(
        container or hint, nullable, allowed, key, _setting_type(get_args(hint)[-1]) if container else None
    )


def read(schema: Any, settings: Any, key: str = "") -> tuple[Any, list[str]]:
    """`settings` as an instance of `schema` (`WRONG` if keys or types are), and every problem.

    `key`: what users type for the whole, such as `policy`.
    """
    if not isinstance(settings, dict):
        names = ", ".join(entry.name for entry in fields(schema))
        return WRONG, [f"{key}={shown(settings)}: must be a group of settings: {names}"]
    known, dot = setting_types(schema), f"{key}." if key else ""
    problems = [
        f"{dot}{name}: no such setting; {did_you_mean(str(name), list(known))}"
        for name in settings
        if name not in known
    ]
    values: dict[str, Any] = {}
    for entry in fields(schema):
        if entry.name in settings:
            typed, wrong = _value(known[entry.name], settings[entry.name], dot + entry.name)
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


class _Wrong:
    """In place of a value whose type is not that of its field."""


WRONG = _Wrong()


def _value(kind: SettingType, value: Any, key: str) -> tuple[Any, list[str]]:
    """The value as the type of its field, or WRONG, and every problem."""
    key = kind.key or key
    if kind.nullable and value is None:
        return None, []
    if is_dataclass(kind.type):
        return read(kind.type, value, key)
    if kind.inner and isinstance(value, kind.type):
        items = {f"{key}.{name}": item for name, item in value.items()} if kind.type is dict else value
        named = items.items() if kind.type is dict else [(f"{key}[{i}]", item) for i, item in enumerate(items)]
        pairs = [_value(kind.inner, item, name) for name, item in named]
        typed = [item for item, _ in pairs]
        problems = [problem for _, wrong in pairs for problem in wrong]
        if any(item is WRONG for item in typed):
            return WRONG, problems
        return dict(zip(map(str, value), typed, strict=True)) if kind.type is dict else typed, problems
    typed, wanted = _scalar(kind.type, value, key, kind.allowed)
    return typed, [f"{key}={shown(value)}: {wanted}" + (", or null" if kind.nullable else "")] if wanted else []


def _scalar(kind: type, value: Any, key: str, allowed: Range | Choices | None) -> tuple[Any, str]:
    """A number, text or truth value, or WRONG; and what it must be, "" if it is that.

    A whole number may stand for any number, and for text, as in `corpus.name=2021`.
    """
    if kind in (int, float):
        is_number = isinstance(value, int | kind) and not isinstance(value, bool)
        if is_number and (not isinstance(allowed, Range) or value in allowed):
            return kind(value), ""
        what = f"must be {'a whole number' if kind is int else 'a number'} {allowed or ''}".rstrip()
        quoted = isinstance(value, str) and re.fullmatch(r"[-+\d._]+(e[-+]?\d+)?", value.lower())
        typed = kind(value) if is_number and abs(value) < HUGE else WRONG
        return typed, what + (", without quotes" if quoted else "")
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
