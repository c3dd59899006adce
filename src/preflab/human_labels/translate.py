"""Rows as texts and as token ids of one tokenizer: GPT-2's ids are decoded, and tokenised again for another model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from preflab.downloads.wheels import digest
from preflab.errors import PreflabError
from preflab.human_labels import gpt2
from preflab.human_labels.readers import LabelRow
from preflab.models.encoding import continuing

if TYPE_CHECKING:
    from tokenizers import Tokenizer

GPT2 = "gpt2"
BROKEN = "\ufffd"  # stands in a text for half a character, where a response was cut inside of one


@dataclass(frozen=True, slots=True)
class TokenisedLabel:
    """The query first, then the samples: as texts, and as ids without pads (None where only the texts are known)."""

    texts: list[str]
    ids: list[list[int]] | None


class Translator:
    """To the tokens of the model in `folder`; without one, texts have no ids and GPT-2's ids stay what they are.

    `rows`: how many rows of GPT-2's ids were read; `broken`: how many of their texts end inside a character; `keeps`:
    the ids need no change.  Raises PreflabError if the folder has no tokenizer.json that can be read.
    """

    def __init__(self, folder: Path | None, gpt2_folder: Path | None) -> None:
        self.folder, self.gpt2_folder = folder, gpt2_folder
        self.target = _load(folder) if folder else None
        self.gpt2: Tokenizer | None = None  # fetched for the first row that needs it
        self.keeps = self.target is None
        self.rows = self.broken = 0

    @property
    def vocabulary(self) -> str:
        """Whose ids they are: `gpt2`, or the sha256 of a tokenizer.json; empty where there are none."""
        if self.folder and not self.keeps:
            return digest(self.folder / "tokenizer.json")
        return GPT2 if self.rows else ""

    def translate(self, rows: Sequence[LabelRow]) -> list[TokenisedLabel]:
        """A batch of rows, which are all of texts or all of GPT-2's ids."""
        gpt2_ids = None if isinstance(rows[0].query, str) else [real(row) for row in rows]
        if gpt2_ids is None:
            texts = [[str(text) for text in (row.query, *row.samples)] for row in rows]
        else:
            texts = self._decode(gpt2_ids)
            self.rows += len(rows)
            self.broken += sum(BROKEN in text for group in texts for text in group)
            if self.keeps:
                return [TokenisedLabel(*pair) for pair in zip(texts, gpt2_ids, strict=True)]
        if self.target is None:
            return [TokenisedLabel(group, None) for group in texts]
        queries = self.target.encode_batch_fast([group[0] for group in texts], add_special_tokens=False)
        after = continuing(self.target)  # a sample continues its query
        samples = after.encode_batch_fast([text for group in texts for text in group[1:]], add_special_tokens=False)
        ids = iter([encoding.ids for encoding in samples])
        return [
            TokenisedLabel(group, [query.ids, *(next(ids) for _ in group[1:])])
            for group, query in zip(texts, queries, strict=True)
        ]

    def _decode(self, rows: list[list[list[int]]]) -> list[list[str]]:
        if self.gpt2 is None:
            self.gpt2 = gpt2.load(self.gpt2_folder)
            self.keeps = self.target is None or self.target.get_vocab() == self.gpt2.get_vocab()
        texts = iter(self.gpt2.decode_batch([ids for row in rows for ids in row], skip_special_tokens=False))
        return [[next(texts) for _ in row] for row in rows]


def real(row: LabelRow) -> list[list[int]]:
    """GPT-2's ids of the query and the samples, without the pads at their ends."""
    texts: list[list[int]] = [row.query, *row.samples]  # type: ignore[list-item]
    return [ids[: ids.index(gpt2.PAD)] if gpt2.PAD in ids else ids for ids in texts]


def _load(folder: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    if not file.is_file():
        raise PreflabError(f"{file}: not found; --tokenizer names the folder of a base model (tokenizer.json in it)")
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises nothing narrower
        raise PreflabError(f"{file}: cannot be read ({error}); build the base model again") from error
