"""Majority votes against exact probabilities; bootstrap intervals on data whose answer is known."""

from itertools import product
from math import exp, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflab.evaluate import statistics
from preflab.evaluate.statistics import RESAMPLES, Resamples, bootstrap, bootstrap_ratio, majority, resample


def probability_by_enumeration(p: float, votes: int) -> float:
    """P(A wins) summed over all 2^votes outcomes, none of them counted by a formula."""
    return sum(
        np.prod([p if vote else 1 - p for vote in outcome])
        for outcome in product([0, 1], repeat=votes)
        if sum(outcome) > votes / 2
    )


@pytest.mark.parametrize("p", [0.1, 0.5, 0.7, 0.95])
def test_majority_of_three_is_3p2_minus_2p3(p):
    assert probability_by_enumeration(p, 3) == pytest.approx(3 * p**2 - 2 * p**3)


@pytest.mark.parametrize(("gap", "tau", "votes"), [(1.0, 2.0, 3), (-0.5, 0.5, 3), (0.3, 1.0, 1), (2.0, 4.0, 5)])
def test_majority_has_the_exact_win_probability(gap, tau, votes):
    contexts = 40_000
    wins = majority(np.full(contexts, gap), np.zeros(contexts), tau, votes, seed=3)
    exact = probability_by_enumeration(1 / (1 + exp(-gap / tau)), votes)
    assert set(np.unique(wins)) == {0.0, 1.0}
    assert wins.mean() == pytest.approx(exact, abs=4 * sqrt(exact * (1 - exact) / contexts))


def test_equal_scores_are_split_and_large_gaps_are_certain():
    wins = majority([1.0, 50.0, -50.0], [1.0, 0.0, 0.0], tau=1.0, votes=3, seed=0)
    assert wins.tolist() == [0.5, 1.0, 0.0]


def test_noise_free_judge_always_picks_the_higher_score():
    wins = majority([1e-9, -1e-9, 0.0], [0.0, 0.0, 0.0], tau=0.0, votes=3, seed=0)
    assert wins.tolist() == [1.0, 0.0, 0.5]


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=20), st.integers(0, 99))
def test_swapping_the_two_gives_the_complement(scores, seed):
    a, b = np.array(scores), np.zeros(len(scores))
    np.testing.assert_array_equal(majority(a, b, 1.0, 3, seed) + majority(b, a, 1.0, 3, seed), 1.0)


def test_an_even_number_of_votes_is_refused():
    with pytest.raises(ValueError, match="votes=2"):
        majority([1.0], [0.0], 1.0, 2, 0)


def test_bootstrap_of_a_normal_mean_is_the_textbook_interval():
    values = np.random.default_rng(0).normal(5, 2, size=1000)
    interval = bootstrap(values)
    half = 1.96 * values.std() / sqrt(1000)
    assert interval.mean == values.mean()
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_bootstrap_covers_the_true_mean_95_times_in_100():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        low, high = bootstrap(rng.random(200) < 0.8)[1:]
        covered += low <= 0.8 <= high
    assert 0.92 <= covered / 400 <= 0.975  # 95 % ± 2.3 standard errors of 400 trials


def test_bootstrap_resamples_seeds_too():
    seeds = np.array([[1.0] * 50, [0.0] * 50])  # both resampled seeds are the first in ¼ of draws
    assert bootstrap(seeds) == pytest.approx((0.5, 0.5 - sqrt(2) / 2, 0.5 + sqrt(2) / 2))
    assert bootstrap(seeds, low=0, high=1) == (0.5, 0.0, 1.0)


def test_bootstrap_keeps_a_context_together_over_seeds():
    contexts = np.random.default_rng(2).normal(size=300)
    one, four = bootstrap(contexts), bootstrap(np.tile(contexts, (4, 1)))
    assert four.high - four.low == pytest.approx(one.high - one.low, rel=0.1)  # copies add no information


def test_bootstrap_of_one_value_or_constants_has_no_width():
    assert bootstrap([0.3]) == (0.3, 0.3, 0.3)
    assert bootstrap(np.full((2, 9), 0.25)) == (0.25, 0.25, 0.25)


def test_bootstrap_of_a_ratio_weighs_contexts_by_their_wholes():
    assert bootstrap_ratio([1, 0, 3], [2, 0, 3]).mean == pytest.approx(4 / 5)
    assert bootstrap_ratio([1, 1], [2, 2]) == (0.5, 0.5, 0.5)
    assert bootstrap_ratio([[0, 1]], [[0, 1]]) == (1.0, 1.0, 1.0)  # samples of the first context alone are left out
    with pytest.raises(ValueError, match="whole is 0"):
        bootstrap_ratio([0, 0], [0, 0])


def test_bootstrap_of_a_ratio_with_equal_wholes_is_that_of_the_mean():
    parts = np.random.default_rng(5).integers(0, 5, size=(3, 200))
    assert bootstrap_ratio(parts, np.full((3, 200), 4)) == pytest.approx(bootstrap(parts / 4))


def test_bootstrap_of_a_ratio_covers_the_true_share():
    rng = np.random.default_rng(6)
    covered = 0
    for _ in range(200):
        whole = rng.poisson(2, 200)
        low, high = bootstrap_ratio(rng.binomial(whole, 0.3), whole)[1:]
        covered += low <= 0.3 <= high
    assert 0.9 <= covered / 200 <= 0.99


def test_means_of_wins_are_exact():
    """So that a mean on the border of two roundings is printed alike on every machine."""
    wins = np.random.default_rng(7).integers(0, 3, (1, 1024)) / 2
    draws = resample([wins], lambda mean: mean).draws
    assert ((draws * 2048) % 1 == 0).all()


@given(st.integers(1, 5), st.integers(1, 40), st.integers(0, 99))
def test_the_interval_turns_and_stretches_with_its_values(seeds, contexts, seed):
    values = np.random.default_rng(seed).normal(size=(seeds, contexts))
    mean, low, high = bootstrap(values)
    assert low <= high
    assert bootstrap(-3 * values + 1) == pytest.approx((1 - 3 * mean, 1 - 3 * high, 1 - 3 * low))


def test_seeds_count_as_seeds_with_the_same_mean_do():
    """Their deviations are widened by √(S/(S − 1)): over many tables the variance of the draws is σ²/S."""
    rng, seeds = np.random.default_rng(4), 3
    tables = [np.tile(rng.normal(size=(seeds, 1)), (1, 2)) for _ in range(300)]
    spread = np.mean([resample([table], lambda mean: mean).draws.var() for table in tables])
    assert spread == pytest.approx(1 / seeds, rel=0.15)


def test_what_is_lost_widens_the_interval():
    draws = np.arange(99.0)
    assert Resamples(50, draws).interval(0.1) == (50, 4, 94)  # the 5th and the 5th last of 99
    assert Resamples(50, draws[:97], lost=2).interval(0.1) == (50, 2, 94)
    assert Resamples(50, draws[:9], lost=90).interval(0.1) == (50, 0, 8)


def test_equal_draws_for_equal_sizes():
    assert statistics._counts(5, 0).sum(1).tolist() == [5] * RESAMPLES
    assert (statistics._counts(5, 0) == statistics._counts.__wrapped__(5, 0)).all()


def test_no_values_are_refused():
    with pytest.raises(ValueError, match="no values"):
        bootstrap([])
