"""Label Studio's JSON export: tasks with their annotations; each annotation that compares responses is a row.

Three controls: Pairwise (`selected`: left or right), Choices (the name of a response, or tie), Ranker (ids of a List
in their order).  Other controls beside them (comments, say) are passed over.
"""

from collections.abc import Iterator
from typing import Any

from preflab.human_labels import fields as take
from preflab.human_labels.fields import UnusableError
from preflab.human_labels.readers import LabelRow, SkippedRecord

CONTROLS = ("pairwise", "choices", "ranker")


def sniff(fields: dict[str, Any]) -> bool:
    """A task: the data shown, and its annotations."""
    return isinstance(fields.get("data"), dict) and isinstance(fields.get("annotations"), list)


def rows(fields: dict[str, Any], _folder: str) -> Iterator[LabelRow | SkippedRecord]:
    """One row for each annotation."""
    data = take.mapping(fields.get("data"), "data")
    annotations = take.items(fields.get("annotations"), "annotations")
    if not annotations:
        yield SkippedRecord("not annotated")
        return
    query, samples = take.query(data), take.samples(data)
    for i, item in enumerate(annotations):
        annotation = take.mapping(item, f"annotations[{i}]")
        if annotation.get("was_cancelled"):
            yield SkippedRecord("annotation cancelled")
            continue
        results = take.items(annotation.get("result"), f"annotations[{i}].result")
        best, scores = _answer([take.mapping(result, "result") for result in results], list(samples))
        who = annotation.get("completed_by")
        labeller = take.label(who.get("email") or who.get("id")) if isinstance(who, dict) else take.label(who)
        yield LabelRow(query, list(samples.values()), best, scores, labeller, id=take.label(fields.get("id")))


def _answer(results: list[dict[str, Any]], names: list[str]) -> tuple[int | None, list[float] | None]:
    """Which response is best (None: a tie), and the scores of a ranking."""
    answers = [result for result in results if result.get("type") in CONTROLS]
    if len(answers) != 1:
        raise UnusableError(f"{len(answers)} answers in an annotation, expected one of {', '.join(CONTROLS)}")
    kind = answers[0]["type"]
    value = take.mapping(answers[0].get("value"), f"the value of {kind}")
    if kind == "pairwise":
        if value.get("selected") not in ("left", "right") or len(names) != 2:
            raise UnusableError(
                f"selected is {take.shown(value.get('selected'))} of {len(names)}, expected left or right of two"
            )
        return ("left", "right").index(value["selected"]), None
    if kind == "choices":
        chosen = take.items(value.get("choices"), "choices")
        if len(chosen) != 1:
            raise UnusableError(f"choices are {take.shown(chosen)}, expected one")
        return take.choice(chosen[0], names), None
    order = value.get("ranker")
    if isinstance(order, dict):  # of several buckets it is not known which is better
        full = [bucket for name, bucket in order.items() if bucket and name != "_"]
        order = full[0] if len(full) == 1 else None
    ranks = {str(one): float(rank) for rank, one in enumerate(take.items(order, "the ranking (of one bucket)"))}
    if sorted(ranks) != sorted(names):
        raise UnusableError(f"the ranking is of {take.shown(list(ranks))}, expected all of {', '.join(names)}")
    scores = [-ranks[name] for name in names]
    return take.highest(scores), scores
