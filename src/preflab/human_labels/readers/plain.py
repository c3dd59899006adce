"""Our own schema, in JSON lines, a JSON array, CSV or parquet, for labels of any other tool.

`query`; `samples` (a list) or `sample0`, `sample1` …; `best` (an index; empty for a tie); and where they are known
`scores` (a list) or `score0`, `score1` …, `labeller`, `task`, `split`, `id`.  One sample with its score is a rating.
`pipelines.ingest --out` writes this schema, with more columns.
"""

from collections.abc import Iterator
from typing import Any

from preflab.human_labels import fields as take
from preflab.human_labels.fields import UnusableError
from preflab.human_labels.readers import LabelRow


def sniff(fields: dict[str, Any]) -> bool:
    """Query and samples by our names, and texts where the released labels have token ids."""
    return "query" in fields and ("samples" in fields or ("sample0" in fields and isinstance(fields["query"], str)))


def rows(fields: dict[str, Any], _folder: str) -> Iterator[LabelRow]:
    """One row."""
    samples = [take.text(sample, f"sample{i}") for i, sample in enumerate(_several(fields, "sample"))]
    values = _several(fields, "score")
    has_scores = any(value not in (None, "") for value in values)  # CSV has empty cells where there are none
    scores = [take.number(value, f"score{i}") for i, value in enumerate(values)] if has_scores else None
    best = fields.get("best")
    chosen: int | None = None
    if best not in (None, ""):
        chosen = take.integer(best, "best")
    elif scores and len(samples) > 1:
        chosen = take.highest(scores)
    elif "best" not in fields and not scores:
        raise UnusableError("neither best nor scores in it, expected one of them (an empty best is a tie)")
    labeller, task, split, name = (take.label(fields.get(key)) for key in ("labeller", "task", "split", "id"))
    yield LabelRow(take.text(fields.get("query"), "query"), samples, chosen, scores, labeller, task, split, name)


def _several(fields: dict[str, Any], name: str) -> list[Any]:
    """`NAMEs`, a list, or NAME0, NAME1 …"""
    if fields.get(f"{name}s") is not None:
        return take.items(fields[f"{name}s"], f"{name}s")
    count = sum(key.removeprefix(name).isdecimal() for key in fields if key.startswith(name))
    keys = [f"{name}{i}" for i in range(count)]
    if missing := [key for key in keys if key not in fields]:
        raise UnusableError(f"{missing[0]} is missing, expected {name}0, {name}1 … without gaps")
    return [fields[key] for key in keys]
