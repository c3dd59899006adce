"""The paper's claims: the rule on made-up numbers, the selection of cells, the measures, and conf/claims.yaml."""

import json
from math import atan, ceil, pi, sqrt
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflab.errors import PreflabError
from preflab.evaluate.statistics import LEVEL, Interval, Resamples
from preflab.report import page, table
from preflab.report.cells import selection as selection_cells
from preflab.report.cells.results import CellResults, GridResults
from preflab.report.claims import decide, verdicts
from preflab.report.claims import page as page_claims
from preflab.report.claims.evidence import BootstrapEvidence, SpreadRatio, bootstrap, components, needed
from preflab.report.claims.page import as_json, markdown, settle_text
from preflab.report.claims.verdicts import (
    CONTRADICTED,
    INCONCLUSIVE,
    NOT_RUN,
    REPRODUCED,
    Case,
    Finding,
    Region,
    holm,
    most,
)
from preflab.report.tables import style as style_tables

CLAIMS = Path(__file__).parents[1] / "conf/claims.yaml"
ABOVE_70 = Region(above=70)
EXACT = 1e-9  # an error so small that the interval is the value


def finding(value: float, error: float = EXACT, region: Region = ABOVE_70, comparable: bool = True) -> Finding:
    return Finding(Normal(value, error), region, comparable)


class Normal(NamedTuple):
    """The simplest evidence there is: a normal estimate with a standard error over 100 comparisons."""

    value: float
    error: float

    def at_most(self, bound: float) -> float:
        return NormalDist().cdf((bound - self.value) / self.error)

    def at_least(self, bound: float) -> float:
        return NormalDist().cdf((self.value - bound) / self.error)

    def interval(self, alpha: float) -> Interval:
        half = NormalDist().inv_cdf(1 - alpha / 2) * self.error
        return Interval(self.value, self.value - half, self.value + half)

    def needed(self, bound: float, alpha: float) -> dict[str, int | None]:
        _, low, high = self.interval(alpha)
        half = self.value - low if bound < self.value else high - self.value
        return {"comparisons": ceil(100 * (half / (self.value - bound)) ** 2) if self.value != bound else None}


# The rule ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "error", "region", "verdict"),
    [
        (75, 2, ABOVE_70, REPRODUCED),  # 2.5 standard errors
        (72, 2, ABOVE_70, INCONCLUSIVE),
        (68, 2, ABOVE_70, INCONCLUSIVE),
        (65, 2, ABOVE_70, CONTRADICTED),
        (-1, 0.1, Region(below=0), REPRODUCED),
        (1.0, 0.1, Region(0.75, 1.25), REPRODUCED),
        (1.0, 0.2, Region(0.75, 1.25), INCONCLUSIVE),
        (1.3, 0.01, Region(0.75, 1.25), CONTRADICTED),
        (0.5, 0.01, Region(0.75, 1.25), CONTRADICTED),
    ],
)
def test_a_check_follows_from_its_interval(value, error, region, verdict):
    assert finding(value, error, region).verdict(alpha=0.05) == verdict
    _, low, high = Normal(value, error).interval(0.05)
    assert (low, high) == pytest.approx((value - 1.96 * error, value + 1.96 * error), rel=1e-4)
    inside, outside = low > region.above and high < region.below, high < region.above or low > region.below
    assert verdict == (REPRODUCED if inside else CONTRADICTED if outside else INCONCLUSIVE)


@pytest.mark.parametrize(
    ("values", "complete", "verdict"),
    [
        ([80, 90], True, REPRODUCED),
        ([80, 70], True, INCONCLUSIVE),
        ([80, 60], True, CONTRADICTED),
        ([80, 90], False, NOT_RUN),
        ([80, 60], False, CONTRADICTED),
        ([], False, NOT_RUN),
    ],
)
def test_a_claim_needs_all_of_its_checks_and_falls_with_one(values, complete, verdict):
    assert Case(tuple(map(finding, values)), complete).verdict(alpha=0.05) == verdict


def test_one_of_many_checks_contradicts_only_at_its_share_of_alpha():
    weak = finding(66, 2)  # two standard errors below: two-sided p = 0.0455
    assert Case((weak,)).p_contradicted == pytest.approx(0.0455, abs=1e-4)
    assert Case((weak,)).verdict(0.05) == CONTRADICTED
    assert Case((weak, finding(90))).verdict(0.05) == INCONCLUSIVE  # 2 · 0.0455 > 0.05
    assert weak.verdict(0.05, checks=2) == INCONCLUSIVE
    assert weak.settle(0.05) == {}
    assert weak.settle(0.05, checks=2) == {"comparisons": 126}  # 100 · (2.2414 · 2/4)², 2.2414 for 0.05/2


def test_policies_at_unequal_kl_decide_nothing():
    assert finding(90, comparable=False).verdict(0.05) == INCONCLUSIVE
    assert finding(10, comparable=False).verdict(0.05) == INCONCLUSIVE
    assert finding(70, comparable=False).settle(0.05) == {}


def with_p(p: float) -> Case:
    """A claim whose interval touches the bound exactly at α = p."""
    z = -Normal(0, 1).interval(p).low
    return Case((finding(70 + z, 1),))


def test_holm_by_hand():
    cases = [with_p(p) for p in (0.03, 0.001, 0.2, 0.012)] + [Case(())]  # the last was not run
    assert holm(cases)[:4] == pytest.approx([0.05 / 2, 0.05 / 4, 0.05 / 2, 0.05 / 3])
    found = [case.verdict(alpha) for case, alpha in zip(cases, holm(cases), strict=True)]
    assert found == [INCONCLUSIVE, REPRODUCED, INCONCLUSIVE, REPRODUCED, NOT_RUN]


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=22))
def test_intervals_at_holms_levels_decide_as_adjusted_p_values_do(p_values):
    cases = [with_p(p) for p in p_values]
    ranked = sorted(range(len(cases)), key=lambda at: cases[at].p_reproduced)
    adjusted, highest = {}, 0.0
    for rank, at in enumerate(ranked):
        highest = max(highest, (len(cases) - rank) * cases[at].p_reproduced)
        adjusted[at] = highest
    for at, alpha in enumerate(holm(cases)):
        if abs(adjusted[at] - 0.05) > 1e-9:
            assert (cases[at].verdict(alpha) == REPRODUCED) == (adjusted[at] < 0.05)


# Evidence ------------------------------------------------------------------------------------------------------------


def test_resampled_contexts_give_the_textbook_interval():
    values = np.random.default_rng(3).normal(5, 2, (1, 1024))
    found = bootstrap([values], lambda mean: mean)
    half = 1.96 * values.std() / 32
    assert found.interval(0.05) == pytest.approx((values.mean(), values.mean() - half, values.mean() + half), abs=0.01)


def test_resampled_seeds_have_the_variance_of_a_mean_of_seeds():
    found = bootstrap([np.array([[1.0, 1.0], [3.0, 3.0]])], lambda mean: mean)
    # (1, 1), (1, 2), (2, 1), (2, 2) are drawn alike, and seeds lie at 2 ± √2: variance ½ · 2 = s²/S with s² = 2
    assert sorted(set(found.resamples.draws.round(9))) == pytest.approx([2 - sqrt(2), 2, 2 + sqrt(2)])
    assert found.resamples.draws.var() == pytest.approx(1, rel=0.05)
    assert found.interval(0.05) == pytest.approx((2, 2 - sqrt(2), 2 + sqrt(2)))


def test_arms_are_resampled_together():
    values = np.random.default_rng(0).normal(size=(2, 50))
    found = bootstrap([values + 1, values], lambda a, b: a - b)
    assert found.interval(0.01) == pytest.approx((1, 1, 1))
    assert bootstrap([values + 9, values + 3], lambda a, b: a / b).value == pytest.approx(
        (values.mean() + 9) / (values.mean() + 3)
    )


@given(
    st.lists(st.integers(0, 9), min_size=300, max_size=300),
    st.integers(-1, 10),
    st.floats(0.03, 0.5),
    st.integers(0, 2),
)
def test_a_bound_is_outside_of_the_interval_exactly_if_its_p_value_says_so(draws, bound, alpha, lost):
    found = BootstrapEvidence(Resamples(4.5, np.sort(np.array(draws, float)), lost), np.zeros((1, 2)))
    _, low, high = found.interval(alpha)
    assert (low > bound) == (2 * found.at_most(bound) <= alpha * (1 + 1e-9))
    assert (high < bound) == (2 * found.at_least(bound) <= alpha * (1 + 1e-9))


def test_spreads_of_two_seeds_by_the_closed_form():
    found = SpreadRatio(4.0, (2, 2))  # F(1, 1): P(F ≤ x) = 2/π · atan √x
    for bound in (0.5, 1, 3, 10):
        assert found.at_most(bound) == pytest.approx(1 - 2 / pi * atan(4 / bound))
        assert found.at_least(bound) == pytest.approx(2 / pi * atan(4 / bound))
    _, low, high = found.interval(0.1)
    assert found.at_most(low) == pytest.approx(0.05)
    assert found.at_least(high) == pytest.approx(0.05)
    assert found.at_most(0) == 0


# What would settle it ------------------------------------------------------------------------------------------------


def test_variance_components_by_hand():
    assert components(np.array([[0.0, 2], [4, 6]])) == pytest.approx((8, 2, 0))  # rows 1, 5; columns 2, 4
    assert components(np.array([[0.0, 0], [0, 4]])) == pytest.approx((0, 0, 4))  # var 2 of each − 4/2
    assert components(np.array([[1.0, 2, 3]])) == pytest.approx((0, 1, 0))
    assert components(np.array([[1.0], [3.0]])) == pytest.approx((2, 0, 0))


def test_needed_contexts_and_seeds_by_hand():
    table = np.array([[0.0, 2], [4, 6]])  # variance of the mean: 8/2 + 2/2 = 5
    assert needed(table, 0.9) == (4, 3)  # 2/(4.5 − 4); 8/(4.5 − 1) = 2.3
    assert needed(table, 0.5) == (None, 6)  # 2.5 < 4: never by contexts; 8/(2.5 − 1) = 5.3
    assert needed(table, 0.1) == (None, None)
    assert needed(np.array([[0.0, 0], [0, 4]]), 0.5) == (4, 4)  # 4/(2 · 2) is only the rest: (4/2)/0.5
    assert needed(np.array([[1.0, 2, 3, 4]]), 0.25) == (16, None)  # one seed shows no spread of seeds


def test_the_contexts_asked_for_do_settle_it():
    wins = np.repeat([[100.0, 0.0]], [39, 25], axis=1).reshape(1, -1)  # 60.9 % of 64 contexts
    region, alpha = Region(above=55), 0.01
    open_ = Finding(bootstrap([wins], lambda mean: mean), region)
    assert open_.verdict(alpha) == INCONCLUSIVE
    contexts = open_.settle(alpha)["contexts"]
    assert contexts is not None
    times = contexts / 64

    def verdict(copies: int) -> str:
        return Finding(bootstrap([np.tile(wins, copies)], lambda mean: mean), region).verdict(alpha)

    assert verdict(round(0.7 * times)) == INCONCLUSIVE
    assert verdict(round(1.3 * times)) == REPRODUCED


def test_needed_seeds_of_a_spread():
    seeds = SpreadRatio(3.0, (3, 3)).needed(1, 0.05)["seeds"]
    assert seeds is not None
    assert Finding(SpreadRatio(3.0, (seeds, seeds)), Region(above=1)).verdict(0.05) == REPRODUCED
    assert Finding(SpreadRatio(3.0, (seeds - 1, seeds - 1)), Region(above=1)).verdict(0.05) == INCONCLUSIVE
    assert SpreadRatio(1.0, (3, 3)).needed(1, 0.05) == {"seeds": None}


def test_the_most_demanding_check_says_what_is_needed():
    assert most([{"contexts": 9, "seeds": 4}, {"contexts": 12, "seeds": None}, {"comparisons": 5}]) == {
        "contexts": 12,
        "seeds": None,
        "comparisons": 5,
    }


# A made-up grid that behaves as the paper says -----------------------------------------------------------------------

CONTEXTS = 48
NOISE = np.random.default_rng(1).normal(size=CONTEXTS)  # of contexts, the same in all cells
NOISE -= NOISE.mean()


def cell(name: str, row: dict, **values: float) -> CellResults:
    """A cell whose columns are `values` plus a little noise; `kl` alone differs from seed to seed."""
    seed = row.get("seed")
    level = {"judge": 0.0, "true_score": 0.0, "vader": 0.0, "kl": 0.0, "distinct": 1.0} | values
    shift = (seed or 0) * level.pop("kl_spread", 0.001)
    repeats = max(1, round(1 / level.pop("distinct")))
    samples = {
        "context": list(range(CONTEXTS)),
        "query": [f"Query {i}." for i in range(CONTEXTS)],
        "response": [" ".join(["word"] * repeats)] * CONTEXTS,
        "copies_start": [float(i >= 9) for i in range(CONTEXTS)],
        "preamble": [i < 10 for i in range(CONTEXTS)],
        "kl": [level.pop("kl") + shift] * CONTEXTS,
    }
    metrics = {
        "contexts": CONTEXTS,
        "votes": 3,
        "votes_seed": 1,
        "judge_tau": 0.0,
        "kl": samples["kl"][0],
        "kl_se": 0.1,
    }
    metrics |= {"kl_se": 0.1, "length": 20.0, "ended": 0.9, "distinct_1": 0.2, "distinct_2": 0.4}
    if best := level.pop("best", None):
        samples["reference_scores"] = [[best] * 4 for _ in range(CONTEXTS)]
    early, accuracy = level.pop("early", 1.0), level.pop("accuracy", 0.4)
    samples |= {key: list(value + 0.01 * NOISE) for key, value in level.items()}
    metrics |= {key: float(np.mean(samples[key])) for key in level} | {"true_score_se": 0.1, "reward_model_se": 0.1}
    metrics["reward_model"] = 1.0
    curve = {"episode": np.arange(1.0, 41), "true_score": np.linspace(0, 2, 40), "kl": np.ones(40)}
    curve["true_score"][3:7] += early  # 7.5 to 17.5 % of 40 updates
    usual = {"model": "tiny", "labeller": "classifier", "agreement": 0.4, "synthetic": True, "overrides": {}}
    usual |= {"labels": None, "collection": None, "seed": None, "num_train": 0, "episodes": 100, "kl_target": None}
    usual |= {"zero_shot": f"{row['task']}-zero-shot", "prepare": row["task"], "comparisons": row["task"]}
    full = usual | row
    reward = {"heldout_accuracy": accuracy, "heldout_accuracy_se": 0.001, "heldout_loss": 1.3}
    reward |= {"expected_calibration_error": 0.1, "num_train": 8}
    right = tuple(i < 400 * accuracy for i in range(400))
    trained = full["labels"] is not None
    ids = {"reward": name, "ppo": name} if trained else {}
    curve, reward, right = (curve, reward, right) if trained else ({}, {}, ())
    return CellResults(name, full | ids | {"evaluate": name}, metrics, samples, curve, reward, {}, {}, {}, right)


def rl(
    task: str, labels: str, collection: str = "offline", more: dict | None = None, **values: float
) -> list[CellResults]:
    """Three seeds of a policy."""
    axes = {"task": task, "labels": labels, "collection": collection, "kl_target": 10.0} | (more or {})
    tag = "-".join(str(value) for key, value in axes.items() if key not in ("overrides", "kl_target"))
    return [cell(f"{tag}-{seed}", axes | {"seed": seed}, **({"kl": 10} | values)) for seed in (1, 2, 3)]


def style(task: str) -> list[CellResults]:
    """Claims 1 to 4, 6 to 8."""
    cells = [cell(f"{task}-zero-shot", {"task": task}, judge=0, true_score=1, best=5.0)]
    cells += rl(task, "5k", judge=2, true_score=2, accuracy=0.40)
    cells += rl(task, "5k", "online", judge=1.9, true_score=2)
    cells += rl(task, "60k", judge=1.99, true_score=2.8, accuracy=0.45, early=1.5)
    return cells + rl(task, "direct", judge=2, true_score=3)


def ablations(task: str) -> list[CellResults]:
    """Claims 2, 8 to 10, 19 to 22."""
    more = {"episodes": 3200, "overrides": {"policy.episodes": "3200"}}
    cells = rl(task, "direct", more=more, judge=2, true_score=4)
    other = {"labeller": "vader", "zero_shot": f"{task}-zero-shot-vader"}
    cells.append(cell(f"{task}-zero-shot-vader", {"task": task} | other))
    cells += rl(task, "direct", more=other | {"overrides": {"labeller": "vader"}}, judge=1, true_score=9)
    for name, values in {
        "no_kl": {"kl": 40, "true_score": 8, "distinct": 0.1},
        "entropy": {"kl": 35},
        "fixed_kl": {"kl": 10, "kl_spread": 1},
        "shared_reward": {"accuracy": 0.3, "true_score": 0.5},
        "from_policy": {"accuracy": 0.4},
        "flip_both": {"true_score": 0, "kl": 10},
        "flip_reward": {"true_score": -2, "kl": 60},
        "fixed_no_normalize": {"kl": 10, "kl_spread": 1000},
    }.items():
        target = None if name in ("no_kl", "entropy", "fixed_kl", "fixed_no_normalize") else 10.0
        axes = {"ablation": name, "overrides": {"ablation": name}, "kl_target": target}
        cells += rl(task, "5k", more=axes, **values)
    for name in ("none", "epochs2", "epochs3", "epochs4", "epochs5"):
        axes = {"method": "best_of_n", "ablation": name, "overrides": {"ablation": name}, "kl_target": None}
        cells += rl(task, "5k", more=axes, accuracy=0.4)
    return cells


def summaries(task: str) -> list[CellResults]:
    """Claims 5, 11 to 18."""

    def scores(rouge: float, copied: float, supported: float, judge: float) -> dict[str, float]:
        rouges = {"rouge1": rouge + 0.1, "rouge2": rouge - 0.1, "rougeL": rouge}
        return rouges | {"copied_sentences": copied, "supported": supported, "judge": judge}

    cells = [
        cell(
            f"{task}-{method}",
            {"task": task} | ({} if method == "zero-shot" else {"method": method.replace("-", "_")}),
            **values,
        )
        for method, values in {
            "zero-shot": scores(0.2, 0.08, 0.2, 0),
            "supervised": scores(0.31, 0.16, 0.3, 0.5),
            "lead-3": scores(0.315, 1, 1, 2),
            "reference": scores(1, 0.03, 0.9, 0.6),
        }.items()
    ]
    for labels, collection, values in [
        ("60k", "online", scores(0.287, 0.98, 0.95, 1)),
        ("60k", "offline", scores(0.256, 0.9, 0.9, 0.8)),
        ("15k", "online", scores(0.29, 0.9, 0.9, 1)),
    ]:
        cells += rl(task, labels, collection, more={"kl_target": None}, **values)
    return cells + rl(task, "60k", "online", more={"method": "supervised_rl"}, **scores(0.33, 0.3, 0.6, 0.9))


def grid(*cells: CellResults) -> GridResults:
    return GridResults("made-up", "1/10", "1/100", tuple(cells))


@pytest.fixture(scope="module")
def whole() -> GridResults:
    return grid(*style("sentiment"), *ablations("sentiment"), *summaries("cnndm"))


@pytest.fixture(scope="module")
def decided(whole) -> dict[str, decide.Claim]:
    return {claim.key: claim for claim in decide.decide(CLAIMS, whole)}


def test_a_grid_that_behaves_as_the_paper_says_reproduces_all_22_claims(decided):
    assert [claim.number for claim in decided.values()] == list(range(1, 23))
    open_ = {claim.key: (claim.verdict, claim.missing) for claim in decided.values() if claim.verdict != REPRODUCED}
    assert open_ == {}


def test_a_grid_that_behaves_the_other_way_contradicts(decided):
    turned = grid(
        cell("sentiment-zero-shot", {"task": "sentiment"}, judge=3, true_score=0, best=3.01),
        *rl("sentiment", "5k", judge=2, true_score=2, accuracy=0.45),
        *rl("sentiment", "5k", "online", judge=3, true_score=2),
        *rl("sentiment", "60k", judge=3, true_score=1, accuracy=0.4, early=0.5),
        *rl("sentiment", "direct", judge=3, true_score=3, kl=30),
    )
    verdict = {claim.key: claim.verdict for claim in decide.decide(CLAIMS, turned)}
    contradicted = {key for key, found in verdict.items() if found == CONTRADICTED}
    assert contradicted == {
        "five_thousand_suffice",
        "returns_saturate",
        "online_unnecessary",
        "approaches_direct",
        "faster_at_first",
        "far_from_optimal",  # although more episodes were not run
        "kl_on_target",
    }


def check(decided: dict[str, decide.Claim], key: str, at: int = 0) -> float:
    return decided[key].checks[at].interval.mean


def test_measures_by_hand(decided):
    assert check(decided, "online_matters_for_summaries") == pytest.approx(100 * (0.287 - 0.256))
    assert check(decided, "approaches_direct") == pytest.approx(90)  # 1.8 of 2
    assert check(decided, "faster_at_first") == pytest.approx(0.5)
    assert check(decided, "far_from_optimal", 1) == pytest.approx(50)  # 2 of 4
    assert check(decided, "kl_penalty_needed") == pytest.approx(4, rel=1e-3)
    assert check(decided, "kl_penalty_needed", 2) == pytest.approx(0.1 - 1)  # one word ten times
    assert check(decided, "kl_on_target") == pytest.approx(1, rel=1e-3)
    spreads = [np.std(np.log([10 + shift * seed for seed in (1, 2, 3)]), ddof=1) for shift in (1, 0.001)]
    assert check(decided, "kl_on_target", -1) == pytest.approx(spreads[0] / spreads[1])
    assert check(decided, "smart_copier") == pytest.approx(90)
    assert check(decided, "copying_buys_accuracy", 1) == pytest.approx(65)
    assert check(decided, "skips_the_preamble") == pytest.approx(100 * (1 / 10 - 39 / 48))
    assert check(decided, "sharing_overfits") == pytest.approx(-10)
    assert check(decided, "one_epoch_from_reference") == pytest.approx(0)


def test_seeds_contexts_and_cells_of_a_check(decided):
    one = decided["five_thousand_suffice"].checks[0]
    assert (one.seeds, one.contexts) == ((1, 2, 3), CONTEXTS)
    assert one.cells == (*(f"sentiment-5k-offline-{seed}" for seed in (1, 2, 3)), "sentiment-zero-shot")
    assert one.text == "sentiment: judge prefers 5k offline to zero-shot"
    accuracy = decided["sharing_overfits"].checks[0]
    assert accuracy.text == "sentiment: held-out accuracy, 5k offline, shared_reward − 5k offline"


# Selection -----------------------------------------------------------------------------------------------------------


def names(found: GridResults, of: dict, against: dict | None = None) -> list[tuple[str, ...]]:
    return [tuple(arm.name for arm in pair if arm) for pair in selection_cells.pairs(found, "sentiment", of, against)]


def test_what_a_check_does_not_name_is_equal_in_both(whole):
    assert names(whole, {"ablation": "no_kl"}, {}) == [("5k offline, no_kl", "5k offline")]  # not direct, not 60k
    assert names(whole, {"labels": "direct"}) == [
        ("direct",),
        ("direct",),
        ("direct",),
    ]  # 100, 3,200 episodes, VADER
    assert names(whole, {"labels": ["5k", "60k"], "collection": "offline"}, {"method": "zero_shot"}) == [
        ("5k offline", "zero-shot"),
        ("60k offline", "zero-shot"),
    ]


def test_most_and_fewest_compare_across_the_axis_that_they_name(whole):
    most_, fewest = {"labels": "direct", "episodes": "most"}, {"labels": "direct", "episodes": "fewest"}
    pairs = names(whole, most_ | {"labeller": "classifier"}, fewest | {"labeller": "classifier"})
    assert pairs == [("direct, labeller classifier, 3,200 episodes", "direct, labeller classifier, 100 episodes")]
    assert names(grid(*style("sentiment")), most_, fewest) == []  # a policy is not compared with itself


def test_other_axes_of_a_grid_keep_arms_apart():
    fast = rl("sentiment", "5k", more={"overrides": {"policy.lr": "1e-4"}})
    cells = grid(*rl("sentiment", "60k"), *rl("sentiment", "5k"), *fast)
    assert names(cells, {"labels": "60k"}, {"labels": "5k"}) == [("60k offline", "5k offline")]
    assert [arm.family for arm, _ in selection_cells.pairs(cells, "sentiment", {"labels": "5k"}, None)] == [
        "sentiment, tiny",
        "sentiment, tiny, policy.lr=1e-4",
    ]


def test_labels_that_yaml_reads_as_a_number_are_found():
    assert names(grid(*rl("sentiment", "200")), {"labels": 200}) == [("200 offline",)]


def test_seeds_are_paired_and_a_missing_one_is_left_out():
    one, two = rl("sentiment", "5k", judge=1), rl("sentiment", "60k", judge=2)
    found = decide.decide(CLAIMS, grid(cell("sentiment-zero-shot", {"task": "sentiment"}), *one, *two[1:]))
    assert found[2].checks[0].seeds == (2, 3)


def test_what_is_missing_is_named(whole):
    without = grid(*(one for one in whole.cells if one.ablation != "entropy" and "cnndm" not in one.id))
    found = {claim.key: claim for claim in decide.decide(CLAIMS, without)}
    assert found["kl_penalty_needed"].verdict == NOT_RUN
    assert found["kl_penalty_needed"].missing == (
        "the grid lacks the cells of (ablation entropy) against (ablation none) in mock or sentiment",
    )
    assert found["smart_copier"].checks == ()
    for one in whole.cells:
        if "60k-online" in one.id:
            one.samples.pop("supported", None)
    accuracy = {claim.key: claim for claim in decide.decide(CLAIMS, whole)}["copying_buys_accuracy"]
    assert accuracy.verdict == NOT_RUN
    assert accuracy.missing == ("the samples of cnndm-60k-online-1 have no column supported",)


# Output --------------------------------------------------------------------------------------------------------------


def test_claims_json_holds_everything(whole, decided):
    found = json.loads(as_json(whole, list(decided.values())))
    assert (found["claims_run"], found["alpha"]) == (22, 0.05)
    first = found["claims"][0]
    assert (first["id"], first["verdict"], first["seeds"], first["contexts"]) == (
        "five_thousand_suffice",
        REPRODUCED,
        3,
        CONTEXTS,
    )
    assert first["synthetic"] is True
    assert first["paper"].startswith("88 %")
    assert first["checks"][0]["threshold"] == {"above": 70, "below": None}
    assert first["checks"][0]["estimate"] == 100
    levels = {claim["level"] for claim in found["claims"]}
    assert min(levels) == 0.95  # the last of 22 …
    assert max(levels) == round(1 - 0.05 / 22, 6)  # … and the first


def test_an_open_claim_says_what_would_settle_it():
    near = rl("sentiment", "5k", judge=0.0)
    for one in near:
        one.samples["judge"] = [1.0 if i % 4 else -1.0 for i in range(CONTEXTS)]  # 75 % of 48
    found = grid(cell("sentiment-zero-shot", {"task": "sentiment"}), *near)
    claim = decide.decide(CLAIMS, found)[0]
    assert claim.verdict == INCONCLUSIVE
    text = settle_text(claim)
    assert text.startswith("Would need about ")
    assert f"{claim.settle['contexts']:,} contexts" in text
    assert "at the variance observed" in text
    assert claim.settle["contexts"] > CONTEXTS
    assert text in markdown(found, [claim], "")
    (stored,) = json.loads(as_json(found, [claim]))["claims"]
    assert stored["settle"]["contexts"] == claim.settle["contexts"]


@pytest.mark.parametrize(("accuracy", "guesses"), [(0.29, True), (0.291, False)])  # ± 0.02 each, 0.25 is chance
def test_a_decided_claim_says_if_its_reward_models_guess(tmp_path, accuracy, guesses):
    cells = summaries("cnndm")
    for one in cells:
        if one.row["labels"] == "60k" and one.row["collection"] == "online" and one.method == "rl":
            one.metrics.update(heldout_accuracy=accuracy, heldout_accuracy_se=0.02)
    found = grid(*style("sentiment"), *cells)
    by_key = {claim.key: claim for claim in decide.decide(CLAIMS, found)}
    assert by_key["loses_to_lead_3"].guessing == (("60k online",) if guesses else ())
    assert by_key["five_thousand_suffice"].guessing == ()
    report = page.build(found, CLAIMS, CLAIMS.with_name("report.yaml"))
    files = {path.name: path.read_text() for path in page.write(report, tmp_path) if path.suffix in (".md", ".html")}
    care = "Take care: among the decided claims 5, 11, 12, 13, 14, 15, 16, 17, 18 compare policies whose"
    for text in files["claims.md"], files["index.md"], files["index.html"]:
        assert (care in text) == guesses
        assert ("a reward model guesses" in text) == guesses
    sentence = "* Reward models that are no better than chance: of 60k online."
    assert files["claims.md"].count(sentence) == (9 if guesses else 0)


def test_the_report_takes_baselines_and_ablations(whole, tmp_path):
    report = page.build(whole, CLAIMS, CLAIMS.with_name("report.yaml"))
    files = {path.name: path for path in page.write(report, tmp_path)}
    text = files["claims.md"].read_text()
    assert text.count("\n## ") == 22 + 1  # and the rule
    for paragraph in verdicts.RULE:
        assert paragraph in text
    index = files["index.md"].read_text()
    assert "[claims.md](claims.md)" in index
    assert "| 12 | The policy from 60k labels loses" in index
    assert '<td class="verdict">' in files["index.html"].read_text()


def test_the_words_of_the_claims_can_be_typeset():
    plain = {character for character in CLAIMS.read_text() if ord(character) > 127}
    assert plain <= set(table._TEX), plain


# conf/claims.yaml ----------------------------------------------------------------------------------------------------


def write(path: Path, check_: str, more: str = "") -> Path:
    path.write_text(f"a: {{claim: A, paper: B, test: C, run: D, checks: [{{{check_}}}]{more}}}\n")
    return path


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("measure: winrate, of: {}", "a: measure=winrate: did you mean 'win_rate'"),
        ("measure: win_rate, of: {}, against: {}, abov: 70", "a: abov: no such key.*did you mean 'above'"),
        ("measure: win_rate, of: {}, against: {}", "a: win_rate: no bound; give it above, below or both"),
        ("measure: win_rate, of: {}, above: 1", "a: win_rate: against missing"),
        ("measure: reward_difference, of: {}, against: {}, above: 1", "a: reward_difference: kl_within missing"),
        ("measure: accuracy, of: 5k offline, above: 1", "a: accuracy: of: 5k offline: expected a mapping"),
        ("measure: accuracy, of: {label: 5k}, above: 1", "a: accuracy: of: label: no key of a cell; choices: ablation"),
        ("measure: accuracy, of: {method: sft}, above: 1", "a: accuracy: of: method=sft: choices: rl, supervised"),
    ],
)
def test_a_check_that_is_not_sound_is_refused(tmp_path, check, message):
    with pytest.raises(PreflabError, match=message):
        decide.decide(write(tmp_path / "claims.yaml", check), grid(*rl("sentiment", "5k")))


def test_a_claim_that_lacks_a_part_is_refused(tmp_path):
    path = write(tmp_path / "claims.yaml", "measure: accuracy, of: {}, above: 1", ", papers: E")
    with pytest.raises(PreflabError, match="a: papers: no such key of a claim; did you mean 'paper'"):
        decide.read(path)
    path.write_text("a: {claim: A, checks: []}\n")
    with pytest.raises(PreflabError, match="a: paper, test, run missing"):
        decide.read(path)
    path.write_text("a: {claim: one: two}\n")
    with pytest.raises(PreflabError, match=r"claims\.yaml: cannot be read"):
        decide.read(path)
    with pytest.raises(PreflabError, match="not found; it holds the claims"):
        decide.read(tmp_path / "none.yaml")


def test_no_number_has_two_intervals(whole, decided):
    """What a table and a check both measure has one 95 % interval; the level that decided is next to the verdict."""
    (table_1,) = style_tables.table_1(whole)
    printed = {row.values["comparison"]: row.values["wins"] for row in table_1.rows}
    compared = 0
    for claim in decided.values():
        for check_ in claim.checks:
            name = " vs ".join(arm.name for arm in check_.arms)
            if check_.settings["measure"] == "win_rate" and name in printed and "sentiment: " in check_.text:
                assert check_.interval == pytest.approx([100 * end for end in printed[name]])
                compared += 1
    assert compared >= 4
    for check_ in decided["five_thousand_suffice"].checks:
        assert check_.interval == check_.finding.evidence.interval(1 - LEVEL)
        assert check_.deciding_alpha < 1 - LEVEL
        _, low, high = check_.deciding_interval
        assert low <= check_.interval.low <= check_.interval.high <= high
    (line, *_) = page_claims.lines(list(decided.values()))
    assert (line.verdict, line.level) == (REPRODUCED, "99.77 %")  # the first of 22 by Holm
    assert line.ours == "100.0 [100.0, 100.0] % of contexts"
