"""OpenAI's summarize-from-feedback: comparisons of two summaries, and axis evals, ratings of one.

The query is the bare post or article, as the paper's tasks tldr and cnndm have it.  Of the axes `overall` is the score.
"""

from collections.abc import Iterator
from typing import Any

from preflab.human_labels import fields as take
from preflab.human_labels.fields import UnusableError
from preflab.human_labels.readers import LabelRow

QUERIES = {"post": "tldr", "article": "cnndm"}  # what was summarised, and the paper's name of the task


def sniff(fields: dict[str, Any]) -> bool:
    """What was summarised stands in `info`."""
    return isinstance(fields.get("info"), dict) and ("summaries" in fields or "summary" in fields)


def rows(fields: dict[str, Any], _folder: str) -> Iterator[LabelRow]:
    """One row."""
    info = take.mapping(fields.get("info"), "info")
    name = next((name for name in QUERIES if info.get(name) is not None), None)
    if name is None:
        raise UnusableError(f"info has {take.shown(list(info))}, expected one of {', '.join(QUERIES)}")
    row = LabelRow(
        query=take.text(info[name], f"info.{name}"),
        samples=[],
        best=None,
        labeller=take.label(fields.get("worker")),
        task=QUERIES[name],
        split=take.label(fields.get("split")),
        id=take.label(info.get("id")),
    )
    if ("summaries" in fields) == ("summary" in fields):
        raise UnusableError("expected either summaries (a comparison) or summary (an axis eval)")
    if "summaries" in fields:
        summaries = take.items(fields["summaries"], "summaries")
        row.samples = [_summary(summary, f"summaries[{i}]") for i, summary in enumerate(summaries)]
        row.best = take.integer(fields.get("choice"), "choice")
    else:
        summary = take.mapping(fields["summary"], "summary")
        row.samples = [_summary(summary, "summary")]
        axes = take.mapping(summary.get("axes"), "summary.axes")
        row.scores = [take.number(axes.get("overall"), "summary.axes.overall")]
    yield row


def _summary(value: object, name: str) -> str:
    return take.text(take.mapping(value, name).get("text"), f"{name}.text")
