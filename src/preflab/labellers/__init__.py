"""Who labels: one module a scorer, each with `load(queries) -> Labeller`.

The module's name is the setting `labeller.scorer`. The stage `comparisons` writes it to `labeller.json` and the stage
`reward` to the `reward.json` of a known reward; whoever needs the labeller later loads it by that record.
"""

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from preflab.errors import PreflabError, did_you_mean

if TYPE_CHECKING:
    import numpy as np


class Labeller(Protocol):
    """What gives the labels, the known reward of the mock experiment, and the true score of a sample."""

    def score(self, texts: list[str]) -> "np.ndarray":
        """`[texts]` scores of response texts, float64, in a unit of the labeller's own; the higher is preferred."""
        ...


def names() -> list[str]:
    """Every choice of `labeller.scorer`: the modules of this package, none of them imported."""
    return [module.name for module in pkgutil.iter_modules(__path__)]


def unknown(scorer: str) -> str:
    """The error for a scorer that is not among `names`."""
    return f"labeller.scorer={scorer}: no such scorer in preflab.labellers; {did_you_mean(scorer, names())}"


def load(scorer: str, queries: Path) -> Labeller:
    """The labeller of module `scorer`; `queries` is the folder of the stage `prepare`."""
    if scorer not in names():
        raise PreflabError(unknown(scorer))
    labeller: Labeller = importlib.import_module(f"{__name__}.{scorer}").load(queries)
    return labeller
