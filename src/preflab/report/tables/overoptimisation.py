"""Over-optimisation: the reward model's score and the true score over KL, in training, and where they part."""

from functools import lru_cache
from typing import NamedTuple

from preflab.evaluate import overoptimisation as rule
from preflab.evaluate.overoptimisation import BINS, UPDATES_PER_BIN, Parting, Run
from preflab.report import captions
from preflab.report.cells.results import DIRECT, Arm, Family, GridResults
from preflab.report.table import Column, Table, TableRow

FAR = {"none", "no_kl"}  # of the ablations only the one that leaves the reference furthest
FEWEST = 3  # bins: a peak, an end, and something between


class ArmParting(NamedTuple):
    """A policy that was trained on a reward model, and where its two scores part."""

    family: Family
    arm: Arm
    parting: Parting


@lru_cache(maxsize=1)
def parted_arms(grid: GridResults) -> tuple[ArmParting, ...]:
    """Every policy trained on a reward model, if its runs have updates enough; a figure draws them, too."""
    parted = []
    for family in grid.families:
        for arm in family.trained:
            learned = not arm.name.startswith(DIRECT) and arm.first.ablation in FAR
            if learned and (parting := _part(arm)):
                parted.append(ArmParting(family, arm, parting))
    return tuple(parted)


def _part(arm: Arm) -> Parting | None:
    """By as many bins as the shortest run allows; fewer where its last one or its peak's is empty."""
    if any(not {"kl", "score", "true_score"} <= cell.curve.keys() for cell in arm.cells):
        return None
    runs = [Run(cell.curve["kl"], cell.curve["score"], cell.curve["true_score"]) for cell in arm.cells]
    for bins in range(min(BINS, *(len(run.kl) // UPDATES_PER_BIN for run in runs)), FEWEST - 1, -1):
        try:
            return rule.part(runs, bins)
        except ValueError:
            continue
    return None


def overoptimisation(grid: GridResults) -> list[Table]:
    """A row for each policy; none where no run was long enough."""
    rows = []
    for family, arm, parting in parted_arms(grid):
        values = captions.arm_values(grid, family, arm) | {
            "bins": len(parting.curve.kl),
            "highest": max(cell.curve["kl"].max() for cell in arm.cells),
            "fall": parting.true_fall,
            "rise": parting.reward_model_rise,
            "parts": parting.kl if parting.kl is not None else "do not part",
        }
        rows.append(TableRow(values, arm.ids))
    if not rows:
        return []
    heads = (
        *captions.arm_columns(grid, task=True),
        Column("bins", "bins", "number", 0),
        Column("highest", "highest KL, nats", "number", 1),
        Column("fall", "true score falls by, SD of ρ", "interval", 2),
        Column("rise", "model's score rises by", "interval", 2),
        Column("parts", "the scores part at KL", "number", 1),
    )
    notes = [
        "The updates of all seeds are put into bins of equal numbers by their KL; the peak is the bin with the highest "
        "true score. Falls and rises: from the peak to the last bin. The two scores part at the peak if both are "
        "above 0 by more than their intervals (95 %, bootstrap over seeds and updates; every other update finds the "
        "peak, the others test it). 0 [0, 0]: the last bin is the peak.",
        "True score: the labeller's, without noise, of the responses of each update. The reward model's score is "
        "standardised on the reference's, and a response without its end token scores −1.",
    ]
    title = "Over-optimisation: the reward model's score against the true score over KL"
    return [captions.table(grid, "overoptimisation", title, heads, rows, notes)]
