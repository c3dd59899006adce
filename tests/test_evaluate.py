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


def test_rouge_only_where_there_is_a_reference():
    assert metrics.rouge(["a b"], [None]) == {}
    got = metrics.rouge(["the cat sat", "x"], ["the cat ran", None])
    # ROUGE-1: 2 of 3 both ways; ROUGE-2: 1 of 2; ROUGE-L: 2 of 3
    assert got == pytest.approx({"rouge1": 2 / 3, "rouge2": 1 / 2, "rougeL": 2 / 3})


def test_vader_knows_good_from_bad():
    good, bad = metrics.vader(["A wonderful, lovely film.", "A horrible, awful film."])
    assert good > 0.5
    assert bad < -0.5
