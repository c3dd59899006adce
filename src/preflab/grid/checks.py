"""The checks of a cell's settings, before any stage is built from them."""

import hashlib
import json
from dataclasses import asdict

from preflab.errors import PreflabError, did_you_mean
from preflab.grid.kinds import METHODS, order, settings_for_slot
from preflab.grid.owns import PUBLISHABLE, Settings
from preflab.settings.cell import PUBLISHED, read_cell
from preflab.settings.load import WRONG, SettingsError, parse


def checked(settings: Settings, answers: dict[str, Settings]) -> dict[str, Settings]:
    """The settings that each stage of a cell owns, by slot, as typed values (an int given for a float is that float).

    `settings`: a cell's composed configuration.  `answers`: earlier results, of stages by kind and settings, of cells
    by the digest of their settings; new ones are added.  Raises one PreflabError with every problem, a line each.
    """
    cell = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    if cell not in answers:
        if problems := _of_cell(settings):
            raise PreflabError("\n".join(problems))
        answers[cell] = {}
    problems = []
    typed: dict[str, Settings] = {}
    for slot, kind in order(settings):
        owned = kind.owns(settings_for_slot(slot, settings))
        key = json.dumps([kind.name, owned], sort_keys=True)
        try:
            if key not in answers:
                answers[key] = asdict(parse(kind.name, owned, "conf"))
            typed[slot] = answers[key]
        except SettingsError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise PreflabError("\n".join(problems))
    return typed


def _of_cell(settings: Settings) -> list[str]:
    """The problems of a cell as a whole: settings of each group out of their range, and choices that contradict."""
    typed_cell, problems = read_cell(settings)
    if typed_cell is WRONG:
        return problems
    problems += _published(settings["task"])
    human = settings["labeller"].get("human_labels") is not None
    if human and settings["collection"]["online"] and not settings["labels"]["direct"]:
        name = settings["collection"]["name"]
        problems.append(
            f"collection={name}: human labels cannot be collected while a cell trains; type collection=offline, or a "
            "synthetic labeller"
        )
    if settings["method"]["name"] not in METHODS:
        problems.append(
            f"method.name={settings['method']['name']}: {did_you_mean(settings['method']['name'], list(METHODS))}"
        )
    return problems


def _published(task: Settings) -> list[str]:
    """A sentence for each value of a task's sections `paper` and `released` that no file of conf/ reads."""
    problems = []
    for source in PUBLISHED:
        groups = task.get(source) or {}
        if not isinstance(groups, dict) or not all(isinstance(values, dict) for values in groups.values()):
            problems.append(f"task.{source}={groups}: must be groups of settings, as in {{policy: {{lr: 1e-5}}}}")
            continue
        for group, values in groups.items():
            choices = PUBLISHABLE.get(group)
            if choices is None:
                problems.append(f"task.{source}.{group}: no such group; {did_you_mean(group, list(PUBLISHABLE))}")
                continue
            problems += [
                f"task.{source}.{group}.{key}: not a value that depends on the task; {did_you_mean(key, choices)}"
                for key in values
                if key not in choices
            ]
    return problems
