"""Who labels: one module a scorer, each with `load(queries) -> Labeller`; or any Python function.

The setting `labeller.scorer` is a module's name, or the dotted path of a function (see _function.py).  The stage
`comparisons` writes it to `labeller.json` and the stage `reward` to the `reward.json` of a true score; whoever needs
the labeller later loads it by that record.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from preflab import plugins

if TYPE_CHECKING:
    import numpy as np


class Labeller(Protocol):
    """What gives the labels, the true score of the mock experiment, and the true score of a sample."""

    def score(self, queries: list[str], responses: list[str], /) -> "np.ndarray":
        """`[texts]` scores of the responses, float64, in a unit of the labeller's own; the higher is preferred.

        Query and response of a sample stand at the same place of the two lists.
        """
        ...


def names() -> list[str]:
    """The modules of this package, none of them imported; those that begin with `_` are no choices."""
    return plugins.names("labellers")


def load(scorer: str, queries: Path) -> Labeller:
    """The labeller of module or function `scorer`; `queries` is the folder of the stage `prepare`."""
    if "." in scorer:
        from preflab.labellers import _function

        return _function.load(scorer)
    labeller: Labeller = plugins.load("labellers", scorer, "labeller.scorer").load(queries)
    return labeller
