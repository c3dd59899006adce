"""Numbers of one policy, and a whole evaluation of the reference and of a policy on a tiny model."""

import math

import numpy as np
import pytest

from preflab.evaluate import metrics


def test_mean_and_standard_error():
    got = metrics.mean_and_se("kl", np.array([1.0, 2.0, 3.0, 6.0]))
    assert got == {"kl": 3.0, "kl_se": pytest.approx(math.sqrt(14 / 3) / 2)}


def test_distinct_by_hand():
    texts = ["a film a film", "A plot"]  # unigrams a film a film a plot; bigrams a-film film-a a-film a-plot
    assert metrics.distinct(texts, 1) == pytest.approx(3 / 6)
    assert metrics.distinct(texts, 2) == pytest.approx(3 / 4)
    assert metrics.distinct(["one"], 2) == 0


def test_what_is_asked_of_summaries():
    source = "The cat sat on the mat. Then it ran to the red door."
    got = metrics.of_summaries(["The cat sat on the mat. A dog ran.", ""], [source] * 2, ["the cat ran"] * 2)
    # 3 of the 3 words in common, of 9; of two sentences one is the source's and the other says what it does not
    assert got["rouge1"].tolist() == pytest.approx([2 * (3 / 9) * 1 / (3 / 9 + 1), 0])
    assert got["copied_sentences"][0] == 0.5
    assert got["supported"].tolist() == [0, 0]
    assert np.isnan(got["copied_sentences"][1])  # who says nothing copies nothing
    assert got["copies_start"].tolist() == [1, 0]


def test_vader_knows_good_from_bad():
    good, bad = metrics.vader(["A wonderful, lovely film.", "A horrible, awful film."])
    assert good > 0.5
    assert bad < -0.5
