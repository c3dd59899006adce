"""The labels released with the paper: GPT-2 token ids, padded on the right with 50259 (released code: label_types.py).

`best_of_N` has `query`, `sample0` … and `best`; `scalar_rating` has `sample` and `score`; `scalar_compare` has
`sample0`, `sample1` and `difference`, by how much sample1 is better.
"""

from collections.abc import Iterator
from typing import Any

from preflab.human_labels import fields as take
from preflab.human_labels.fields import UnusableError
from preflab.human_labels.readers import LabelRow

TASKS = ("sentiment", "descriptiveness", "cnndm", "tldr")  # the folders of the release
LABELS = ("best", "score", "difference")


def sniff(fields: dict[str, Any]) -> bool:
    """A query of token ids, and samples by number."""
    return isinstance(fields.get("query"), list) and ("sample0" in fields or "sample" in fields)


def rows(fields: dict[str, Any], folder: str) -> Iterator[LabelRow]:
    """One row."""
    kinds = [name for name in LABELS if name in fields]
    if len(kinds) != 1:
        raise UnusableError(f"{' and '.join(kinds) or 'no label'} in it, expected one of {', '.join(LABELS)}")
    query = take.items(fields.get("query"), "query")
    task = folder if folder in TASKS else ""
    if kinds == ["score"]:
        score = take.number(fields["score"], "score")
        yield LabelRow(query, [take.items(fields.get("sample"), "sample")], None, [score], task=task)
        return
    count = max(2, sum(name.removeprefix("sample").isdecimal() for name in fields if name.startswith("sample")))
    samples = [take.items(fields.get(f"sample{i}"), f"sample{i}") for i in range(count)]
    if kinds == ["best"]:
        yield LabelRow(query, samples, take.integer(fields["best"], "best"), task=task)
        return
    scores = [0.0, take.number(fields["difference"], "difference")]
    if count != 2:
        raise UnusableError(f"a difference between {count} samples, expected two")
    yield LabelRow(query, samples, take.highest(scores), scores, task=task)
