"""Writing results so that equal results are equal bytes: sorted keys, fixed digits, no time stamps."""

import csv
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON file with sorted keys and floats in full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def write_csv(path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Write a CSV file: the `columns` of each row, floats with six significant digits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([f"{row[c]:.6g}" if isinstance(row[c], float) else row[c] for c in columns])


class _Dumper(yaml.CSafeDumper):
    """Quotes every string that YAML 1.2 (DVC) might read as a number and YAML 1.1 (PyYAML) would not."""


def _string(dumper: yaml.CSafeDumper, text: str) -> yaml.ScalarNode:
    number_like = text[:1].isdigit() and not text.strip("0123456789abcdefABCDEF._+-xo")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if number_like else None)


_Dumper.add_representer(str, _string)


def dump(data: Any) -> str:
    """YAML that DVC and OmegaConf read as the same data."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def read(path: Path) -> Any:
    """The data of a file that `dump` has written."""
    return parse(path.read_text())


def parse(text: str) -> Any:
    """The data of a text that `dump` has written."""
    return yaml.load(text, yaml.CSafeLoader)


def replace(path: Path, content: str) -> bool:
    """Replace the file if its content differs; True if it did.

    The replacement is atomic, because another process may be reading the file.
    """
    if path.exists() and path.read_text() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(content)
    temporary.replace(path)
    return True


def numbers(values: dict[str, Any]) -> dict[str, float]:
    """The finite numbers among `values`, as floats."""
    return {
        key: float(value)
        for key, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
