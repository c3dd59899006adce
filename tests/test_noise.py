"""Noise of labels beside the temperature: flips, and a pool of labellers with different tastes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflab.comparisons import synthetic
from preflab.comparisons.synthetic import Calibration, Member
from preflab.errors import PreflabError
from preflab.settings import data

LOGS = np.array([[0.0, np.log(2.0), np.log(3.0), np.log(4.0)]])  # chosen with probabilities 0.1, 0.2, 0.3, 0.4


def normal(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 4))


def calibration(**changes: object) -> Calibration:
    base = {"name": "test", "tau": 1.0, "agreement": 0.4, "judge_tau": 1.0, "judge_agreement": 0.4, "mean": 0.0}
    return Calibration(**(base | {"std": 1.0, "scorer": "one", "judge": "judge"} | changes))  # type: ignore[arg-type]


def pool(target: float | None = 0.4, flip_rate: float = 0.0) -> data.LabellerSettings:
    tastes = [data.PoolMemberSettings("a", {"one": 1.0}), data.PoolMemberSettings("b", {"one": 1.0, "two": -0.5}, 0.5)]
    return data.LabellerSettings(
        "crowd",
        "one",
        "judge",
        target,
        flip_rate,
        [*tastes, data.PoolMemberSettings("c", {"one": 1.0, "two": 0.5}, 2.0)],
    )


def test_flips_by_hand():
    got = synthetic.probabilities(LOGS, 1.0, 0.3)[0]
    assert got == pytest.approx([0.07 + 0.09, 0.14 + 0.08, 0.21 + 0.07, 0.28 + 0.06])  # 0.7 p + 0.1 (1 − p)
    assert synthetic.probabilities(LOGS, 0.0, 0.3)[0] == pytest.approx([0.1, 0.1, 0.1, 0.7])
    assert synthetic.agreement(LOGS, 0.0, 0.39) == pytest.approx(0.61**2 + 0.39**2 / 3)  # conf/labeller/flip.yaml


@given(st.floats(0, 0.74), st.floats(0.05, 10), st.integers(0, 100))
def test_flips_keep_probabilities_and_their_order(flip_rate, tau, seed):
    scores = normal(5, seed)
    p = synthetic.probabilities(scores, tau, flip_rate)
    assert p.sum(1) == pytest.approx(1)
    assert (p.argmax(1) == scores.argmax(1)).all()
    assert synthetic.agreement(scores, tau, flip_rate) <= synthetic.agreement(scores, tau) + 1e-12


def test_a_flipped_choice_is_any_of_the_others():
    scores = np.tile([3.0, 0.0, 1.0, 2.0], (20_000, 1))
    chosen = synthetic.ask(calibration(tau=0.0, flip_rate=0.3), {"one": scores}, 1).choices
    shares = np.bincount(np.ravel(chosen), minlength=4) / 20_000
    assert shares == pytest.approx([0.7, 0.1, 0.1, 0.1], abs=4 * (0.21 / 20_000) ** 0.5)


def test_agreement_is_reached_with_flips_too():
    scores = normal(500)
    labeller = data.LabellerSettings("x", "one", "judge", 0.42, 0.2)
    found = synthetic.noise(labeller, {"one": scores})
    assert found.agreement == pytest.approx(0.42)
    assert found.pool == []
    assert found.tau < synthetic.calibrate(scores, 0.42)  # the flips make the rest of the noise
    with pytest.raises(PreflabError, match=r"agreement=0\.42: out of reach; noise-free labellers agree on 0\.33"):
        synthetic.noise(data.LabellerSettings("x", "one", "judge", 0.42, 0.5), {"one": scores})  # 0.5² + 0.5²/3


def test_one_labeller_asked_once_chooses_as_ever():
    scores = normal(50)
    asked = synthetic.ask(calibration(tau=0.7), {"one": scores}, "seed", 3)
    assert [choice for (choice,) in asked.choices] == synthetic.choose(scores, 0.7, "seed", 3)
    assert {name for (name,) in asked.names} == {"test"}


def test_a_pool_by_hand():
    scores = {"one": LOGS, "two": LOGS[:, ::-1]}
    members = [Member("a", {"one": 1.0}, 1.0), Member("b", {"one": 1.0, "two": 1.0}, 2.0), Member("c", {"two": 3.0}, 0)]
    p = synthetic.pool_probabilities(members, scores)
    assert p.shape == (3, 1, 4)
    assert p[0, 0] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    root = np.sqrt([4.0, 6.0, 6.0, 4.0])  # exp of half the sum of logarithms
    assert p[1, 0] == pytest.approx(root / root.sum())
    assert p[2, 0].tolist() == [1, 0, 0, 0]
    pairs = [p[0, 0] @ p[1, 0], p[0, 0] @ p[2, 0], p[1, 0] @ p[2, 0]]
    assert synthetic.pool_agreement(p) == pytest.approx(np.mean(pairs))


def test_a_pool_agrees_as_often_as_asked_whatever_the_units():
    scores = {"one": normal(400, 1), "two": normal(400, 2)}
    found = synthetic.noise(pool(), scores)
    assert found.agreement == pytest.approx(0.4)
    assert [m.tau / found.tau for m in found.pool] == pytest.approx([1.0, 0.5, 2.0])
    std = {name: s.std() for name, s in scores.items()}
    assert found.pool[1].weights == pytest.approx({"one": 1 / std["one"], "two": -0.5 / std["two"]})
    other = synthetic.noise(pool(), {"one": scores["one"] * 1000, "two": scores["two"] + 7})
    first, second = (
        synthetic.pool_probabilities(found.pool, scores),
        synthetic.pool_probabilities(other.pool, {"one": scores["one"] * 1000, "two": scores["two"] + 7}),
    )
    assert first == pytest.approx(second)
    assert synthetic.noise(pool(None), scores).tau == 0
    with pytest.raises(PreflabError, match=r"labeller\.scorer=two: all 1600 scores .* are 5"):
        synthetic.noise(pool(), scores | {"two": np.full((400, 4), 5.0)})


def test_members_answer_by_turns_of_chance_and_the_record_names_them():
    scores = {"one": normal(3000, 1), "two": normal(3000, 2)}
    found = synthetic.noise(pool(None), scores)  # noise-free: each choice tells who made it
    asked = synthetic.ask(calibration(name="crowd", pool=found.pool), scores, 5)
    favourite = synthetic.pool_probabilities(found.pool, scores).argmax(-1)
    names = [name for (name,) in asked.names]
    for i, name in enumerate(("crowd/a", "crowd/b", "crowd/c")):
        rows = [row for row, own in enumerate(names) if own == name]
        assert len(rows) == pytest.approx(1000, abs=4 * (3000 * 2 / 9) ** 0.5)
        assert [asked.choices[row][0] for row in rows] == favourite[i][rows].tolist()
    assert asked == synthetic.ask(calibration(name="crowd", pool=found.pool), scores, 5)
    assert asked != synthetic.ask(calibration(name="crowd", pool=found.pool), scores, 6)


def test_several_answers_are_of_different_members_and_agree_as_expected():
    scores = {"one": normal(4000, 1), "two": normal(4000, 2)}
    found = synthetic.noise(pool(), scores)
    by = calibration(name="crowd", pool=found.pool)
    asked = synthetic.ask(by, scores, 7, times=3)
    assert all(len(set(names)) == 3 for names in asked.names)
    alike = [[row[i] == row[j] for i in range(3) for j in range(i)] for row in asked.choices]
    assert np.mean(alike) == pytest.approx(0.4, abs=4 * (0.24 / 4000) ** 0.5)
    with pytest.raises(PreflabError, match=r"labeller\.pool: 3 labellers cannot answer a comparison 5 times"):
        synthetic.ask(by, scores, 7, times=5)
    alone = np.array(synthetic.ask(calibration(tau=found.tau), scores, 7, times=5).choices)  # one: independent draws
    expected = synthetic.agreement(scores["one"], found.tau)
    assert (alone[:, 1:] == alone[:, :-1]).mean() == pytest.approx(expected, abs=0.02)


def test_a_pool_comes_back_from_labeller_json(tmp_path):
    scores = {"one": normal(40, 1), "two": normal(40, 2)}
    saved = calibration(name="crowd", flip_rate=0.1, pool=synthetic.noise(pool(), scores).pool)
    saved.save(tmp_path / "labeller.json")
    again = synthetic.load_calibration(tmp_path)
    assert again == saved
    assert synthetic.scorers(again) == synthetic.scorers(pool()) == ["one", "two"]
    assert synthetic.scorers(calibration()) == ["one"]
    assert synthetic.ask(again, scores, 1) == synthetic.ask(saved, scores, 1)
