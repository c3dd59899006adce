"""Cells that Hydra has composed, remembered from one command to the next.

Composing and checking takes 30 to 60 ms a cell, and each of grid, plan and sweep does it for all of them, in part
twice.  The answers in `.preflab/composed.json` hold as long as conf/, the modules that shape them, Hydra and OmegaConf
do.
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

SHAPES = ["settings/*.py", "grid/*.py", "plugins.py"]  # of preflab: what decides an answer, and the choices that exist
CHOICES = ["corpora.readers", "evaluate.baselines", "human_labels.readers", "labellers"]
MOST = 5000  # cells that are kept; then everything is forgotten once


class Answers:
    """`compose`: Hydra's answer to a list of overrides; `typed`: the checked settings of a stage, see grid.expand."""

    def __init__(self, composed: dict[str, Settings], typed: dict[str, Settings], conf: Path, stack: ExitStack) -> None:
        self.composed, self.typed = composed, typed
        self._conf, self._stack = conf, stack
        self._ask: Callable[[list[str]], Settings] | None = None

    def compose(self, overrides: list[str]) -> Settings:
        # settings of different groups may come in any order
        key = json.dumps(sorted(overrides, key=lambda one: re.split("[.=/@]", one.lstrip("+~"), maxsplit=1)[0]))
        if key not in self.composed:
            self.composed[key] = with_names(self.start()(overrides))
        return self.composed[key]

    def start(self) -> "Callable[[list[str]], Settings]":
        """Hydra itself, initialised on conf/."""
        self._ask = self._ask or self._stack.enter_context(composer(self._conf))
        return self._ask


@contextmanager
def remembered(root: Path) -> Iterator[Answers]:
    """The answers that still hold; those that were new are written at the end.  Hydra is started when it is asked."""
    path = root / ".preflab" / "composed.json"
    now = _fingerprint(root / "conf")
    found = _read(path)
    if found.get("fingerprint") != now:
        found = {"composed": {}, "typed": {}}
    with ExitStack() as stack:
        answers = Answers(found["composed"], found["typed"], root / "conf", stack)
        before = len(answers.composed), len(answers.typed)
        yield answers
    if (len(answers.composed), len(answers.typed)) != before:
        from preflab.files import replace

        few = len(answers.composed) <= MOST
        kept = {"composed": answers.composed, "typed": answers.typed} if few else {"composed": {}, "typed": {}}
        replace(path, json.dumps({"fingerprint": now, **kept}))


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return found


def _fingerprint(conf: Path) -> str:
    """Of everything that an answer depends on but its overrides."""
    package = Path(__file__).parents[1]
    code = [file for pattern in SHAPES for file in sorted(package.glob(pattern))]
    versions = [f"{name} {metadata.version(name)}" for name in ("hydra-core", "omegaconf")]
    modules = [f"{folder} {plugins.names(folder)}" for folder in CHOICES]
    found = hashlib.sha256(" ".join(versions + modules).encode())
    for file in [*sorted(conf.rglob("*.yaml")), *code]:
        content = file.read_bytes()
        found.update(f"{file} {len(content)} ".encode() + content)
    return found.hexdigest()
