"""Which cells a check of conf/claims.yaml compares: `of: {labels: 5k, collection: offline}`, `against: {…}`.

Cells that differ in nothing but the seed are an arm.  Two arms are compared if they share everything that the check
does not name: task, model, and the other axes of the grid.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from preflab.grid.kinds import METHODS
from preflab.report.cells.arms import Arm, arm_name
from preflab.report.cells.load import UNTRAINED, Cell, Grid

Wanted = Mapping[str, Any]

KEYS = ["model", "method", "labels", "collection", "ablation", "labeller", "kl_target", "num_train", "episodes"]
DEFAULTS: dict[str, Any] = {"method": "rl", "ablation": "none"}
ANY = "any"  # whatever is not null: `kl_target: any` is every policy with an adaptive coefficient
MOST, FEWEST = "most", "fewest"  # of the numbers that the otherwise equal cells have

# Axes of a grid that stand in a row under a name of their own.  The first are read as such in every check (arms differ
# in them), the others where the check names the key.
ALWAYS = {"task", "model", "method", "labels", "collection", "ablation", "seed"}
EXPLAINS = {
    "labeller": {"labeller"},
    "episodes": {"episode_scale", "policy.episodes"},
    "kl_target": {"policy.adaptive_kl.target"},
    "num_train": {"labels.num_train"},
}


def pairs(grid: Grid, task: str, of: Wanted, against: Wanted | None) -> list[tuple[Arm, Arm | None]]:
    """Every arm that `of` selects, with each arm of `against` that can stand beside it."""
    named = {*of, *(against or {})}
    chosen = arms(grid, task, of, named)
    if against is None:
        return [(arm, None) for arm in chosen]
    others = arms(grid, task, against, named)
    beside = [(one, other) for one in chosen for other in others if one.ids != other.ids]
    return [(one, other) for one, other in beside if _comparable(one, other, named)]


def _comparable(one: Arm, other: Arm, named: set[str]) -> bool:
    """Equal in all that the check does not name; what was not trained stands beside everything on its contexts."""
    a, b = one.first, other.first
    if b.is_zero_shot and "zero_shot" in a.row and "zero_shot" in b.row:
        return bool(a.row["zero_shot"] == b.row["zero_shot"])
    if {a.method, b.method} & UNTRAINED:
        return all(a.row.get(key) == b.row.get(key) for key in {"task", "model", "prepare", "labeller"} - named)
    unnamed = [{a.row[key], b.row[key]} - {None} for key in {"labels", "collection"} - named]  # supervised has neither
    return one.family == other.family and all(len(values) < 2 for values in unnamed)


def zero_shot(grid: Grid, arm: Arm) -> Arm | None:
    """The reference that the arm's cells were evaluated against."""
    found = [cell for cell in grid.cells if cell.is_zero_shot and cell.row["zero_shot"] == arm.first.row["zero_shot"]]
    return Arm("zero-shot", arm.family, tuple(found[:1])) if found else None


def arms(grid: Grid, task: str, wanted: Wanted, named: set[str]) -> list[Arm]:
    """The arms that `wanted` selects, in the grid's order; `named`: the keys of both sides of the check."""
    complete = DEFAULTS | dict(wanted)
    cells = [cell for cell in grid.cells if cell.row["task"] == task and _matches(cell, complete)]
    found: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        itself = cell.id if cell.method in UNTRAINED else ""  # no axes tell two references of a task apart
        found.setdefault((_setting(cell, named), _name(cell, named), itself), []).append(cell)
    made = [
        Arm(name, setting, tuple(sorted(members, key=lambda cell: cell.row["seed"] or 0)))
        for (setting, name, _), members in found.items()
    ]
    for key, value in complete.items():
        if value in (MOST, FEWEST):
            made = [arm for arm in made if arm.first.row[key] == _extreme(made, arm.family, key, value)]
    return made


def _extreme(made: Sequence[Arm], setting: str, key: str, which: str) -> Any:
    numbers = [arm.first.row[key] for arm in made if arm.family == setting]
    return max(numbers) if which == MOST else min(numbers)


def _matches(cell: Cell, wanted: Wanted) -> bool:
    return all(_fits(cell.value(key), value) for key, value in wanted.items())


def _fits(found: object, wanted: object) -> bool:
    """YAML reads `200` as a number and `5k` as a text: both are compared as they are written."""
    if wanted in (ANY, MOST, FEWEST):
        return found is not None
    if isinstance(wanted, list):
        return any(_fits(found, one) for one in wanted)
    return found == wanted or (found is not None and str(found) == str(wanted))


def _setting(cell: Cell, named: set[str]) -> str:
    """What two arms must share: `sentiment, tiny, policy.lr=1e-05`."""
    explained = ALWAYS | {axis for key in named for axis in EXPLAINS.get(key, ())}
    axes = [f"{key}={value}" for key, value in sorted(cell.row["overrides"].items()) if key not in explained]
    return ", ".join([str(cell.row["task"]), str(cell.row["model"]), *axes])


def _name(cell: Cell, named: set[str]) -> str:
    """The arm's name and what tells it from others of this check: `direct, 3,200 episodes`."""
    more = []
    if "labeller" in named:
        more.append(f"labeller {cell.row['labeller']}")
    if "episodes" in named:
        more.append(f"{cell.row['episodes']:,} episodes")
    if "kl_target" in named and cell.row["kl_target"] is not None:
        more.append(f"KL target {cell.row['kl_target']:g}")
    return ", ".join([arm_name(cell), *more])


def described(wanted: Wanted) -> str:
    """`labels 5k, collection offline`: a selection for a sentence about what is missing."""
    return ", ".join(f"{key} {_written(value)}" for key, value in wanted.items()) or "any policy"


def _written(value: object) -> str:
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)


def problems(wanted: object, where: str) -> str | None:
    """What is wrong with one side of a check, or None."""
    if not isinstance(wanted, dict):
        return f"{where}: {wanted}: expected a mapping such as {{labels: 5k, collection: offline}}"
    for key, value in wanted.items():
        if key not in KEYS:
            return f"{where}: {key}: no key of a cell; choices: {', '.join(sorted(KEYS))}"
        methods = value if isinstance(value, list) else [value]
        if key == "method" and (wrong := [method for method in methods if method not in METHODS]):
            return f"{where}: method={wrong[0]}: choices: {', '.join(METHODS)}"
    return None
