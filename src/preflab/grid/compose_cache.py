"""Cells that Hydra has composed, remembered from one command to the next.

Composing and checking takes 30 to 60 ms a cell, and each of grid, plan and sweep does it for all of them, in part
twice.  The answers in `.preflab/composed.json` are valid until conf/, the modules that decide them, Hydra or OmegaConf
change.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab import plugins
from preflab.grid.compose import composer
from preflab.settings.cell import with_names

if TYPE_CHECKING:
    from collections.abc import Callable

Settings = dict[str, Any]

SOURCES = ["settings/*.py", "grid/*.py", "plugins.py"]  # modules of preflab that decide an answer
PLUGINS = ["corpora.readers", "evaluate.baselines", "human_labels.readers", "labellers"]
MOST = 5000  # cells; with more of them the file starts again


class Answers:
    """`compose`: Hydra's answer to a list of overrides; `typed`: settings that were checked, see checks.checked."""

    def __init__(self, composed: dict[str, Settings], typed: dict[str, Settings], conf: Path, stack: ExitStack) -> None:
        self.composed, self.typed = composed, typed
        self._conf, self._stack = conf, stack
        self._ask: Callable[[list[str]], Settings] | None = None

    def compose(self, overrides: list[str]) -> Settings:
        # settings of different groups may come in any order
        key = json.dumps(
            sorted(overrides, key=lambda override: re.split("[.=/@]", override.lstrip("+~"), maxsplit=1)[0])
        )
        if key not in self.composed:
            self.composed[key] = with_names(self.start()(overrides))
        return self.composed[key]

    def start(self) -> "Callable[[list[str]], Settings]":
        """Hydra itself, initialised on conf/."""
        self._ask = self._ask or self._stack.enter_context(composer(self._conf))
        return self._ask


@contextmanager
def remembered(root: Path) -> Iterator[Answers]:
    """The answers that are still valid; new ones are written at the end.  Hydra is started when it is first asked."""
    path = root / ".preflab" / "composed.json"
    fingerprint = _fingerprint(root / "conf")
    stored = _read(path)
    if stored.get("fingerprint") != fingerprint:
        stored = {"composed": {}, "typed": {}}
    with ExitStack() as stack:
        answers = Answers(stored["composed"], stored["typed"], root / "conf", stack)
        before = len(answers.composed), len(answers.typed)
        yield answers
    if (len(answers.composed), len(answers.typed)) != before:
        from preflab.files import replace

        few = len(answers.composed) <= MOST
        valid = {"composed": answers.composed, "typed": answers.typed} if few else {"composed": {}, "typed": {}}
        replace(path, json.dumps({"fingerprint": fingerprint, **valid}))


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return content


def _fingerprint(conf: Path) -> str:
    """Of everything that an answer depends on but its overrides."""
    package = Path(__file__).parents[1]
    code = [file for pattern in SOURCES for file in sorted(package.glob(pattern))]
    versions = [f"{name} {metadata.version(name)}" for name in ("hydra-core", "omegaconf")]
    modules = [f"{folder} {plugins.names(folder)}" for folder in PLUGINS]
    digest = hashlib.sha256(" ".join(versions + modules).encode())
    for file in [*sorted(conf.rglob("*.yaml")), *code]:
        content = file.read_bytes()
        digest.update(f"{file} {len(content)} ".encode() + content)
    return digest.hexdigest()
