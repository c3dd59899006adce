"""Numbers of one policy, and a whole evaluation of the reference and of a policy on a tiny model."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from helpers.tiny_model import END, task
from helpers.tiny_training import random_comparisons
from helpers.toy_reviews import reviews
from preflab import labellers
from preflab.comparisons import Comparison, calibration, synthetic, write
from preflab.corpora.query_files import load_texts
from preflab.errors import PreflabError
from preflab.evaluate import metrics, responses
from preflab.labellers.classifiers import linear
from preflab.models import reward_model
from preflab.sampling import reference
from preflab.settings import stages
from preflab.settings.data import LabellerSettings
from preflab.settings.method import EvaluationSettings, FrontierSettings, RuntimeSettings
from preflab.stages import evaluate
from preflab.training.reward import batch_of


def test_mean_and_standard_error():
    got = metrics.mean_and_se("kl", np.array([1.0, 2.0, 3.0, 6.0]))
    assert got == {"kl": 3.0, "kl_se": pytest.approx(math.sqrt(14 / 3) / 2)}


def test_distinct_by_hand():
    texts = ["a film a film", "A plot"]  # unigrams a film a film a plot; bigrams a-film film-a a-film a-plot
    assert metrics.distinct(texts, 1) == pytest.approx(3 / 6)
    assert metrics.distinct(texts, 2) == pytest.approx(3 / 4)
    assert metrics.distinct(["one"], 2) == 0


def test_what_is_asked_of_summaries():
    source = "The cat sat on the mat. Then it ran to the red door."
    got = metrics.of_summaries(["The cat sat on the mat. A dog ran.", ""], [source] * 2, ["the cat ran"] * 2)
    # 3 of the 3 words in common, of 9; of two sentences one is the source's and the other says what it does not
    assert got["rouge1"].tolist() == pytest.approx([2 * (3 / 9) * 1 / (3 / 9 + 1), 0])
    assert got["copied_sentences"][0] == 0.5
    assert got["supported"].tolist() == [0, 0]
    assert np.isnan(got["copied_sentences"][1])  # who says nothing copies nothing
    assert got["copies_start"].tolist() == [1, 0]


def test_vader_knows_good_from_bad():
    good, bad = metrics.vader(["A wonderful, lovely film.", "A horrible, awful film."])
    assert good > 0.5
    assert bad < -0.5


# --- the stage --------------------------------------------------------------------------------------------------------


@pytest.fixture
def comparisons(tmp_path, queries):
    """A folder of the stage comparisons, as far as an evaluation reads it."""
    folder = tmp_path / "comparisons"
    folder.mkdir()
    texts = [text for text, _, _ in reviews(80)]
    own, judged = (
        linear.load(queries / "classifiers", name).score(texts).reshape(-1, 4) for name in ("labeller", "judge")
    )
    settings = LabellerSettings("classifier", "classifier", "judge", 0.42)
    calibration.calibrate(settings, {"classifier": own}, judged).save(folder / "labeller.json")
    labels = [Comparison([1] * 12, [[2] * 24] * 4, 0, "classifier", 1, "reference")]
    write(labels, folder / "heldout.parquet")
    return folder


def evaluate_settings(method="sample", n=1):
    return stages.EvaluateStage(task(), EvaluationSettings(16, 3, 8, 1), RuntimeSettings(1, "fp32"), method, n)


def run(cfg: stages.EvaluateStage, queries: Path, model: Path, out: Path, **folders: Path) -> dict[str, Any]:
    """Numbers of the stage."""
    return evaluate.run(cfg, queries=queries, model=model, out=out, **folders).metrics


def test_the_reference_against_itself(tmp_path, model, queries, comparisons):
    cfg = evaluate_settings()
    zero, same = tmp_path / "zero", tmp_path / "same"
    alone = run(cfg, queries, model, zero, comparisons=comparisons)
    assert "win_rate" not in alone
    assert alone["kl"] == pytest.approx(0, abs=1e-4)
    found = run(cfg, queries, model, same, policy=model, reference=zero)
    assert found["kl"] == pytest.approx(0, abs=1e-4)
    assert (found["win_rate"], found["win_low"], found["win_high"]) == (0.5, 0.5, 0.5)  # the same texts: all tie
    texts = [pq.read_table(folder / "samples.parquet")["response"].to_pylist() for folder in (zero, same)]
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 8


def test_many_samples_of_the_reference_for_the_optimal_frontier(tmp_path, model, queries, comparisons):
    out = tmp_path / "out"
    cfg = evaluate_settings()
    cfg.frontier = FrontierSettings(contexts=2, samples=11)  # in parts of 8
    run(cfg, queries, model, out, comparisons=comparisons)
    rows = pq.read_table(out / "samples.parquet")["reference_scores"].to_pylist()
    assert [len(row or []) for row in rows] == [11, 11, *[0] * 14]
    assert len({score for row in rows[:2] for score in row}) > 11
    ref = reference.load(RuntimeSettings(1, "fp32"), task(), queries, model, split="test")
    texts = responses.of_reference(cfg, ref, ref.queries[:2], 11)
    asked = [query for query, _ in load_texts(queries, "test")[:2] for _ in range(11)]
    scale = synthetic.load_calibration(comparisons)
    scores = (labellers.load("classifier", queries).score(asked, texts) - scale.mean) / scale.std
    assert [score for row in rows[:2] for score in row] == scores.tolist()


def test_an_evaluation_says_which_held_out_comparisons_the_reward_model_gets_right(
    tmp_path, model, queries, comparisons
):
    labels = random_comparisons(24)
    write(labels, comparisons / "heldout.parquet")
    ref = reference.load(RuntimeSettings(1, "fp32"), task(), queries, model, split="test")
    learned = reward_model.initial(ref.lm, 1)
    reward_model.save(learned, tmp_path / "reward", model)
    run(evaluate_settings(), queries, model, tmp_path / "zero", comparisons=comparisons)
    found = run(
        evaluate_settings(), queries, model, tmp_path / "out",
        policy=model, reward=tmp_path / "reward", reference=tmp_path / "zero",
    )  # fmt: skip
    data = batch_of(labels, ref.prompt.pad_id, ref.queries.device)
    with torch.no_grad():
        favourite = learned.compare(data.queries, data.samples, ref.prompt.pad_id).argmax(1)
    right = (favourite == data.best).tolist()
    about = pq.read_schema(tmp_path / "out" / "samples.parquet").metadata
    assert about[b"heldout_right"].decode() == "".join("01"[one] for one in right)
    assert found["heldout_accuracy"] == pytest.approx(sum(right) / 24)


def test_best_of_n_is_the_sample_that_the_reward_likes_best(model, queries):
    ref = reference.load(RuntimeSettings(1, "fp32"), task(), queries, model, split="test")
    seen = {}

    def favourite(asked, given):  # the share of one word
        for query, response in zip(asked.tolist(), given.tolist(), strict=True):
            seen.setdefault(tuple(query), []).append(response)
        return (given == 4).float().sum(1)

    got = responses.best_of_n(evaluate_settings("best_of_n", 6), ref, ref.queries[:5], favourite)
    assert got.kl.tolist() == pytest.approx([math.log(6) - 5 / 6] * 5)
    for query, chosen in zip(ref.queries[:5].tolist(), got.tokens.tolist(), strict=True):
        scores = [row.count(4) if END in row[4:] else -1.0 for row in seen[tuple(query)]]
        assert len(scores) == 6
        assert (chosen.count(4) if END in chosen[4:] else -1.0) == max(scores)


def test_texts_of_a_baseline_are_scored_like_samples(tmp_path, model, queries, comparisons):
    found = run(evaluate_settings("lead_3"), queries, model, tmp_path / "lead3", comparisons=comparisons)
    rows = pq.read_table(tmp_path / "lead3" / "samples.parquet").to_pylist()
    assert all(row["query"].startswith(row["response"]) for row in rows)
    assert all(math.isnan(row["kl"]) for row in rows)
    assert "kl" not in found
    expected = labellers.load("judge", queries).score([], [row["response"] for row in rows])
    assert [row["judge"] for row in rows] == expected.tolist()
    with pytest.raises(PreflabError, match=r"test\.parquet: 16 of the first 16 queries have no reference response"):
        run(evaluate_settings("reference"), queries, model, tmp_path / "none", comparisons=comparisons)
