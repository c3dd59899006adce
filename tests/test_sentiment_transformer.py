"""The transformer classifier at toy size: it learns, it repeats itself bit for bit, it comes back from its files."""

import random

import numpy as np
import pytest
import torch

from preflab import labellers
from preflab.errors import PreflabError
from preflab.labellers.classifiers import transformer
from preflab.labellers.classifiers.transformer import PAD, SentimentTransformer, Shape

TOY = Shape(layers=2, heads=2, width=16, vocabulary=300, length=24)
GOOD, BAD, NEUTRAL = (
    ["good", "fine", "warm"],
    ["bad", "dull", "cold"],
    ["film", "plot", "we", "saw", "it", "the", "scene"],
)


def reviews(count: int, seed: int) -> tuple[list[str], list[int]]:
    """Ten words, one of them with a sentiment, behind `not` in half of the reviews, which turns it round."""
    rng = random.Random(seed)
    texts, labels = [], []
    for i in range(count):
        positive, turned = i % 2, i // 2 % 2
        word = rng.choice(GOOD if positive != turned else BAD)
        before, after = rng.choices(NEUTRAL, k=4), rng.choices(NEUTRAL, k=5)
        texts.append(" ".join([*before, *(["not"] if turned else []), word, *after]) + ".")
        labels.append(positive)
    return texts, labels


def trained(seed: int = 1, epochs: int = 1, count: int = 64) -> SentimentTransformer:
    return transformer.train(*reviews(count, 0), TOY, epochs, 16, 3e-3, 1, seed)


@pytest.fixture(scope="module")
def learned() -> SentimentTransformer:
    return trained(epochs=20, count=512)


def test_it_learns_what_a_count_of_words_cannot(learned):
    assert learned.accuracy(*reviews(200, 9)) > 0.95
    assert learned.score(["we saw the good film."])[0] > 0 > learned.score(["we saw the not good film."])[0]


def test_scores_are_log_odds_that_do_not_depend_on_the_batch(learned):
    texts, labels = reviews(30, 5)
    scores = learned.score(texts)
    assert (scores.shape, scores.dtype) == ((30,), np.float64)
    alone = np.concatenate([learned.score([text]) for text in texts])
    assert alone == pytest.approx(scores, abs=1e-4)
    loss = np.log1p(np.exp(np.where(labels, -scores, scores))).mean()
    assert loss < 0.3  # sure where it is right: they are log-odds, not ranks
    assert learned.score([]).shape == (0,)
    assert np.isfinite(learned.score(["", "☃", "word " * 500])).all()
    assert learned.score(["a b c"]) == learned.score(["A B c"])  # case says nothing


def test_only_the_first_tokens_are_read(learned):
    short = "film " * 40
    assert learned.score([short]) == learned.score([short + "bad bad bad"])


def test_training_is_repeatable_bit_for_bit():
    first, again, other = (trained(seed).score(reviews(8, 3)[0]) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()


def test_saved_and_loaded_it_is_the_same_labeller(learned, tmp_path):
    texts = reviews(8, 3)[0]
    learned.save(tmp_path / "classifiers", "transformer")
    assert labellers.load("transformer", tmp_path).score(texts[::-1], texts).tolist() == learned.score(texts).tolist()
    written = (tmp_path / "classifiers" / "transformer.json").read_bytes()
    learned.save(tmp_path / "classifiers", "transformer")
    assert (tmp_path / "classifiers" / "transformer.json").read_bytes() == written
    with pytest.raises(PreflabError, match=r"transformer\.json: not found; the stage prepare trains it"):
        labellers.load("transformer", tmp_path / "elsewhere")


def test_the_papers_size():
    network = transformer._network(Shape())
    weights = {name: p.numel() for name, p in network.named_parameters()}
    layers = sum(count for name, count in weights.items() if name.startswith("encoder.layers"))
    # a layer: 4 d² + 4 d of attention, 8 d² + 5 d of its feed-forward part, 4 d of two norms
    assert layers == 6 * (12 * 512**2 + 13 * 512)
    assert weights["tokens.weight"] == 8192 * 512


def test_pads_do_not_count_and_order_does():
    torch.manual_seed(0)
    network = transformer._network(TOY).eval()
    with torch.no_grad():
        alone = network(torch.tensor([[5, 6, 7]]))
        padded = network(torch.tensor([[5, 6, 7, PAD, PAD], [8, 9, 10, 11, 12]]))[:1]
        turned = network(torch.tensor([[7, 6, 5]]))
    assert padded == pytest.approx(alone, abs=1e-6)
    assert turned != pytest.approx(alone, abs=1e-4)


def test_one_label_is_an_error():
    with pytest.raises(PreflabError, match=r"corpus: 2 labelled texts, all of one label"):
        transformer.train(["a", "b"], [1, 1], TOY, 1, 2, 1e-3, 1, 1)
