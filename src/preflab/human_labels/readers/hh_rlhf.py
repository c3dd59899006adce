r"""Anthropic's hh-rlhf: `chosen` and `rejected`, two conversations that begin alike.

`\n\nHuman: …\n\nAssistant: …`: the query ends with the last `\n\nAssistant:` that both share, the samples are the rest.
"""

from collections.abc import Iterator
from typing import Any

from preflab.human_labels import fields as take
from preflab.human_labels.fields import UnusableError
from preflab.human_labels.readers import LabelRow

TURN = "\n\nAssistant:"
TASKS = ("helpful-base", "helpful-online", "helpful-rejection-sampled", "harmless-base")  # the folders of the release


def sniff(fields: dict[str, Any]) -> bool:
    """Two conversations without a prompt."""
    both = (fields.get("chosen"), fields.get("rejected"))
    return "prompt" not in fields and all(isinstance(one, str) and TURN in one for one in both)


def rows(fields: dict[str, Any], folder: str) -> Iterator[LabelRow]:
    """One row; the chosen sample is the first."""
    query, samples = split(take.text(fields.get("chosen"), "chosen"), take.text(fields.get("rejected"), "rejected"))
    yield LabelRow(query, samples, best=0, task=folder if folder in TASKS else "")


def split(chosen: str, rejected: str) -> tuple[str, list[str]]:
    """The query that two conversations share, and how each continues."""
    same = take.common_start(chosen, rejected)
    if TURN not in same:
        raise UnusableError(f"chosen and rejected share {take.shown(same)}, expected a start that ends with {TURN!r}")
    cut = same.rindex(TURN) + len(TURN)
    return chosen[:cut], [chosen[cut:], rejected[cut:]]
