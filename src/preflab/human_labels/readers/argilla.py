"""Argilla's records as JSON (`records.to_json`, or the older FeedbackDataset): fields, and the responses to them.

The question that compares the fields may be a ranking (names in their order, or names with ranks, which may tie) or a
label (the name of a field, or tie).  Each answer is a row; other questions are passed over.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from preflab.human_labels import fields as take
from preflab.human_labels.fields import UnusableError
from preflab.human_labels.readers import LabelRow, SkippedRecord


class _Answer(NamedTuple):
    question: str
    value: Any
    user: str


def sniff(fields: dict[str, Any]) -> bool:
    """The fields shown, and the responses."""
    return isinstance(fields.get("fields"), dict) and isinstance(fields.get("responses"), (dict, list))


def rows(fields: dict[str, Any], _folder: str) -> Iterator[LabelRow | SkippedRecord]:
    """One row for each person who answered."""
    shown = take.mapping(fields.get("fields"), "fields")
    answers = list(_answers(fields.get("responses")))
    if not answers:
        yield SkippedRecord("not answered")
        return
    query, samples = take.query(shown), take.samples(shown)
    understood, reasons = [], []
    for answer in answers:
        try:
            understood.append((answer, *_preference(answer.value, list(samples))))
        except UnusableError as error:
            reasons.append((answer.question, error))
    questions = {answer.question for answer, _, _ in understood}
    if len(questions) > 1:
        raise UnusableError(f"several questions compare the responses: {', '.join(sorted(questions))}; expected one")
    for question, reason in reasons:  # the answers to other questions say something else
        if not questions or question in questions:
            raise UnusableError(f"question {question}: {reason}")
    for answer, best, scores in understood:
        name = take.label(fields.get("id") or fields.get("external_id"))
        yield LabelRow(query, list(samples.values()), best, scores, answer.user, id=name)


def _answers(responses: object) -> Iterator[_Answer]:
    """The answers of both versions: by question a list of labellers, or a list of labellers, each by question."""
    if isinstance(responses, dict):
        for question, answers in responses.items():
            for item in take.items(answers, f"responses.{question}"):
                answer = take.mapping(item, f"a response to {question}")
                yield _Answer(question, answer.get("value"), take.label(answer.get("user_id")))
        return
    for item in take.items(responses, "responses"):
        response = take.mapping(item, "a response")
        if response.get("status") in ("submitted", None):  # neither draft nor discarded
            for question, value in take.mapping(response.get("values"), "the values of a response").items():
                answer = take.mapping(value, f"the response to {question}")
                yield _Answer(question, answer.get("value"), take.label(response.get("user_id")))


def _preference(value: object, names: list[str]) -> tuple[int | None, list[float] | None]:
    """Which response is best (None: a tie), and the scores of a ranking."""
    if not isinstance(value, list):
        return take.choice(value, names), None
    ranks: dict[int | None, float] = {}
    for place, one in enumerate(value):
        name, rank = (one.get("value"), one.get("rank")) if isinstance(one, dict) else (one, place)
        ranks[take.choice(name, names)] = take.number(rank, "the rank")
    if sorted(map(str, ranks)) != sorted(map(str, range(len(names)))):
        raise UnusableError(f"the ranking is {take.shown(value)}, expected all of {', '.join(names)}")
    scores = [-ranks[i] for i in range(len(names))]
    return take.highest(scores), scores
