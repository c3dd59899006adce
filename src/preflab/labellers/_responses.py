"""Labellers that score the response alone, whatever the query."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class ResponseLabeller:
    """A labeller that applies `score_texts`, a function from texts to their scores `[texts]`, to the responses."""

    score_texts: Callable[[list[str]], np.ndarray]

    def score(self, _queries: list[str], responses: list[str], /) -> np.ndarray:
        """`[texts]` scores, float64."""
        return self.score_texts(responses)
