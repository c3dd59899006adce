"""Hydra's answer to a list of overrides, and its complaints as one sentence with a did-you-mean.  No torch here."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab import config
from preflab.errors import PreflabError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

Settings = dict[str, Any]


@contextmanager
def composer(conf: Path) -> Iterator["Callable[[list[str]], Settings]"]:
    """A function from overrides to the whole configuration of conf/config.yaml, resolved, as plain dictionaries.

    Works inside a running Hydra application too: its global state is put back at the end.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    config.register_resolvers()

    def composed(overrides: list[str]) -> Settings:
        try:
            return OmegaConf.to_container(compose("config", overrides=overrides), resolve=True)  # type: ignore[return-value]
        except (HydraException, OmegaConfBaseException) as error:
            raise _explain(error, overrides, conf) from error

    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf.resolve()), version_base="1.3", job_name="grid"):
            yield composed
    finally:
        if running is not None:
            GlobalHydra.instance().clear()
            GlobalHydra.instance().initialize(running)


def is_group(conf: Path, key: str) -> bool:
    """`labels` is a folder of choices; `policy.lr` is a value."""
    return (conf / key.replace("@", "/")).is_dir()


def choices(conf: Path, group: str) -> list[str]:
    return sorted(path.stem for path in (conf / group).glob("*.yaml"))


def _explain(error: BaseException, overrides: list[str], conf: Path) -> PreflabError:
    """Hydra says what it could not do; a user wants to know which word is wrong."""
    inner: BaseException | None = error
    while inner is not None:  # ours, raised inside a resolver
        if isinstance(inner, PreflabError):
            return inner
        inner = inner.__cause__ or inner.__context__
    known = _known_keys(conf)
    for override in overrides:
        key, _, value = override.partition("=")
        key = key.lstrip("+~")
        if is_group(conf, key):
            if value not in choices(conf, key):
                return PreflabError(
                    f"{override}: no such choice in conf/{key}/; {did_you_mean(value, choices(conf, key))}"
                )
        elif key not in known:
            return PreflabError(f"{override}: no such setting in conf/; {_nearest(key, known)}")
    return PreflabError(f"{' '.join(overrides)}: {str(error).splitlines()[0]}")


def _nearest(key: str, known: set[str]) -> str:
    """Of a dotted key, the settings beside it; of a single word, everything at the top."""
    parent = key.rpartition(".")[0]
    beside = [name for name in known if name.rpartition(".")[0] == parent]
    return did_you_mean(key, beside or [name for name in known if "." not in name])


def _known_keys(conf: Path) -> set[str]:
    """Every dotted key of every file of conf/ that a cell may override."""
    from omegaconf import OmegaConf

    def keys(node: Any, prefix: str) -> Iterator[str]:
        for key, value in node.items():
            yield f"{prefix}{key}"
            if isinstance(value, dict):
                yield from keys(value, f"{prefix}{key}.")

    found: set[str] = set()
    for file in [conf / "config.yaml", *conf.glob("*/*.yaml")]:
        group = "" if file.parent == conf else f"{file.parent.name}."
        if group != "grid.":
            found |= {group.rstrip("."), *keys(OmegaConf.to_container(OmegaConf.load(file)), group)}
    return {key for key in found if key and key.rpartition(".")[2] != "defaults"}
