"""Hydra's answer to a list of overrides, and its errors as one sentence with what to type.  No torch here.

Hydra takes 0.1 s to put a configuration together from its groups, and the cells of a grid choose few different ones:
each choice of groups is composed once, and the values are set on a copy of it.  Hydra does the same in the same order:
choices first, wherever they stand among the overrides, then values.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab.errors import PreflabError, did_you_mean
from preflab.settings.budgets import register_resolvers

if TYPE_CHECKING:
    from collections.abc import Callable

    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

Settings = dict[str, Any]


@contextmanager
def composer(conf: Path) -> Iterator["Callable[[list[str]], Settings]"]:
    """A function from overrides to the whole configuration of conf/config.yaml, resolved, as plain dictionaries.

    Works inside a running Hydra application too: its global state is put back at the end.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    register_resolvers()
    parsed = cache(OverridesParser.create().parse_override)
    chosen = cache(lambda *choices: compose("config", overrides=list(choices)))

    def quick(overrides: list[str]) -> "DictConfig":
        lines = [parsed(override) for override in overrides]
        values = [line for line in lines if _is_value(line, conf)]
        config = copy.deepcopy(chosen(*(line.input_line for line in lines if line not in values)))
        return config if all(_set(config, line) for line in values) else compose("config", overrides=overrides)

    def composed(overrides: list[str]) -> Settings:
        overrides = [named(override, conf) for override in overrides]
        for override in overrides:
            check_choice(override)
        with suppress(HydraException, OmegaConfBaseException):  # what is wrong, Hydra says below
            return resolved(quick(overrides))
        try:
            return resolved(compose("config", overrides=overrides))
        except (HydraException, OmegaConfBaseException) as error:
            raise _explain(error, overrides, conf, works) from error

    def check_choice(override: str) -> None:
        with suppress(HydraException):
            line = parsed(override)
            group, plain = line.key_or_group, line.is_delete() or line.is_sweep_override()
            if is_group(conf, group) and not plain and not isinstance(line.value(), str | dict):
                raise PreflabError(f"{override}: takes one choice of conf/{group}/: {', '.join(choices(conf, group))}")

    def works(overrides: list[str]) -> bool:
        try:
            resolved(compose("config", overrides=overrides))
        except (HydraException, OmegaConfBaseException):
            return False
        return True

    def resolved(config: "DictConfig") -> Settings:
        return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]

    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf.resolve()), version_base="1.3", job_name="grid"):
            yield composed
    finally:
        if running is not None:
            GlobalHydra.instance().clear()
            GlobalHydra.instance().initialize(running)


def named(override: str, conf: Path) -> str:
    """`labels=200,5k` as `labels='200',5k`: Hydra takes a number for no choice, though a file has that name."""
    key, _, value = override.partition("=")
    if not is_group(conf, key.lstrip("+")):
        return override
    return f"{key}=" + ",".join(f"'{word}'" if word.isdigit() else word for word in value.split(","))


def _is_value(line: "Override", conf: Path) -> bool:
    """Of a setting, not a choice in a group (Hydra reads a dictionary as values, even of a group) nor Hydra's own."""
    key = line.key_or_group
    group = line.package is not None or ((conf / key).is_dir() and not isinstance(line.value(), dict))
    return not group and not line.is_hydra_override()


def _set(config: "DictConfig", line: "Override") -> bool:
    """Set one value; False where Hydra has to do it: `~key`, several values, `+key` of a key that exists."""
    from omegaconf import OmegaConf

    key, add = line.key_or_group, line.is_add() or line.is_force_add()
    exists = line.is_add() and OmegaConf.select(config, key, throw_on_missing=False) is not None
    if line.is_delete() or line.is_sweep_override() or exists:
        return False
    OmegaConf.update(config, key, line.value(), merge=True, force_add=add)
    return True


def is_group(conf: Path, key: str) -> bool:
    """`labels` is a folder of choices; `policy.lr` is a value."""
    return (conf / key.replace("@", "/")).is_dir()


def choices(conf: Path, group: str) -> list[str]:
    return sorted(path.stem for path in (conf / group).glob("*.yaml"))


def choice_meant(override: str, conf: Path) -> str | None:
    """The sentence for `policy.name=small` where `policy=small` is meant; None for other overrides."""
    key, _, value = override.lstrip("+").partition("=")
    group, _, name = key.partition(".")
    words = [word.strip("'\"") for word in value.split(",")]
    if not name or not is_group(conf, group) or not set(words) <= set(choices(conf, group)):
        return None
    instead = f"{group}={','.join(words)}"
    if key not in known_keys(conf):
        return f"{override}: no such setting; for the choice in conf/{group}/ type {instead}"
    if name != "name":
        return None
    return f"{override}: the name of a choice in conf/{group}/; type {instead}, or another word as a name of your own"


def _explain(
    error: BaseException, overrides: list[str], conf: Path, works: "Callable[[list[str]], bool]"
) -> PreflabError:
    """The error with the override that causes it.  `works`: whether Hydra can compose a list of overrides."""
    inner: BaseException | None = error
    while inner is not None:  # a PreflabError raised inside a resolver
        if isinstance(inner, PreflabError):
            return inner
        inner = inner.__cause__ or inner.__context__
    keys = known_keys(conf)
    for override in overrides:
        key, _, value = override.partition("=")
        key = key.lstrip("+~")
        if is_group(conf, key):
            value = value.strip("'")
            if value not in choices(conf, key):
                return PreflabError(
                    f"{override}: no such choice in conf/{key}/; {did_you_mean(value, choices(conf, key))}"
                )
        elif key not in keys and (sentence := choice_meant(override, conf)):
            return PreflabError(sentence)
        elif key not in keys:
            return PreflabError(f"{override}: no such setting in conf/; {_nearest(key, keys)}")
    wrong = [o for i, o in enumerate(overrides) if works(overrides[:i] + overrides[i + 1 :])]
    sentence = str(error).splitlines()[0]
    if wrong and sentence.startswith("Could not override"):
        sentence = f"the choice in force does not set it; type +{wrong[0]} to add it"
    return PreflabError(f"{wrong[0] if wrong else 'conf/'}: {sentence}")


def _nearest(key: str, keys: set[str]) -> str:
    """The hint for a key: the settings of its group, or for a single word all groups and settings outside groups."""
    group = key.rpartition(".")[0]
    siblings = [name for name in keys if name.rpartition(".")[0] == group]
    return did_you_mean(key, siblings or [name for name in keys if "." not in name])


def known_keys(conf: Path) -> set[str]:
    """Every dotted key of every file of conf/ that a cell may override."""
    from omegaconf import OmegaConf

    def keys(node: Any, prefix: str) -> Iterator[str]:
        for key, value in node.items():
            yield f"{prefix}{key}"
            if isinstance(value, dict):
                yield from keys(value, f"{prefix}{key}.")

    collected: set[str] = set()
    for file in [conf / "config.yaml", *conf.glob("*/*.yaml")]:
        group = "" if file.parent == conf else f"{file.parent.name}."
        if group != "grid.":
            collected |= {group.rstrip("."), *keys(OmegaConf.to_container(OmegaConf.load(file)), group)}
    return {key for key in collected if key and key.rpartition(".")[2] != "defaults"}
