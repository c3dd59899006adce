"""Overrides as a user types them, checked before Hydra reads them: what is wrong, and what to type instead."""

import re
from pathlib import Path

from preflab.errors import PreflabError
from preflab.grid.compose import choice_meant
from preflab.grid.points import key_of
from preflab.settings.quotes import in_quotes

KEY = re.compile(r"[+~]{0,2}[A-Za-z_][\w./@:-]*", re.ASCII)
NOT_SWEPT = re.compile(r"(hydra|sweep|plan)[./]|(grid|plan)$")  # keys that take one value for all points of a sweep


def check_typed(typed: list[str], conf: Path) -> None:
    """Raises PreflabError with a sentence for each override that Hydra cannot read, or would read otherwise."""
    problems = [problem for override in typed if (problem := _problem(override, conf))]
    by_key: dict[str, list[str]] = {}
    for override in typed:
        by_key.setdefault(key_of(override), []).append(override)
    problems += [_twice(key, overrides) for key, overrides in by_key.items() if len(overrides) > 1]
    if problems:
        raise PreflabError("\n       ".join(problems))


def _problem(override: str, conf: Path) -> str | None:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, equals, value = override.partition("=")
    if not equals and not override.startswith("~"):
        return f"{override}: expected KEY=VALUE; several values stand without a space between them, as in seed=1,2"
    if not KEY.fullmatch(key):
        return f"{override}: {key!r} is no key of a setting; expected one such as policy.lr or labels"
    try:
        OverridesParser.create().parse_override(override)
    except HydraException as error:
        return f"{override}: {_unread(key, value, str(error).splitlines()[0])}"
    return choice_meant(override, conf)


def _unread(key: str, value: str, reason: str) -> str:
    """What to type for a value that is no word of Hydra's grammar."""
    if value[:1] in ("[", "{"):
        return f"Hydra cannot read this value ({reason}); close its brackets and put texts inside it in quotes"
    if "" in value.split(","):
        return "a value is missing beside a comma; expected several values as in seed=1,2"
    sentence = f"Hydra cannot read this value; put it in quotes: {in_quotes(key, value)}"
    parts = value.split(",")
    if len(parts) > 1:
        sentence += f", or each of several values: {in_quotes(key, *parts)}"
    return sentence


def _twice(key: str, overrides: list[str]) -> str:
    values = ",".join(override.partition("=")[2] for override in overrides)
    swept = all("=" in override for override in overrides) and not NOT_SWEPT.match(key)
    both = f", or {key}={values} to run each value" if swept else ""
    return f"{' '.join(overrides)}: {key} is typed {len(overrides)} times; type it once{both}"
