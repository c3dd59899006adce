"""The optimal frontier against normal scores, whose frontier is known, and best-of-n against all choices."""

from itertools import combinations
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflab.evaluate.frontier import ENOUGH, best_of_n, best_of_n_kl, optimal


def normal(contexts: int, samples: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(contexts, samples))


def test_two_samples_by_hand():
    found = optimal([[0.0, 1.0]], [1.0])
    p = exp(1) / (1 + exp(1))  # weight of the second
    assert found.reward[0].mean == pytest.approx(p)
    assert found.kl[0].mean == pytest.approx(p * log(2 * p) + (1 - p) * log(2 * (1 - p)))
    assert found.effective[0] == pytest.approx(1 / (p**2 + (1 - p) ** 2))


@pytest.mark.parametrize("kl", [0.1, 0.5, 1.0, 2.0])
def test_normal_scores_have_reward_one_over_beta_and_half_its_square_as_kl(kl):
    beta = 1 / np.sqrt(2 * kl)
    found = optimal(normal(100, 10_000), [beta])
    assert found.feasible[0]
    assert found.reward[0].mean == pytest.approx(1 / beta, rel=0.01)
    assert found.kl[0].mean == pytest.approx(kl, rel=0.02)
    assert found.reward[0].low < np.sqrt(2 * found.kl[0].mean) < found.reward[0].high * 1.01


def test_contexts_with_other_means_shift_the_reward_and_keep_the_kl():
    scores = normal(50, 1000)
    plain, shifted = (optimal(s, [1.0]) for s in (scores, scores + np.arange(50)[:, None]))
    assert shifted.kl[0].mean == pytest.approx(plain.kl[0].mean)
    assert shifted.reward[0].mean == pytest.approx(plain.reward[0].mean + 24.5)


def test_few_effective_samples_end_the_frontier():
    betas = 1 / np.sqrt(2 * np.arange(0.5, 8.5, 0.5))
    found = optimal(normal(40, 10_000), betas)
    assert found.feasible.tolist() == (found.effective >= ENOUGH).tolist()
    assert 2 < found.limit < 4.5  # 10,000 e^{−2 KL} is 30 at KL 2.9
    assert found.reward_at(6.0) is None
    assert max(point.mean for point in found.kl) < log(10_000)
    # where it is feasible the points lie on the true frontier
    for kl, reward, ok in zip(found.kl, found.reward, found.feasible, strict=True):
        if ok:
            assert reward.mean == pytest.approx(np.sqrt(2 * kl.mean), rel=0.01)
    assert optimal(normal(5, 10), [0.01]).limit is None


def test_reward_at_a_kl_lies_on_the_line_between_two_points():
    found = optimal(normal(40, 10_000), [2.0, 1.0])
    middle = (found.kl[0].mean + found.kl[1].mean) / 2
    assert found.reward_at(middle) == pytest.approx(tuple((a + b) / 2 for a, b in zip(*found.reward, strict=True)))
    assert found.reward_at(0.01) is None


def test_scores_that_are_not_finite_and_betas_that_are_not_positive_are_refused():
    for scores, betas in (([[0.0, np.nan]], [1.0]), ([[0.0, 1.0]], [0.0])):
        with pytest.raises(ValueError, match="finite"):
            optimal(scores, betas)


@given(
    st.lists(st.floats(-5, 5), min_size=2, max_size=30),
    st.lists(st.floats(0.05, 20), min_size=2, max_size=5, unique=True).map(sorted),
)
def test_a_smaller_beta_buys_more_reward_for_more_kl(scores, betas):
    found = optimal([scores], betas)
    assert (np.diff([point.mean for point in found.reward]) <= 1e-9).all()
    assert (np.diff([point.mean for point in found.kl]) <= 1e-9).all()
    assert all(-1e-9 <= point.mean <= log(len(scores)) + 1e-9 for point in found.kl)


def test_kl_of_best_of_n():
    assert best_of_n_kl(1) == 0
    assert best_of_n_kl(4) == pytest.approx(log(4) - 3 / 4)


@given(st.data(), st.integers(1, 6))
def test_best_of_n_is_the_mean_over_all_choices(data, n):
    ranks = data.draw(st.lists(st.floats(-9, 9), min_size=6, max_size=6, unique=True))
    values = data.draw(st.lists(st.floats(-9, 9), min_size=6, max_size=6))
    picked = [values[max(choice, key=ranks.__getitem__)] for choice in combinations(range(6), n)]
    assert best_of_n([ranks], n, [values]) == pytest.approx([np.mean(picked)])
    assert best_of_n([ranks], 1) == pytest.approx([np.mean(ranks)])
    assert best_of_n([ranks], 6) == pytest.approx([max(ranks)])


def test_best_of_n_of_uniform_scores_is_n_of_n_plus_one():
    scores = np.random.default_rng(1).random((50, 2000))
    for n in (2, 4, 16):
        assert best_of_n(scores, n).mean() == pytest.approx(n / (n + 1), abs=0.003)


def test_best_of_n_lies_below_the_frontier_at_its_kl():
    scores = normal(100, 10_000)
    frontier = optimal(scores, np.geomspace(10, 0.4, 40))
    for n in (2, 4, 8):
        reward = frontier.reward_at(best_of_n_kl(n))
        assert reward is not None
        assert best_of_n(scores, n).mean() < reward.mean


def test_more_than_there_are_cannot_be_chosen_from():
    with pytest.raises(ValueError, match="best of 3 among 2 samples"):
        best_of_n([[1.0, 2.0]], 3)
