"""The body of each stage: one module for each script of pipelines/, with `run(cfg, …) -> Result`.

A body reads the folders of upstream stages, writes its output to `out`, and returns its numbers.  It reports to `log`
while it runs, and writes checkpoints to the folder `work`.  Under torchrun every rank calls it; the first one writes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class Result(NamedTuple):
    """The final numbers of a stage, and a row for each step where it trains (the module's `COLUMNS`)."""

    metrics: dict[str, Any]
    curve: Sequence[dict[str, float]] = ()


class Log(Protocol):
    """What a stage reports while it runs."""

    def metrics(self, values: dict[str, float], step: int) -> None:
        """Numbers of one step."""
        ...

    def text(self, name: str, text: str) -> None:
        """A text, such as samples, under a file name."""
        ...
