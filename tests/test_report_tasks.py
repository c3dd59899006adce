"""The report on a fabricated grid of several tasks with ablations, a proxy labeller and best-of-n."""

from math import log
from pathlib import Path

import numpy as np
import pytest

from preflab.report import sections
from preflab.report.cells import optimum
from preflab.report.cells.results import Arm, CellResults, GridResults
from preflab.report.figures import true_score
from preflab.report.figures.drawing import Figure
from preflab.report.paper.style import TABLE_10
from preflab.report.table import Table
from preflab.report.tables import ablations, agreement, overoptimisation, ratings
from preflab.report.tables.style import figure_4, table_1

LAYOUT = Path(__file__).parents[1] / "conf" / "report.yaml"
UPDATES = 60


def cell(
    task: str, labels: str | None, judge: list[float], true_score: float, seed: int | None = 1, **more
) -> CellResults:
    """A policy of four contexts; the judge has no noise (τ = 0)."""
    method = more.get("method", "zero_shot" if labels is None else "rl")
    ablation, overrides = more.get("ablation", "none"), more.get("overrides", {})
    collection = None if labels is None else more.get("collection", "offline")
    name = "-".join(map(str, [task, labels, collection, method, ablation, *overrides.values(), seed]))
    comparisons = f"{task}-{overrides.get('labeller', '')}"
    row = {"task": task, "model": "tiny", "method": method, "labels": labels, "collection": collection}
    row |= {"ablation": ablation, "seed": seed, "num_train": {"5k": 120, "20k": 480}.get(str(labels), 0)}
    row |= {"episodes": 128, "kl_target": 6.0, "labeller": "classifier", "agreement": 0.42, "synthetic": True}
    row |= {"overrides": overrides, "comparisons": comparisons, "zero_shot": comparisons, "reward": f"r-{name}"}
    samples = {"context": [0, 1, 2, 3], "query": [f"Query {i}." for i in range(4)]}
    samples |= {"response": [f"{labels} {ablation} <b>|*" for _ in range(4)], "judge": judge, "vader": judge}
    samples |= {"true_score": [true_score] * 4, "kl": [more.get("kl", 6.0)] * 4}
    samples |= {"reference_scores": more["scores"]} if "scores" in more else {}
    metrics = {"votes": 3, "votes_seed": 1, "judge_tau": 0.0, "kl": more.get("kl", 6.0), "kl_se": 0.1}
    metrics |= {"true_score": true_score, "true_score_se": 0.1, "reward_model": true_score, "reward_model_se": 0.1}
    metrics |= {"length": 20.0, "ended": 1.0, "distinct_1": 0.25, "distinct_2": 0.5}
    rising = np.linspace(0, 6, UPDATES)
    curve = {
        "episode": np.arange(UPDATES) * 64.0,
        "kl": rising,
        "score": rising,
        "true_score": more.get("true", rising),
    }
    reward = {} if labels in (None, "direct") else {"heldout_accuracy": 0.4, "heldout_accuracy_se": 0.02}
    metrics |= reward  # offline the reward model in force is the first one
    reward |= {"heldout_loss": 1.3, "expected_calibration_error": 0.03, "num_train": 120.0} if reward else {}
    agreed = {"labellers_agree": 0.46, "labellers_agree_se": 0.02, "judge_agrees": 0.4, "judge_agrees_se": 0.03}
    agreed |= {"questions_asked_again": 120.0}
    return CellResults(name, row, metrics, samples, curve if method == "rl" else {}, reward, {}, agreed, {})


@pytest.fixture(scope="module")
def grid() -> GridResults:
    falling = np.concatenate([np.linspace(0, 3, UPDATES // 2), np.linspace(3, 0, UPDATES // 2)])
    cells = [
        cell("sentiment", None, [0, 0, 0, 0], 0.0, None, kl=0.0),
        cell("sentiment", "5k", [1, 1, 1, -1], 1.0, true=falling),
        cell("sentiment", "direct", [2, 2, 2, 2], 3.0),
        cell("sentiment", "direct", [3, 3, -3, -3], 8.0, ablation="no_kl", kl=60.0),
        cell("sentiment", "5k", [1, 1, 1, 1], 1.5, ablation="fixed_kl"),
        cell("sentiment", "5k", [1, 0, 1, 0], 0.5, method="best_of_n"),
        cell("sentiment", "5k", [1, 0, 0, 0], 0.5, method="best_of_n", ablation="epochs2"),
        cell("sentiment", None, [0, 0, 0, 0], 0.0, None, overrides={"labeller": "vader"}),
        cell("sentiment", "direct", [0, 0, 0, 0], 5.0, overrides={"labeller": "vader"}),
        cell("sentiment", "direct", [2, 2, 2, 3], 4.0, overrides={"policy.episodes": "512"}),
        cell("descriptiveness", None, [0, 0, 0, 0], 0.0, None, kl=0.0),
        cell("descriptiveness", "5k", [1, -1, -1, -1], 1.0),
        cell("descriptiveness", "20k", [1, 1, -1, -1], 1.0),
    ]
    zeros = {c.row["zero_shot"]: c for c in cells}
    assert len(zeros) == 3
    return GridResults("several", "1/40", "1/1000", tuple(cells))


def rows(table) -> dict[tuple[str, str], dict[str, str]]:
    """(task, name of the row) -> column key -> text; no two rows of a table may have the same name."""
    keys = [column.key for column in table.columns]
    found = [dict(zip(keys, texts, strict=True)) for texts, _ in table.shown()]
    name = next(key for key in ("comparison", "arm", "pair", "cell") if key in keys)
    named = {(row.get("task", ""), row[name]): row for row in found}
    assert len(named) == len(found), table.label
    return named


def test_table_1_names_the_task_and_leaves_ablations_out(grid):
    found = rows(table_1(grid)[0])
    assert found["sentiment", "5k offline vs zero-shot"]["wins"].startswith("75.0 [")
    assert found["descriptiveness", "5k offline vs zero-shot"]["wins"].startswith("25.0 [")
    assert found["descriptiveness", "5k offline vs zero-shot"]["paper"] == "86.0"
    assert found["descriptiveness", "5k offline vs 20k offline"]["wins"].startswith("37.5 [")  # a loss, three ties
    assert ("sentiment", "5k offline vs 5k online") not in found
    assert not any("no_kl" in name or "best-of-n" in name for _, name in found)


def test_the_papers_mock_row_is_that_of_a_proxy_labeller(grid):
    found = rows(table_1(grid)[0])
    proxy = found["sentiment", "5k offline vs direct (labeller=vader)"]
    assert (proxy["wins"].split()[0], proxy["paper"]) == ("75.0", "77.0")


def test_every_ablation_stands_under_its_base(grid):
    table = ablations.ablations(grid)[0]
    found = rows(table)
    no_kl = found["sentiment", "direct, no_kl"]
    assert (no_kl["change"], no_kl["kl"]) == ("5.00 [5.00, 5.00]", "60.00 [60.00, 60.00]")
    assert no_kl["wins"].startswith("50.0 [")  # two won, two lost
    assert "+8.0" in no_kl["paper"]
    assert no_kl["distinct"] == "1.000 [1.000, 1.000]"
    assert found["sentiment", "5k offline, fixed_kl"]["accuracy"] == "40.0 ± 2.0"
    assert found["sentiment", "best-of-n 5k offline, epochs2"]["wins"].startswith("37.5 [")  # three ties, one lost
    names = [name for _, name in found]
    assert names.index("direct") + 1 == names.index("direct, no_kl")
    assert "entropy" not in names
    assert "entropy" in table.notes[-1]


def test_table_10_shows_samples_and_says_what_was_not_run(grid):
    (table,) = ablations.table_10(grid)
    texts = [texts for texts, _ in table.shown()]
    assert texts[0][3:] == ["mean score of all contexts", "(+0.00)", "(+3.00)", "(+8.00)", "–"]
    assert texts[1][6] == "direct no_kl <b>|* (+8.0)"
    assert texts[-1][6:] == list(TABLE_10.values())
    assert r"direct no\_kl &lt;b>\|\* (+8.0)" in table.markdown()
    assert "direct no_kl &lt;b&gt;|* (+8.0)" in table.html()
    assert "direct, entropy" in table.notes[-1]


def test_figure_4_has_the_papers_numbers_for_every_number_of_labels(grid):
    (table,) = figure_4(grid)
    found = rows(table)
    assert list(found) == [
        ("sentiment", "5k offline"),
        ("descriptiveness", "5k offline"),
        ("descriptiveness", "20k offline"),
    ]
    assert found["sentiment", "5k offline"]["paper"] == "87.9"
    assert found["descriptiveness", "20k offline"]["wins"].startswith("50.0 [")
    assert "Not run: sentiment: 200, 500, 1k, 2.5k, 10k, 20k; descriptiveness: 200, " in table.notes[-1]


def test_agreement_stands_beside_the_papers(grid):
    (table,) = agreement.table_9(grid)
    found = [(row.values["task"], column) for row in table.rows for column in ("agree",)]
    assert len(found) == 3 * 3  # three sets of comparisons
    texts = {tuple(texts[:3]): texts for texts, _ in table.shown()}
    assert texts["sentiment", "classifier", "two labellers (paper: labellers)"][4] == "46.0 ± 2.0"
    assert "38 ± 2" in texts["sentiment", "classifier", "two labellers (paper: labellers)"]
    assert "tldr: labellers" in table.notes[-1]


def test_ratings_of_two_policies_are_the_log_odds_of_their_wins():
    cells = (cell("sentiment", None, [0, 0, 0, 0], 0.0, None), cell("sentiment", "5k", [1, 1, 1, -1], 1.0))
    small = GridResults("two", "1", "1", cells)
    (table,) = ratings.ratings(small)
    best, worst = table.rows
    assert best.values["arm"] == "5k offline"
    difference = best.values["rating"].mean - worst.values["rating"].mean
    assert difference == pytest.approx(log(3.5 / 1.5))  # three wins of four, half a win for each
    assert best.values["beats"] == pytest.approx(3.5 / 5)
    assert best.values["agree"] == 1  # no noise


def test_ratings_hold_every_policy_of_a_task_once(grid):
    found = rows(ratings.ratings(grid)[0])
    assert len([task for task, _ in found if task == "sentiment"]) == 9  # both references are one
    assert found["sentiment", "direct, no_kl"]["seeds"] == "1"


def test_scores_part_where_the_true_one_falls_and_the_models_rises(grid):
    found = {(one.family.task, one.arm.name): one.parting for one in overoptimisation.parted_arms(grid)}
    assert set(found) == {
        ("sentiment", "5k offline"),
        ("descriptiveness", "5k offline"),
        ("descriptiveness", "20k offline"),
    }
    assert found["sentiment", "5k offline"].kl == pytest.approx(3, abs=0.5)
    assert found["descriptiveness", "5k offline"].kl is None
    (table,) = overoptimisation.overoptimisation(grid)
    assert rows(table)["descriptiveness", "5k offline"]["parts"] == "do not part"


def test_the_optimum_of_normal_scores_is_the_root_of_twice_the_kl():
    scores = np.random.default_rng(0).normal(size=(8, 4000)).tolist()
    zero = Arm("zero-shot", "", (cell("mock", None, [0] * 4, 0.0, None, scores=scores),))
    one = Arm("direct", "", (cell("mock", "direct", [0] * 4, 1.0, kl=0.5),))
    assert optimum.of_arm(one, zero) == pytest.approx(1.0, abs=0.05)  # KL = r²/2 at the optimum of a normal reward
    assert optimum.of_arm(Arm("direct", "", (cell("mock", "direct", [0] * 4, 1.0, kl=50.0),)), zero) is None


def test_the_best_of_two_normal_scores_is_one_over_the_root_of_pi():
    scores = np.random.default_rng(0).normal(size=(8, 4000)).tolist()
    first, second, *_ = optimum.best_of(cell("mock", None, [0] * 4, 0.0, None, scores=scores))
    assert first == pytest.approx((0, 0), abs=0.02)
    assert second == pytest.approx((log(2) - 0.5, 1 / np.sqrt(np.pi)), abs=0.02)


def test_ablations_do_not_clutter_figures_2_and_3(grid):
    (sentiment,) = [family for family in grid.main_families if family.task == "sentiment"]
    assert [arm.name for arm in true_score.shown(sentiment)] == ["5k offline", "direct"]
    assert [family.task for family in grid.main_families] == ["sentiment", "descriptiveness"]


def test_every_row_of_every_table_has_a_name_of_its_own_and_figures_have_both_forms(grid):
    parts = [part for section in sections.build(grid, LAYOUT) for part in section.parts]
    for table in parts:
        if isinstance(table, Table) and table.label not in ("table10", "table9"):
            rows(table)
    found = [part for part in parts if isinstance(part, Figure)]
    labels = {"win_rates", "figure4", "figure2", "frontier", "overoptimisation_sentiment"}
    assert {figure.label for figure in found} == labels | {"overoptimisation_descriptiveness"}
    for figure in found:
        assert figure.png.startswith(b"\x89PNG")
        assert b"Software" not in figure.png
        assert "<svg" in figure.svg
