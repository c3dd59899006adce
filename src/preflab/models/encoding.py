"""Tokens of the short texts of a task, and of texts that continue others, whatever a tokenizer puts before a text."""

import json
from typing import TYPE_CHECKING, Any

from preflab.errors import PreflabError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def continuing(tokenizer: "Tokenizer") -> "Tokenizer":
    """The tokenizer for a text that continues another: it puts no mark or space before the text.

    Those of SentencePiece (Llama 2, Mistral) put `▁` before every text, so that `.` alone is another token than the `.`
    at the end of a sentence.  A tokenizer without such a mark (GPT-2) is returned as it is.
    """
    from tokenizers import Tokenizer

    settings = json.loads(tokenizer.to_str())
    unmarked = {
        name: _unmarked(part) if name in ("normalizer", "pre_tokenizer") else part for name, part in settings.items()
    }
    return tokenizer if unmarked == settings else Tokenizer.from_str(json.dumps(unmarked))


def _unmarked(part: Any) -> Any:
    """A normalizer or pre-tokenizer of a `tokenizer.json`, or a list of them, that adds nothing before a text."""
    if part is None or part["type"] == "Prepend":
        return None
    for steps in ("normalizers", "pretokenizers"):
        if steps in part:
            rest = [step for step in map(_unmarked, part[steps]) if step is not None]
            return part | {steps: rest}
    if part["type"] == "Metaspace":
        return part | {"prepend_scheme": "never"}
    return part | {"add_prefix_space": False} if part.get("add_prefix_space") else part


def token_id(tokenizer: "Tokenizer", text: str) -> int:
    """The id of a text that is one token after other text (`.` is 13 in GPT-2).

    Raises PreflabError if it is several tokens, none, or one that stands for unknown characters.
    """
    inner = continuing(tokenizer)
    ids = inner.encode(text, add_special_tokens=False).ids
    if len(ids) != 1:
        tokens = ", ".join(repr(inner.id_to_token(i)) for i in ids)
        raise PreflabError(
            f"task: {text!r} is {len(ids)} tokens for this model ({tokens or 'none'}), expected one; set task."
            "truncate_token, task.start_text and task.end_text to texts of one token, or to null"
        )
    if text not in (inner.decode(ids, skip_special_tokens=False), inner.id_to_token(ids[0])):
        raise PreflabError(
            f"task: the tokenizer of this model does not know {text!r} (it reads {inner.id_to_token(ids[0])!r}); set "
            "task.truncate_token, task.start_text and task.end_text to texts of one token, or to null"
        )
    return int(ids[0])
