"""Tokens of a task's texts, for tokenizers that put a mark before every text and for those that lack a token."""

from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from helpers.tiny_model import PROMPT, task
from preflab.errors import PreflabError
from preflab.evaluate import baselines, responses
from preflab.human_labels.readers import LabelRow
from preflab.human_labels.translate import Translator
from preflab.models import causal_lm, sources
from preflab.models.encoding import continuing, token_id
from preflab.sampling.prompt import prompt_of
from preflab.sampling.reference import Reference

WORDS = {"<unk>": 0, "<0x0A>": 1, "▁": 2, ".": 3, "▁.": 4, "▁so": 5, "so": 6, "TL": 7, "▁TL": 8, "▁end": 9}
MERGES = [("▁", "."), ("s", "o"), ("▁", "so"), ("T", "L"), ("▁", "TL"), ("e", "n"), ("en", "d"), ("▁", "end")]
LETTERS = {letter: 20 + k for k, letter in enumerate("soTLend")} | {"en": 30, "end": 31}


def metaspace(byte_fallback: bool = True) -> Tokenizer:
    """As those of SentencePiece that transformers converts: one mark before every text (Mistral, Gemma 1)."""
    model = models.BPE(WORDS | LETTERS, MERGES, unk_token="<unk>", byte_fallback=byte_fallback)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always")])
    return tokenizer


def prepended() -> Tokenizer:
    """As Llama 2's: the mark is a normalizer."""
    tokenizer = metaspace()
    tokenizer.pre_tokenizer = None  # type: ignore[assignment]
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return tokenizer


@pytest.mark.parametrize("build", [metaspace, prepended])
def test_an_end_token_is_that_inside_a_text(build):
    tokenizer = build()
    assert tokenizer.encode("so.").tokens == ["▁so", "."]
    assert tokenizer.encode(".").ids == [4]  # `▁.`, which no sentence ends with
    assert token_id(tokenizer, ".") == 3
    assert token_id(tokenizer, "\n") == 1


@pytest.mark.parametrize("build", [metaspace, prepended])
def test_a_suffix_follows_the_query_without_a_mark(build):
    tokenizer = build()
    prompt = prompt_of(task(prefix="so", suffix="\nTL", truncate_token="."), tokenizer, 99)
    assert [tokenizer.id_to_token(i) for i in prompt.prefix] == ["▁so"]  # where a text begins, the mark stays
    assert [tokenizer.id_to_token(i) for i in prompt.suffix] == ["<0x0A>", "TL"]
    assert continuing(tokenizer).encode(" end.").tokens == ["▁end", "."]


def test_a_tokenizer_without_marks_stays_as_it_is():
    tiny = causal_lm.load_tokenizer(sources.ASSETS / "tiny")
    assert continuing(tiny) is tiny
    for text in (".", "\n", "<|endoftext|>"):
        assert [token_id(tiny, text)] == tiny.encode(text, add_special_tokens=False).ids


def test_a_space_before_every_text_is_a_mark():
    """GPT-2's tokenizer with add_prefix_space."""
    tokenizer = Tokenizer(models.BPE({"Ġ": 0, ".": 1, "Ġ.": 2, "Ċ": 3}, [("Ġ", ".")]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(add_prefix_space=True)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<end>", special=True)])
    assert tokenizer.encode(".").ids == [2]
    assert token_id(tokenizer, ".") == 1
    assert token_id(tokenizer, "\n") == 3
    assert token_id(tokenizer, "<end>") == 4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\n", r"does not know '\\n' \(it reads '<unk>'\); set task\.truncate_token, .* or to null"),
        ("so.", r"'so\.' is 2 tokens for this model \('so', '\.'\), expected one; set task\.truncate_token"),
    ],
)
def test_a_text_that_is_no_token_is_refused(text, reason):
    with pytest.raises(PreflabError, match=reason):
        token_id(metaspace(byte_fallback=False), text)


def test_a_text_that_is_normalised_away_is_refused():
    tokenizer = metaspace()
    tokenizer.normalizer = normalizers.Strip()
    with pytest.raises(PreflabError, match=r"'\\n' is 0 tokens for this model \(none\)"):
        token_id(tokenizer, "\n")


def test_samples_of_human_labels_follow_their_query_without_a_mark(tmp_path: Path) -> None:
    metaspace().save(str(tmp_path / "tokenizer.json"))
    row = LabelRow("so", [" so.", "."], 0)
    (label,) = Translator(tmp_path, None).translate([row])
    assert label.ids == [[WORDS["▁so"]], [WORDS["▁so"], WORDS["."]], [WORDS["."]]]


def test_texts_of_a_baseline_follow_their_query_without_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "respond", lambda *_: [".", " so."])
    ref = Reference(None, metaspace(), torch.zeros(2, 1, dtype=torch.long), PROMPT)
    written = responses.written("lead_3", ref, [("so", None), ("so", None)], "test.parquet")
    assert written.tokens.tolist() == [[WORDS["."], PROMPT.pad_id], [WORDS["▁so"], WORDS["."]]]
