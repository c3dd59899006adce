"""Which cells a check of conf/claims.yaml compares: `of: {labels: 5k, collection: offline}`, `against: {…}`.

Cells that differ in nothing but the seed are an arm.  Two arms are compared if they share everything that the check
does not name: task, model, and the other axes of the grid.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from preflab.grid.kinds import METHODS
from preflab.report.cells.results import UNTRAINED, ZERO_SHOT, Arm, CellResults, GridResults, arm_name, setting

Selection = Mapping[str, Any]

KEYS = ["model", "method", "labels", "collection", "ablation", "labeller", "kl_target", "num_train", "episodes"]
DEFAULTS: dict[str, Any] = {"method": "rl", "ablation": "none"}
ANY = "any"  # every value but null: `kl_target: any` is every policy with an adaptive coefficient
MOST, FEWEST = "most", "fewest"  # of the numbers that the otherwise equal cells have

# Axes of a grid that stand in a row under another name.  The first are never told apart as axes (arms differ in them),
# the others not where the check names the key.
ALWAYS = {"task", "model", "method", "labels", "collection", "ablation", "seed"}
EXPLAINS = {
    "labeller": {"labeller"},
    "episodes": {"episode_scale", "policy.episodes"},
    "kl_target": {"policy.adaptive_kl.target"},
    "num_train": {"labels.num_train"},
}


def pairs(grid: GridResults, task: str, of: Selection, against: Selection | None) -> list[tuple[Arm, Arm | None]]:
    """Every arm that `of` selects, with each arm of `against` that it can be compared with."""
    named = {*of, *(against or {})}
    chosen = arms(grid, task, of, named)
    if against is None:
        return [(arm, None) for arm in chosen]
    others = arms(grid, task, against, named)
    return [(a, b) for a in chosen for b in others if a.ids != b.ids and _comparable(a, b, named)]


def _comparable(of: Arm, against: Arm, named: set[str]) -> bool:
    """Equal in all that the check does not name; an untrained arm is compared with all that share its contexts."""
    a, b = of.first, against.first
    if b.is_zero_shot and "zero_shot" in a.row and "zero_shot" in b.row:
        return bool(a.row["zero_shot"] == b.row["zero_shot"])
    if {a.method, b.method} & UNTRAINED:
        return all(a.row.get(key) == b.row.get(key) for key in {"task", "model", "prepare", "labeller"} - named)
    unnamed = [{a.row[key], b.row[key]} - {None} for key in {"labels", "collection"} - named]  # supervised has neither
    return of.family == against.family and all(len(values) < 2 for values in unnamed)


def zero_shot(grid: GridResults, arm: Arm) -> Arm | None:
    """The reference that the arm's cells were evaluated against."""
    same = [cell for cell in grid.cells if cell.is_zero_shot and cell.row["zero_shot"] == arm.first.row["zero_shot"]]
    return Arm(ZERO_SHOT, arm.family, tuple(same[:1])) if same else None


def arms(grid: GridResults, task: str, query: Selection, named: set[str]) -> list[Arm]:
    """The arms that `query` selects, in the grid's order; `named`: the keys of both sides of the check."""
    complete = DEFAULTS | dict(query)
    cells = [cell for cell in grid.cells if cell.row["task"] == task and _matches(cell, complete)]
    groups: dict[tuple[str, str, str], list[CellResults]] = {}
    for cell in cells:
        itself = cell.id if cell.method in UNTRAINED else ""  # no axes tell two references of a task apart
        groups.setdefault((_setting(cell, named), _name(cell, named), itself), []).append(cell)
    selected = [
        Arm(name, family, tuple(sorted(members, key=lambda cell: cell.row["seed"] or 0)))
        for (family, name, _), members in groups.items()
    ]
    for key, value in complete.items():
        if value in (MOST, FEWEST):
            selected = [arm for arm in selected if arm.first.row[key] == _extreme(selected, arm.family, key, value)]
    return selected


def _extreme(arms: Sequence[Arm], family: str, key: str, which: str) -> Any:
    numbers = [arm.first.row[key] for arm in arms if arm.family == family]
    return max(numbers) if which == MOST else min(numbers)


def _matches(cell: CellResults, query: Selection) -> bool:
    return all(_fits(cell.value(key), value) for key, value in query.items())


def _fits(value: object, query: object) -> bool:
    """YAML reads `200` as a number and `5k` as a text: both are compared as they are written."""
    if query in (ANY, MOST, FEWEST):
        return value is not None
    if isinstance(query, list):
        return any(_fits(value, choice) for choice in query)
    return value == query or (value is not None and str(value) == str(query))


def _setting(cell: CellResults, named: set[str]) -> str:
    """What two arms must share: `sentiment, tiny, policy.lr=1e-05`."""
    return setting(cell, ALWAYS | {axis for key in named for axis in EXPLAINS.get(key, ())})


def _name(cell: CellResults, named: set[str]) -> str:
    """The arm's name and what tells it from others of this check: `direct, 3,200 episodes`."""
    more = []
    if "labeller" in named:
        more.append(f"labeller {cell.row['labeller']}")
    if "episodes" in named:
        more.append(f"{cell.row['episodes']:,} episodes")
    if "kl_target" in named and cell.row["kl_target"] is not None:
        more.append(f"KL target {cell.row['kl_target']:g}")
    return ", ".join([arm_name(cell), *more])


def described(query: Selection) -> str:
    """`labels 5k, collection offline`: a selection in words."""
    return ", ".join(f"{key} {_written(value)}" for key, value in query.items()) or "any policy"


def _written(value: object) -> str:
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)


def problems(query: object, where: str) -> str | None:
    """What is wrong with one side of a check, or None."""
    if not isinstance(query, dict):
        return f"{where}: {query}: expected a mapping such as {{labels: 5k, collection: offline}}"
    for key, value in query.items():
        if key not in KEYS:
            return f"{where}: {key}: no key of a cell; choices: {', '.join(sorted(KEYS))}"
        methods = value if isinstance(value, list) else [value]
        if key == "method" and (wrong := [method for method in methods if method not in METHODS]):
            return f"{where}: method={wrong[0]}: choices: {', '.join(METHODS)}"
    return None
