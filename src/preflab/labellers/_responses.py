"""For scorers that read the response alone."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class OfResponses:
    """A labeller of `of`, a function from texts to their scores `[texts]`; it is given the responses."""

    of: Callable[[list[str]], np.ndarray]

    def score(self, _queries: list[str], responses: list[str], /) -> np.ndarray:
        """`[texts]` scores, float64."""
        return self.of(responses)
