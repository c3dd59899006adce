"""TRL's preference sets: `chosen` and `rejected`, with or without `prompt`; texts, or lists of chat messages.

Chat messages become the text of hh-rlhf, so that both forms of a set give the same rows.  Without a prompt the query is
what both share: up to the last turn of the assistant in messages, up to the last blank in texts.
"""

from collections.abc import Iterator
from typing import Any

from preflab.human_labels import fields as take
from preflab.human_labels.readers import LabelRow, hh_rlhf


def sniff(fields: dict[str, Any]) -> bool:
    """Chosen and rejected, and not hh-rlhf."""
    return "chosen" in fields and "rejected" in fields and not hh_rlhf.sniff(fields)


def rows(fields: dict[str, Any], _folder: str) -> Iterator[LabelRow]:
    """One row; the chosen sample is the first."""
    prompt = fields.get("prompt")
    if isinstance(fields.get("chosen"), list):
        chosen, rejected = (take.conversation(fields.get(name), name) for name in ("chosen", "rejected"))
        start = take.conversation(prompt, "prompt") if isinstance(prompt, list) else []
        if isinstance(prompt, str) and ("Human", prompt) not in chosen:  # some sets repeat it in both
            start = [("Human", prompt)]
        query, samples = hh_rlhf.split(take.transcript([*start, *chosen]), take.transcript([*start, *rejected]))
    else:
        samples = [take.text(fields.get(name), name) for name in ("chosen", "rejected")]
        if prompt is None:
            same = take.common_start(*samples)
            query = same[: max(same.rfind(" "), same.rfind("\n"), 0)]
            samples = [sample[len(query) :] for sample in samples]
        else:
            query = take.text(prompt, "prompt")
    yield LabelRow(query, samples, best=0)
