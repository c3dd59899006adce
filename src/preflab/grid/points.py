"""The points of a grid: which overrides of conf/ each cell is made of."""

import itertools
from dataclasses import dataclass
from typing import Any

Settings = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Point:
    """One cell to be: all its Hydra overrides, and those of its axes (`{"labels": "5k", "policy.lr": "1e-5"}`)."""

    overrides: list[str]
    axes: dict[str, str]


def points(spec: Settings) -> list[Point]:
    """The cells of conf/grid/NAME.yaml: the product of the axes and the rows of `include`, each with every seed.

    A row of `include` is itself a product, a list stands for each of its values; it may have `seeds` of its own, and
    under `base` overrides on top of the grid's that are no axes.
    """
    product = spec.get("product")
    rows = [row for lists in [*([product] if product else []), *(spec.get("include") or [])] for row in _rows(lists)]
    base = list(spec.get("base") or [])
    found = []
    for row in rows:
        own = base + list(row.pop("base", []))
        for seed in row.pop("seeds", None) or spec.get("seeds") or [1]:
            axes = {key: written(value) for key, value in (row | {"seed": seed}).items()}
            found.append(Point(own + [f"{key}={value}" for key, value in axes.items()], axes))
    return found


def _rows(lists: Settings) -> list[Settings]:
    """`{a: [1, 2], b: 3}` as the rows a=1 b=3 and a=2 b=3; `seeds` and `base` stay what they are."""
    own = ("seeds", "base")
    values = [value if isinstance(value, list) and key not in own else [value] for key, value in lists.items()]
    return [dict(zip(lists, row, strict=True)) for row in itertools.product(*values)]


def written(value: object) -> str:
    """A value as Hydra's command line wants it."""
    return (
        {None: "null", True: "true", False: "false"}.get(value, str(value))
        if value is None or isinstance(value, bool)
        else str(value)
    )


def key_of(override: str) -> str:
    """`policy.lr` of `policy.lr=1e-4` and of `+policy.lr=1e-4`."""
    return override.partition("=")[0].lstrip("+~")
