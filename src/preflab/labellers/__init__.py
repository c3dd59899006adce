"""The labellers: one module for each scorer, with `load(queries) -> Labeller`, or any Python function.

The setting `labeller.scorer` is a module's name, or the dotted path of a function (see _function.py).  The stage
`comparisons` writes it to `labeller.json` and the stage `reward` to the `reward.json` of a true score; later stages
load the labeller by that record.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from preflab import plugins

if TYPE_CHECKING:
    import numpy as np


class Labeller(Protocol):
    """Gives the score that synthetic labels follow, and the true score of a sample."""

    def score(self, queries: list[str], responses: list[str], /) -> "np.ndarray":
        """`[texts]` scores of the responses, float64, in any unit; the higher is preferred.

        `queries[i]` and `responses[i]` belong to sample i.
        """
        ...


def names() -> list[str]:
    """The modules of this package, without importing them; those whose name begins with `_` are not choices."""
    return plugins.names("labellers")


def load(scorer: str, queries: Path) -> Labeller:
    """The labeller of module or function `scorer`; `queries` is the folder of the stage `prepare`.

    Raises PreflabError if there is no such module or function, or if `queries` lacks what it needs.
    """
    if "." in scorer:
        from preflab.labellers import _function

        return _function.load(scorer)
    labeller: Labeller = plugins.load("labellers", scorer, "labeller.scorer").load(queries)
    return labeller
