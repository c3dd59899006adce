"""The reward models on held-out comparisons."""

from preflab.report import captions
from preflab.report.cells.accuracy import CHANCE, reward_accuracy, reward_mean
from preflab.report.cells.results import Arm, Family, GridResults
from preflab.report.table import Column, Table, TableRow


def reward_models(grid: GridResults) -> list[Table]:
    """Held-out accuracy of the models that the stage `reward` trained (online: the first, from N⁰ labels)."""
    users: dict[str, list[tuple[Family, Arm]]] = {}  # by the reward model of their first seed: they share the others
    for family in grid.families:
        for arm in family.arms:
            if "heldout_accuracy" in arm.first.reward:
                users.setdefault(arm.first.row["reward"], []).append((family, arm))
    rows = []
    for pairs in users.values():
        family, arm = max(pairs, key=lambda pair: len(pair[1].cells))  # the first arm of those with the most seeds
        accuracy = reward_accuracy(arm)
        more = f" and {len(pairs) - 1} more" if len(pairs) > 1 else ""
        values = captions.arm_values(grid, family, arm) | {
            "arm": arm.name + captions.extra_axes(family) + more,
            "labels": _trained_on(grid, arm),
            "accuracy": accuracy,
            "chance": CHANCE,
            "above": (accuracy.mean - CHANCE) / accuracy.error if accuracy.error else None,
            "loss": reward_mean(arm, "heldout_loss"),
            "calibration": reward_mean(arm, "expected_calibration_error"),
        }
        rows.append(TableRow(values, tuple(dict.fromkeys(cell for _, user in pairs for cell in user.ids))))
    if not rows:
        return []
    columns = (
        *captions.arm_columns(grid, arm="reward model of"),
        Column("accuracy", "held-out accuracy, %", "error", 1, 100),
        Column("chance", "chance, %", "number", 0, 100),
        Column("above", "above chance, s.e.", "number", 1),
        Column("loss", "held-out loss", "number", 3),
        Column("calibration", "calibration error", "number", 3),
    )
    notes = [
        "Accuracy: how often the response that the labeller chose has the highest score of its four; mean "
        "over seeds ± standard error over comparisons (seeds share them, so it is not divided by the "
        "number of seeds). The labels are noisy: no model can reach 100 %."
    ]
    return [captions.table(grid, "reward_models", "Reward models on held-out comparisons", columns, rows, notes)]


def _trained_on(grid: GridResults, arm: Arm) -> str:
    """Offline all labels; online the first N⁰ (PPO collects the rest)."""
    if arm.first.row["collection"] == "offline":
        return captions.labels_text(grid, arm.first)
    return f"the first {arm.first.reward['num_train']:.0f} (× {captions.scale(grid, arm.first)})"
