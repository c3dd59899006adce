"""How often labellers agree with each other and with the judge (paper appendix B, Table 9), with standard errors.

The paper put 5 % of its questions to 5 labellers each.  A question's answers depend on each other, so the unit of the
standard errors is the question: they are those of a mean over questions, for these labellers.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from preflab.machine.runtime import seed_for

SHARE, TIMES = 0.05, 5  # paper appendix B: share of the questions that TIMES labellers answer


class Agreement(NamedTuple):
    """Share of equal pairs of choices, its standard error over questions, their number; NaN if there are too few."""

    share: float
    error: float
    questions: int


def asked_again(count: int, *seed: object) -> list[int]:
    """Which of `count` questions go to several labellers: `SHARE` of them, at least two, in ascending order."""
    size = min(max(round(SHARE * count), 2), count)
    return sorted(np.random.default_rng(seed_for(*seed)).choice(count, size, replace=False).tolist())


def between_labellers(choices: Sequence[Sequence[int]]) -> Agreement:
    """Agreement of two labellers on a question; `choices` `[questions][labellers]`; one answer makes no pair."""
    shares = []
    for answers in choices:
        counts = np.bincount(answers)
        if len(answers) > 1:
            shares.append(float((counts * (counts - 1)).sum()) / (len(answers) * (len(answers) - 1)))
    return _mean(shares)


def with_judge(choices: Sequence[Sequence[int]], judge: Sequence[int]) -> Agreement:
    """Agreement of a labeller with the judge, which chose `judge[i]`; `choices` `[questions][labellers]`."""
    return _mean([answers.count(best) / len(answers) for answers, best in zip(map(list, choices), judge, strict=True)])


def _mean(shares: list[float]) -> Agreement:
    if not shares:
        return Agreement(math.nan, math.nan, 0)
    error = float(np.std(shares, ddof=1) / math.sqrt(len(shares))) if len(shares) > 1 else math.nan
    return Agreement(float(np.mean(shares)), error, len(shares))
