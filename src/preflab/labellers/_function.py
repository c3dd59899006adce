"""Any Python function as a labeller, by its dotted path: `labeller.scorer=package.module.function`.

It is called as `function(queries, responses)` with two lists of texts and returns a finite number for each response.
It lies in the project's src/, next to preflab, where a change makes stages stale (grid/code.py), or in an installed
package; pinning the version of that package is up to the user.  The module is imported when settings are checked, so
heavy packages are best imported inside the function.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from preflab import plugins
from preflab.errors import PreflabError


@dataclass(frozen=True, slots=True)
class FunctionLabeller:
    """A user's function as a labeller; what it returns is checked at each call."""

    path: str
    function: Callable[[list[str], list[str]], Any]

    def score(self, queries: list[str], responses: list[str], /) -> np.ndarray:
        """`[texts]` scores, float64; raises PreflabError unless there is one finite number for each response."""
        returned = self.function(queries, responses)
        try:
            scores = np.asarray(returned, np.float64)
        except (TypeError, ValueError) as error:
            raise PreflabError(
                f"labeller.scorer={self.path}: gave {type(returned).__name__} that is no list of numbers ({error}); "
                "it must return one float for each response"
            ) from error
        if scores.shape != (len(responses),):
            raise PreflabError(
                f"labeller.scorer={self.path}: gave scores of shape {scores.shape} for {len(responses)} responses, "
                f"expected ({len(responses)},); it must return one float for each response"
            )
        wrong = np.flatnonzero(~np.isfinite(scores))
        if len(wrong):
            raise PreflabError(
                f"labeller.scorer={self.path}: gave {scores[wrong[0]]} for response {wrong[0]} of {len(responses)}, "
                f"{responses[wrong[0]]!r} ({len(wrong)} are not finite); it must return finite numbers"
            )
        return scores


def load(path: str) -> FunctionLabeller:
    """The function at a dotted path; raises PreflabError as `plugins.function` does."""
    return FunctionLabeller(path, plugins.function(path, "labeller.scorer"))
