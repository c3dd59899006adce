"""The points of a grid: the overrides of conf/ that make each cell."""

import itertools
from dataclasses import dataclass
from typing import Any

Settings = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Point:
    """A cell before it is composed: all its Hydra overrides, and its axes: {"labels": "5k", "policy.lr": "1e-5"}."""

    overrides: list[str]
    axes: dict[str, str]


def points(spec: Settings) -> list[Point]:
    """The points of a grid, `spec` being the content of conf/grid/NAME.yaml.

    They are the product of the axes under `product`, then the rows of `include`, each with every seed.  A row of
    `include` is itself a product: a list in it stands for each of its values.  A row may have its own `seeds`, and
    further overrides under `base`, which are no axes.
    """
    product = spec.get("product")
    rows = [row for lists in [*([product] if product else []), *(spec.get("include") or [])] for row in _rows(lists)]
    base = list(spec.get("base") or [])
    result = []
    for row in rows:
        row_base = base + list(row.pop("base", []))
        for seed in row.pop("seeds", None) or spec.get("seeds") or [1]:
            axes = {key: written(value) for key, value in (row | {"seed": seed}).items()}
            result.append(Point(row_base + [f"{key}={value}" for key, value in axes.items()], axes))
    return result


def _rows(lists: Settings) -> list[Settings]:
    """`{a: [1, 2], b: 3}` as the rows a=1 b=3 and a=2 b=3; `seeds` and `base` are copied into each row."""
    no_axes = ("seeds", "base")
    values = [value if isinstance(value, list) and key not in no_axes else [value] for key, value in lists.items()]
    return [dict(zip(lists, row, strict=True)) for row in itertools.product(*values)]


def written(value: object) -> str:
    """A value as it is typed on Hydra's command line: `null`, `true`, `1e-05`."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def key_of(override: str) -> str:
    """`policy.lr` of `policy.lr=1e-4` and of `+policy.lr=1e-4`."""
    return override.partition("=")[0].lstrip("+~")
