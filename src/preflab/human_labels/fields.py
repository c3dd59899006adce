"""Values out of the fields of a record, each checked: an error says what was found and what was expected."""

import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

# Usual names of the fields of a form (Label Studio, Argilla), whose author may name them at will; ours.
QUERIES = ("query", "prompt", "instruction", "question", "article", "post", "document", "context", "input", "text")
SAMPLES = re.compile(
    r"(?:sample|response|answer|completion|generation|output|summary|reply|text)[-_ ]?(\d+|[a-z])", re.IGNORECASE
)
BODIES = ("body", "text", "html")
TIES = ("tie", "equal", "same")
SPEAKERS = {"system": "System", "user": "Human", "assistant": "Assistant"}  # as hh-rlhf writes conversations


class UnusableError(Exception):
    """A record that cannot be used, and why."""


def shown(value: object) -> str:
    """A value of any kind, in a few characters."""
    return "nothing" if value is None else reprlib.repr(value)


def text(value: object, name: str) -> str:
    """A text; the empty one too."""
    if isinstance(value, str):
        return value
    raise UnusableError(f"{name} is {shown(value)}, expected a text")


def label(value: object) -> str:
    """A name or number that may be missing (of a labeller, a record, a task) as text."""
    return "" if value is None or isinstance(value, (Mapping, list)) else str(value)


def integer(value: object, name: str) -> int:
    """A whole number, or the digits of one (CSV has nothing else)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,9}", value, re.ASCII):
        return int(value)
    raise UnusableError(f"{name} is {shown(value)}, expected a whole number")


def number(value: object, name: str) -> float:
    """A finite number, or the text of one."""
    try:
        if isinstance(value, (int, float, str)) and not isinstance(value, bool) and math.isfinite(float(value)):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise UnusableError(f"{name} is {shown(value)}, expected a number")


def items(value: object, name: str) -> list[Any]:
    """A list."""
    if isinstance(value, list):
        return value
    raise UnusableError(f"{name} is {shown(value)}, expected a list")


def mapping(value: object, name: str) -> dict[str, Any]:
    """An object."""
    if isinstance(value, dict):
        return value
    raise UnusableError(f"{name} is {shown(value)}, expected an object")


def highest(scores: Sequence[float]) -> int | None:
    """Where the highest score stands; None if several share it."""
    best = max(scores)
    return scores.index(best) if scores.count(best) == 1 else None


def common_start(first: str, second: str) -> str:
    """The longest text that both begin with."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if first[:middle] == second[:middle] else (low, middle - 1)
    return first[:low]


def conversation(value: object, name: str) -> list[tuple[str, str]]:
    """A list of chat messages (`role`, `content`) as pairs of speaker and text."""
    pairs = []
    for i, message in enumerate(items(value, name)):
        turn = mapping(message, f"{name}[{i}]")
        role = turn.get("role")
        if not isinstance(role, str) or role not in SPEAKERS:
            raise UnusableError(f"{name}[{i}] has the role {shown(role)}, expected one of {', '.join(SPEAKERS)}")
        pairs.append((SPEAKERS[role], text(turn.get("content"), f"{name}[{i}].content")))
    return pairs


def transcript(messages: Sequence[tuple[str, str]]) -> str:
    r"""A conversation as hh-rlhf writes it: `\n\nHuman: …\n\nAssistant: …`."""
    return "".join(f"\n\n{speaker}: {words}" for speaker, words in messages)


def query(fields: Mapping[str, Any]) -> str:
    """The text of the query among the fields of a form: the first of the usual names that is there."""
    for name in QUERIES:
        if name in fields:
            return text(fields[name], name)
    raise UnusableError(f"the fields are {shown(sorted(fields))}, expected the query as {', '.join(QUERIES[:5])} …")


def samples(fields: Mapping[str, Any]) -> dict[str, str]:
    """The responses among the fields of a form, by name: `sample0`, `answer1`, `response-a`, … or a list with ids."""
    for name, value in fields.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) and "id" in item for item in value):
            bodies = {str(item["id"]): next((item[key] for key in BODIES if key in item), None) for item in value}
            if len(bodies) < len(value):
                raise UnusableError(f"{name} has the same id twice, expected different ones")
            return {key: text(body, f"the body of {key} in {name}") for key, body in bodies.items()}
    ends = {name: match[1] for name in fields if (match := SAMPLES.fullmatch(name))}
    if len(ends) < 2:
        raise UnusableError(f"the fields are {shown(sorted(fields))}, expected responses as answer1, answer2 …")
    order = sorted(ends, key=lambda name: (len(ends[name]), ends[name].lower(), name))
    return {name: text(fields[name], name) for name in order}


def choice(answer: object, names: Sequence[str]) -> int | None:
    """Which of the responses an answer means: its name, the end of its name, left or right; None for a tie."""
    if answer in names:
        return names.index(str(answer))
    word = _letters(answer) if isinstance(answer, str) else ""
    ends = [match[1].lower() if (match := SAMPLES.fullmatch(name)) else name for name in names]
    for spellings in (list(map(_letters, names)), ends, ["left", "right"] if len(names) == 2 else []):
        if spellings.count(word) == 1:
            return spellings.index(word)
    if word in TIES:
        return None
    raise UnusableError(f"the answer is {shown(answer)}, expected one of {', '.join(names)}, or tie")


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())
