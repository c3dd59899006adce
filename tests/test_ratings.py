"""Votes of a noisy judge, their agreement, and Bradley–Terry ratings against closed forms and a plain climb."""

from itertools import combinations
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflab.evaluate.ratings import Match, agreement, bradley_terry
from preflab.evaluate.statistics import Votes, cast, majority

MANY = 4_000


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def test_the_votes_are_those_of_the_majority():
    scores = np.random.default_rng(0).normal(size=(2, 500))
    scores[1, :50] = scores[0, :50]
    votes = cast(*scores, tau=0.8, votes=5, seed=3)
    wins = majority(*scores, tau=0.8, votes=5, seed=3)
    assert (wins[:50] == 0.5).all()
    assert votes.same.tolist() == [True] * 50 + [False] * 450
    np.testing.assert_array_equal(wins[50:], votes.for_a[:, 50:].mean(0) > 0.5)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=20), st.integers(0, 99))
def test_swapping_the_two_turns_every_vote(scores, seed):
    a, b = np.array(scores), np.zeros(len(scores))
    votes, swapped = cast(a, b, 1.0, 3, seed), cast(b, a, 1.0, 3, seed)
    assert ((votes.for_a != swapped.for_a) | votes.same).all()


def test_agreement_by_hand():
    for_a = np.array([[1, 1, 0, 1], [1, 0, 0, 0], [1, 1, 0, 0]], bool)  # [votes, contexts]
    # all three pairs agree in contexts 0 and 2, one of three in 1; the texts of context 3 are the same
    votes = Votes(for_a, np.array([False, False, False, True]))
    assert agreement(votes).mean == pytest.approx((1 + 1 / 3 + 1) / 3)
    with pytest.raises(ValueError, match="1 vote"):
        agreement(Votes(for_a[:1], votes.same))


@pytest.mark.parametrize("tau", [1.0, 0.5, 0.0])
def test_agreement_is_that_of_independent_votes(tau):
    """Two votes agree with p² + (1 − p)², p = σ(gap/τ) the chance of a vote for A."""
    gaps = np.random.default_rng(2).normal(size=MANY)
    p = np.array([sigmoid(gap / tau) if tau else float(gap > 0) for gap in gaps])
    observed = agreement(cast(gaps, np.zeros(MANY), tau, 3, seed=5)).mean
    assert observed == pytest.approx((p**2 + (1 - p) ** 2).mean(), abs=0.025)


def test_two_policies_lie_the_log_odds_apart():
    wins = [1.0] * 700 + [0.0] * 300
    found = bradley_terry([Match("a", "b", wins)])
    assert found["a"].mean == pytest.approx(log(700.5 / 300.5) / 2)
    assert found["b"].mean == pytest.approx(-found["a"].mean)
    assert found["a"].low < log(0.7 / 0.3) / 2 < found["a"].high
    # delta method: the log-odds have variance 1/(n p (1 − p)), each rating is half of them
    assert found["a"].high - found["a"].low == pytest.approx(1.96 / np.sqrt(1000 * 0.7 * 0.3), rel=0.1)


def test_ties_are_half_wins():
    assert bradley_terry([Match("a", "b", [0.5] * 9)])["a"].mean == 0.0
    halves, whole = [0.5] * 400 + [1.0] * 600, [1.0] * 800 + [0.0] * 200
    means = [bradley_terry([Match("a", "b", wins)])["a"].mean for wins in (halves, whole)]
    assert means[0] == pytest.approx(means[1])


def test_a_policy_that_never_loses_has_a_finite_rating():
    found = bradley_terry([Match("a", "b", np.ones(10))])
    assert found["a"].mean == pytest.approx(log(10.5 / 0.5) / 2)


def test_ratings_bring_back_the_odds_that_made_the_wins():
    truth = {"a": 1.5, "b": 0.3, "c": -0.4, "d": -1.4}
    contexts = 2_000
    matches = []
    for one, other in combinations(truth, 2):
        won = contexts * sigmoid(truth[one] - truth[other])
        # the half wins of the prior taken off beforehand: the likelihood then peaks at the truth
        share = (won * (contexts + 1) / contexts - 0.5) / contexts
        matches.append(Match(one, other, np.full(contexts, share)))
    found = bradley_terry(matches)
    assert {name: rating.mean for name, rating in found.items()} == pytest.approx(truth, abs=1e-6)


def climb(wins: np.ndarray) -> np.ndarray:
    """Ratings by small steps up the likelihood of `wins` [winner, loser]."""
    ratings = np.zeros(len(wins))
    for _ in range(20_000):
        chance = 1 / (1 + np.exp(ratings[None, :] - ratings[:, None]))
        ratings += (wins - (wins + wins.T) * chance).sum(1) / wins.sum()
    return ratings - ratings.mean()


def test_ratings_of_an_incomplete_round_have_the_highest_likelihood():
    rng = np.random.default_rng(7)
    matches = [Match(a, b, (rng.random((3, 30)) < p).astype(float)) for a, b, p in [("a", "b", 0.9), ("b", "c", 0.2)]]
    matches.append(Match("a", "c", rng.integers(0, 3, size=(3, 30)) / 2))
    wins = np.zeros((3, 3))
    for match, (i, j) in zip(matches, [(0, 1), (1, 2), (0, 2)], strict=True):
        wins[i, j] = match.wins.sum() / 3 + 0.5
        wins[j, i] = 31 - wins[i, j]
    found = bradley_terry(matches)
    assert [found[name].mean for name in "abc"] == pytest.approx(climb(wins), abs=1e-6)
    chain = bradley_terry(matches[:2])  # a and c never met: their ratings are the two matches' log-odds
    assert chain["a"].mean - chain["b"].mean == pytest.approx(log(wins[0, 1] / wins[1, 0]))
    assert chain["c"].mean - chain["b"].mean == pytest.approx(log(wins[2, 1] / wins[1, 2]))


def test_seeds_are_resampled_and_one_seed_stands_for_all():
    rng = np.random.default_rng(3)
    apart = np.stack([rng.random(300) < p for p in (0.5, 0.9)]).astype(float)
    wide, narrow = (bradley_terry([Match("a", "b", wins)])["a"] for wins in (apart, apart.mean(0)))
    assert wide.mean == pytest.approx(narrow.mean)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    one = rng.integers(0, 2, 300).astype(float)
    mixed = bradley_terry([Match("a", "b", apart), Match("b", "c", one)])
    tiled = bradley_terry([Match("a", "b", apart), Match("b", "c", np.tile(one, (2, 1)))])
    assert mixed == tiled


def test_what_cannot_be_rated_is_refused():
    with pytest.raises(ValueError, match="no chain of matches joins a and c, d"):
        bradley_terry([Match("a", "b", [1.0]), Match("c", "d", [1.0])])
    with pytest.raises(ValueError, match=r"b against c: wins are \[1, 3\], expected \[1 or 1 seeds, 2 contexts\]"):
        bradley_terry([Match("a", "b", [1.0, 0.0]), Match("b", "c", [1.0, 0.0, 1.0])])
