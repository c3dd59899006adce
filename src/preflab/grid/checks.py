"""The checks of a cell's settings, before anything is built from them."""

import json
from dataclasses import asdict

from preflab.errors import PreflabError, did_you_mean
from preflab.grid.kinds import METHODS, order, seen_from
from preflab.grid.owns import PUBLISHABLE, PUBLISHED, Settings
from preflab.settings.load import SettingsError, parse, wrong_keys
from preflab.settings.method import CollectionSettings, LabelsSettings, MethodSettings


def checked(settings: Settings, seen: dict[str, Settings]) -> dict[str, Settings]:
    """By slot, the settings that its stage owns as typed values (an int given for a float is that float).

    Every problem of the cell in one error.

    `seen`: what was checked for another cell already, by kind and settings.
    """
    problems: list[str] = []
    # these are in no stage's file as a whole
    schemas = {"labels": LabelsSettings, "collection": CollectionSettings, "method": MethodSettings}
    for group, schema in schemas.items():
        problems += wrong_keys(schema, settings[group], f"{group}.")
    problems += _published(settings["task"])
    people = settings["labeller"].get("human_labels") is not None
    if people and settings["collection"]["online"] and not settings["labels"]["direct"]:
        name = settings["collection"]["name"]
        problems.append(
            f"collection={name}: the labels are of people, and nobody answers while a cell trains; "
            "take collection=offline, or a synthetic labeller"
        )
    if settings["method"].get("name") not in METHODS:
        problems.append(f"method.name={settings['method'].get('name')}: missing; one of {', '.join(METHODS)}")
    if any("missing" in problem for problem in problems):
        raise PreflabError("\n".join(problems))
    typed: dict[str, Settings] = {}
    for slot, kind in order(settings):
        owned = kind.owns(seen_from(slot, settings))
        key = json.dumps([kind.name, owned], sort_keys=True)
        try:
            if key not in seen:
                seen[key] = asdict(parse(kind.name, owned, "conf"))
            typed[slot] = seen[key]
        except SettingsError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise PreflabError("\n".join(problems))
    return typed


def _published(task: Settings) -> list[str]:
    """A sentence for each value of a task's `paper` and `released` that no file of conf/ takes from there."""
    problems = []
    for source in PUBLISHED:
        for group, values in (task.get(source) or {}).items():
            known = PUBLISHABLE.get(group)
            if known is None:
                problems.append(f"task.{source}.{group}: no such group; {did_you_mean(group, list(PUBLISHABLE))}")
                continue
            problems += [
                f"task.{source}.{group}.{key}: not a value that depends on the task; {did_you_mean(key, known)}"
                for key in values
                if key not in known
            ]
    return problems
