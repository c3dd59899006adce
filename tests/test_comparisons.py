"""The Comparison schema, the synthetic labeller and its calibration, responses that pass the end-token rule."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.tiny_model import END, PAD, PROMPT, gpt2, task
from helpers.tiny_training import random_comparisons
from preflab import comparisons
from preflab.comparisons import synthetic
from preflab.errors import PreflabError
from preflab.models import causal_lm
from preflab.sampling import passing


def test_parquet_round_trip_and_checks(tmp_path):
    rows = random_comparisons(5)
    comparisons.write(rows, tmp_path / "a.parquet")
    assert comparisons.read(tmp_path / "a.parquet") == rows
    rows[3].best = 4
    comparisons.write(rows, tmp_path / "b.parquet")
    with pytest.raises(PreflabError, match=r"b\.parquet: row 3: best is 4, expected 0 to 3"):
        comparisons.read(tmp_path / "b.parquet")
    rows[3].best = 0
    rows[2].samples[1] = rows[2].samples[1][:-1]
    comparisons.write(rows, tmp_path / "c.parquet")
    with pytest.raises(PreflabError, match="row 2"):
        comparisons.read(tmp_path / "c.parquet")


def test_choice_probabilities_by_hand():
    scores = np.array([[0.0, np.log(2.0), np.log(3.0), np.log(4.0)]])
    assert synthetic.probabilities(scores, 1.0)[0] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert synthetic.probabilities(scores, 0.0)[0].tolist() == [0, 0, 0, 1]
    assert synthetic.agreement(scores, 1.0) == pytest.approx(0.01 + 0.04 + 0.09 + 0.16)


def test_calibrated_labellers_agree_as_often_as_asked():
    scores = np.random.default_rng(0).normal(size=(20_000, 4))
    tau = synthetic.calibrate(scores, 0.42)
    first, second = (np.array(synthetic.choose(scores, tau, seed)) for seed in (1, 2))
    assert (first == second).mean() == pytest.approx(0.42, abs=4 * (0.42 * 0.58 / 20_000) ** 0.5)
    assert synthetic.calibrate(scores, None) == 0
    assert synthetic.choose(scores, 0.0, 1) == scores.argmax(1).tolist()
    with pytest.raises(PreflabError, match=r"labeller\.agreement=0\.42: out of reach"):
        synthetic.calibrate(np.zeros((10, 4)), 0.42)


def test_calibration_does_not_depend_on_the_unit_of_the_scores():
    scores = np.random.default_rng(0).normal(size=(100, 4))
    tau = synthetic.calibrate(scores, 0.42)
    for unit in (1e-9, 1e9):
        assert synthetic.calibrate(unit * scores, 0.42) == pytest.approx(unit * tau)


def test_tied_scores_share_the_choice():
    scores = np.array([[1.0, 1.0, 0.0, 0.0], [2.0, 2.0, 2.0, 2.0], [0.0, 0.0, 0.0, 3.0]])
    assert synthetic.probabilities(scores, 0.0).tolist() == [[0.5, 0.5, 0, 0], [0.25] * 4, [0, 0, 0, 1]]
    assert synthetic.agreement(scores, 0.0) == pytest.approx((1 / 2 + 1 / 4 + 1) / 3)  # 0.583 even without noise
    tau = synthetic.calibrate(scores, 0.5)
    assert synthetic.agreement(scores, tau) == pytest.approx(0.5)
    with pytest.raises(PreflabError, match=r"agreement=0\.6: out of reach; noise-free labellers agree on 0\.583"):
        synthetic.calibrate(scores, 0.6)
    chosen = np.array(synthetic.choose(np.repeat(scores, 10_000, 0), 0.0, 1)).reshape(3, -1)
    assert [np.bincount(row, minlength=4).tolist() for row in chosen[2:]] == [[0, 0, 0, 10_000]]
    assert np.bincount(chosen[0], minlength=4) / 10_000 == pytest.approx([0.5, 0.5, 0, 0], abs=0.02)
    assert np.bincount(chosen[1], minlength=4) / 10_000 == pytest.approx([0.25] * 4, abs=0.02)


@given(st.floats(0.01, 10), st.integers(0, 1000))
def test_choices_are_valid_and_repeatable(tau, seed):
    scores = np.random.default_rng(seed).normal(size=(7, 4))
    got = synthetic.choose(scores, tau, seed)
    assert got == synthetic.choose(scores, tau, seed)
    assert all(0 <= choice < 4 for choice in got)


def test_passing_responses_all_end_and_are_truncated():
    lm = gpt2()
    queries = causal_lm.left_pad(torch.tensor([c.query for c in random_comparisons(6)]), PAD)
    got = passing.passing(lm, queries, 4, task(), PROMPT, 16, 500, ("test",))
    assert got.responses.shape == (6, 4, 8)
    assert 0 < got.share <= 1
    for response in got.responses.flatten(0, 1).tolist():
        real = [t for t in response if t != PAD]
        assert real[-1] == END
        assert len(real) >= 5
        assert END not in real[4:-1]
    again = passing.passing(lm, queries, 4, task(), PROMPT, 16, 500, ("test",))
    assert torch.equal(again.responses, got.responses)


def test_responses_that_never_pass_are_an_error_not_a_hang():
    lm = gpt2()
    queries = causal_lm.left_pad(torch.tensor([c.query for c in random_comparisons(3)]), PAD)
    with pytest.raises(
        PreflabError, match=r"3 of 3 queries have fewer than 4 responses .* raise comparisons.max_rounds"
    ):
        passing.passing(lm, queries, 4, task(), PROMPT._replace(end_id=PAD - 1), 16, 0, ("test",))
