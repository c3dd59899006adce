"""Agreement of labellers with each other and with the judge, numbers worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflab.comparisons import agreement, synthetic

ANSWERS = [[0, 0, 0, 0, 0], [0, 0, 0, 1, 1], [0, 1, 2, 3, 3]]
PAIRS = [10 / 10, (3 + 1) / 10, 1 / 10]  # alike, of the ten pairs of five


def test_between_labellers_by_hand():
    got = agreement.between_labellers(ANSWERS)
    mean = 0.5
    variance = ((1.0 - mean) ** 2 + (0.4 - mean) ** 2 + (0.1 - mean) ** 2) / 2  # of the questions
    assert got == pytest.approx((mean, math.sqrt(variance / 3), 3))
    assert [agreement.between_labellers([own]).share for own in ANSWERS] == pytest.approx(PAIRS)


def test_questions_weigh_the_same_and_single_answers_not_at_all():
    got = agreement.between_labellers([[1, 1], [2, 3], [1], [0, 0, 1]])
    assert (got.share, got.questions) == (pytest.approx((1 + 0 + 1 / 3) / 3), 3)
    one = agreement.between_labellers([[1, 1, 0]])
    assert one.share == pytest.approx(1 / 3)
    assert math.isnan(one.error)
    none = agreement.between_labellers([[1]])
    assert math.isnan(none.share)
    assert none.questions == 0


def test_with_the_judge_by_hand():
    got = agreement.with_judge(ANSWERS, [0, 1, 2])
    shares = [1.0, 0.4, 0.2]
    mean = 1.6 / 3
    assert got == pytest.approx((mean, math.sqrt(sum((s - mean) ** 2 for s in shares) / 2 / 3), 3))
    with pytest.raises(ValueError, match="zip"):
        agreement.with_judge(ANSWERS, [0, 1])


def test_a_twentieth_of_the_questions_is_asked_again():
    some = agreement.asked_again(4000, 1, "checked")
    assert len(some) == len(set(some)) == 200
    assert some == sorted(some) == agreement.asked_again(4000, 1, "checked")
    assert 0 <= some[0] < 400
    assert 3600 < some[-1] < 4000
    assert some != agreement.asked_again(4000, 2, "checked")
    assert agreement.asked_again(10, 1) == sorted(set(agreement.asked_again(10, 1)))
    assert len(agreement.asked_again(10, 1)) == 2  # for an error of some kind
    assert agreement.asked_again(1, 1) == [0]


def test_the_estimate_is_that_of_the_calibration_and_its_error_is_honest():
    scores = np.random.default_rng(0).normal(size=(2000, 4))
    tau = synthetic.calibrate(scores, 0.42)
    by = synthetic.Calibration("x", tau, 0.42, tau, 0.42, 0.0, 1.0, "one", "judge")
    estimates = [
        agreement.between_labellers(synthetic.ask(by, {"one": scores}, seed, times=agreement.TIMES).choices)
        for seed in range(30)
    ]
    shares = np.array([e.share for e in estimates])
    error = float(np.mean([e.error for e in estimates]))
    assert shares.mean() == pytest.approx(0.42, abs=4 * error / math.sqrt(30))
    # over draws of labels alone: the error counts the questions' own spread too, so it is the larger of the two
    assert 0.3 * error < shares.std(ddof=1) < 1.2 * error


@given(st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=6), min_size=2, max_size=8), st.randoms())
def test_order_does_not_matter(choices, random):
    before = agreement.between_labellers(choices)
    shuffled = [random.sample(own, len(own)) for own in choices]
    after = agreement.between_labellers(random.sample(shuffled, len(shuffled)))
    assert after.share == pytest.approx(before.share)
    assert after.error == pytest.approx(before.error)
    assert 0 <= before.share <= 1
