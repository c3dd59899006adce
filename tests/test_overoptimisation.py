"""Where two scores part: found where it was put, not found where the true score is level, rising or falls with both."""

import numpy as np
import pytest

from preflab.evaluate.overoptimisation import BINS, Run, part

SPREAD = 0.2  # of an update's scores about the curve


def run(seed: int, true, reward_model=np.sqrt, updates: int = 200) -> Run:
    """Updates from KL 0 to 20, both scores a function of KL with noise."""
    rng = np.random.default_rng(seed)
    kl = np.abs(np.linspace(0, 20, updates) + rng.normal(scale=0.5, size=updates))
    noise = rng.normal(scale=SPREAD, size=(2, updates))
    return Run(kl, reward_model(kl) + noise[0], true(kl) + noise[1])


def hump(kl):
    """Highest where 1/√KL = 0.3, at 11.1."""
    return 2 * np.sqrt(kl) - 0.3 * kl


def level(kl):
    return 0 * kl


def test_the_peak_of_the_true_score_is_where_they_part():
    found = part([run(seed, hump) for seed in range(3)])
    assert found.kl == pytest.approx(100 / 9, abs=2.5)  # a bin is 2.5 nats wide
    # from there to the last bin, KL 18.75 on average
    assert found.true_fall.mean == pytest.approx(hump(11.1) - hump(18.75), abs=0.1)
    assert found.reward_model_rise.mean == pytest.approx(np.sqrt(18.75) - np.sqrt(11.1), abs=0.1)
    assert found.true_fall.low > 0
    assert found.reward_model_rise.low > 0
    assert len(found.curve.kl) == BINS
    assert (np.diff(found.curve.kl) > 0).all()


def test_the_curve_is_the_mean_of_the_updates_in_each_bin():
    kl = np.arange(96.0)
    found = part([Run(kl, 2 * kl, -kl)])
    assert found.curve.kl.tolist() == [12 * k + 5.5 for k in range(8)]
    assert found.curve.reward_model.tolist() == [24 * k + 11 for k in range(8)]
    assert found.curve.true.tolist() == [-12 * k - 5.5 for k in range(8)]
    assert found.kl == 5.5  # the true score falls from the first bin on


def test_they_do_not_part_where_the_true_score_rises_to_the_end():
    assert part([run(0, np.sqrt)]).kl is None
    kl = np.arange(96.0)
    assert part([Run(kl, kl, kl)])[:3] == (None, (0, 0, 0), (0, 0, 0))


def test_they_do_not_part_where_both_fall():
    found = part([run(seed, hump, reward_model=hump) for seed in range(3)])
    assert found.kl is None
    assert found.true_fall.low > 0
    assert found.reward_model_rise.high < 0


@pytest.mark.parametrize(("runs", "most"), [(1, 0.1), (3, 0.03)])
def test_noise_about_a_level_true_score_seldom_passes_for_a_fall(runs, most):
    trials = 200
    alarms = sum(
        part([run(1000 * trial + k, level) for k in range(runs)], resamples=200).kl is not None
        for trial in range(trials)
    )
    assert alarms / trials <= most


def test_a_clear_hump_is_mostly_found_in_one_short_run():
    found = [part([run(seed, hump, updates=50)], resamples=200).kl for seed in range(100)]
    assert sum(kl is not None for kl in found) >= 50


def test_bins_that_equal_kls_leave_empty_are_no_peak():
    kl = np.repeat([1.0, 2.0, 3.0], 32)  # the third part of the updates fills no bin of eight on its own
    found = part([Run(kl, kl, -kl)])
    assert found.kl == 1.0
    assert np.isnan(found.curve.true).any()
    assert part([Run(np.ones(96), np.ones(96), -np.ones(96))]).kl is None


def test_it_gives_the_same_answer_twice():
    runs = [run(seed, hump) for seed in range(2)]
    assert part(runs)[:3] == part(runs)[:3]


def test_runs_that_are_too_short_are_refused():
    with pytest.raises(ValueError, match="run 1: 40 updates, 8 bins need 48; take fewer bins"):
        part([run(0, hump), run(1, hump, updates=40)])
    with pytest.raises(ValueError, match="run 0: not all"):
        part([Run(np.full(96, np.nan), np.ones(96), np.ones(96))])
    early, late = run(0, hump), run(1, hump)
    with pytest.raises(ValueError, match="no run has updates both"):
        part([early, late._replace(kl=late.kl + 100, true=late.true - 9)])
