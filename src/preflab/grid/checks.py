"""The checks of a cell's settings, before anything is built from them."""

import hashlib
import json
from dataclasses import asdict

from preflab.errors import PreflabError, did_you_mean
from preflab.grid.kinds import METHODS, order, seen_from
from preflab.grid.owns import PUBLISHABLE, PUBLISHED, Settings
from preflab.settings.cell import read_cell
from preflab.settings.load import WRONG, SettingsError, parse


def checked(settings: Settings, seen: dict[str, Settings]) -> dict[str, Settings]:
    """By slot, the settings that its stage owns as typed values (an int given for a float is that float).

    Every problem of the cell in one error.

    `seen`: what was checked already: of stages by kind and settings, of cells by the digest of theirs.
    """
    cell = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    if cell not in seen:
        if problems := _of_cell(settings):
            raise PreflabError("\n".join(problems))
        seen[cell] = {}
    problems = []
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


def _of_cell(settings: Settings) -> list[str]:
    """What is wrong with a cell before its stages are looked at: the settings of each group, and what contradicts."""
    typed_cell, problems = read_cell(settings)
    if typed_cell is WRONG:
        return problems
    problems += _published(settings["task"])
    people = settings["labeller"].get("human_labels") is not None
    if people and settings["collection"]["online"] and not settings["labels"]["direct"]:
        name = settings["collection"]["name"]
        problems.append(
            f"collection={name}: the labels are of people, and nobody answers while a cell trains; "
            "take collection=offline, or a synthetic labeller"
        )
    if settings["method"]["name"] not in METHODS:
        problems.append(
            f"method.name={settings['method']['name']}: {did_you_mean(settings['method']['name'], list(METHODS))}"
        )
    return problems


def _published(task: Settings) -> list[str]:
    """A sentence for each value of a task's `paper` and `released` that no file of conf/ takes from there."""
    problems = []
    for source in PUBLISHED:
        groups = task.get(source) or {}
        if not isinstance(groups, dict) or not all(isinstance(values, dict) for values in groups.values()):
            problems.append(f"task.{source}={groups}: must be groups of settings, as in {{policy: {{lr: 1e-5}}}}")
            continue
        for group, values in groups.items():
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
