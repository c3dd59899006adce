"""How good the reward models of an arm are on held-out comparisons, and whether they guess."""

import numpy as np

from preflab.report.cells.arms import seed_mean
from preflab.report.cells.results import Arm
from preflab.report.table import WithError

CHANCE = 0.25  # of picking the best of four


def reward_accuracy(arm: Arm) -> WithError:
    """Mean over seeds; the standard error is that of one seed: they share their held-out comparisons."""
    return WithError(reward_mean(arm, "heldout_accuracy"), reward_mean(arm, "heldout_accuracy_se"))


def accuracy_in_force(arm: Arm) -> WithError | None:
    """The same of the reward models in force at the end (online: the last one); None without a reward model."""
    if "heldout_accuracy" not in arm.first.metrics:
        return None
    return WithError(*(seed_mean(arm, name) for name in ("heldout_accuracy", "heldout_accuracy_se")))


def guesses(arm: Arm) -> bool:
    """Whether its reward model is not surely better than chance: its accuracy is within 2 standard errors of it."""
    accuracy = accuracy_in_force(arm)
    return accuracy is not None and accuracy.mean - 2 * accuracy.error <= CHANCE


def reward_mean(arm: Arm, metric: str) -> float:
    """Mean over seeds of a number of reports/reward/."""
    return float(np.mean([cell.reward[metric] for cell in arm.cells]))
