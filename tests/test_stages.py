"""Whole stages on corpora and models of a few kilobytes: prepare, pretrain, evaluate; and the command `ui`."""

import math
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from helpers.tiny_model import END, LAYOUT, task
from helpers.tiny_training import random_comparisons
from helpers.toy_reviews import corpus, prepare_settings, reviews
from preflab import corpora, labellers
from preflab.comparisons import Comparison, calibration, synthetic, write
from preflab.corpora.queries import load_texts
from preflab.errors import PreflabError
from preflab.evaluate import responses
from preflab.grid import kinds
from preflab.grid.compose import composer
from preflab.labellers.classifiers import linear
from preflab.models import reward_model
from preflab.sampling import reference
from preflab.settings import stages
from preflab.settings.data import LabellerSettings, TransformerSettings
from preflab.settings.load import parse
from preflab.settings.method import EvaluationSettings, FrontierSettings, PretrainSettings, RuntimeSettings
from preflab.stages import evaluate
from preflab.stages import prepare as prepare_stages
from preflab.training import pretrain
from preflab.training.reward import batch_of

ROOT = Path(__file__).parents[1]
CONTEXT = 32  # of tiny_model.gpt2


def test_prepare_refuses_queries_longer_than_the_context(tmp_path, model):
    with pytest.raises(PreflabError, match=rf"task\.query_length={CONTEXT}: .* context of {CONTEXT} tokens"):
        prepare_stages.run(prepare_settings(CONTEXT), tmp_path / "unread", model, tmp_path / "out")


def test_a_corpus_without_periods_is_a_clear_error(tmp_path, model):
    folder = corpus(tmp_path / "corpus", reviews(60, period="it"))
    with pytest.raises(PreflabError, match=r"none of the \d+ train texts has a query .*task\.start_text=null"):
        prepare_stages.run(prepare_settings(), folder, model, tmp_path / "out")


def test_query_and_response_must_fit_into_the_context(tmp_path, model):
    long = task(response_length=CONTEXT - 5)  # and six tokens of query: one too many
    with pytest.raises(PreflabError, match=rf"task\.query_length=6, task\.response_length={CONTEXT - 5}: .*shorten"):
        reference.load(RuntimeSettings(1, "fp32"), long, tmp_path / "unread", model)
    reference.check_length(task(response_length=CONTEXT - 6), LAYOUT, model)
    with pytest.raises(PreflabError, match=r"with the 3 of task\.prefix and task\.suffix"):
        reference.check_length(task(response_length=CONTEXT - 6), LAYOUT._replace(prefix=(1, 2), suffix=(3,)), model)


def test_the_reference_against_itself(tmp_path, model):
    queries, comparisons = tmp_path / "queries", tmp_path / "comparisons"
    prepare_stages.run(prepare_settings(), corpus(tmp_path / "corpus", reviews(300)), model, queries)
    calibrated(queries, comparisons)
    cfg = evaluate_settings()
    zero, same = tmp_path / "zero", tmp_path / "same"
    alone = evaluate.run(cfg, queries, model, comparisons, zero)
    assert "win_rate" not in alone
    assert alone["kl"] == pytest.approx(0, abs=1e-4)
    found = evaluate.run(cfg, queries, model, comparisons, same, policy=model, zero_shot=zero)
    assert found["kl"] == pytest.approx(0, abs=1e-4)
    assert (found["win_rate"], found["win_low"], found["win_high"]) == (0.5, 0.5, 0.5)  # the same texts: all tie
    texts = [pq.read_table(folder / "samples.parquet")["response"].to_pylist() for folder in (zero, same)]
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 8


def calibrated(queries, comparisons):
    """A folder of the stage comparisons, as far as an evaluation reads it."""
    comparisons.mkdir()
    texts = [text for text, _, _ in reviews(80)]
    own, judged = (
        linear.load(queries / "classifiers", name).score(texts).reshape(-1, 4) for name in ("labeller", "judge")
    )
    settings = LabellerSettings("classifier", "classifier", "judge", 0.42)
    calibration.calibrate(settings, {"classifier": own}, judged).save(comparisons / "labeller.json")
    labels = [Comparison([1] * 12, [[2] * 24] * 4, 0, "classifier", 1, "reference")]
    write(labels, comparisons / "heldout.parquet")


def evaluate_settings(method="sample", n=1):
    return stages.EvaluateStage(task(), EvaluationSettings(16, 3, 8, 1), RuntimeSettings(1, "fp32"), method, n)


def test_many_samples_of_the_reference_for_the_optimal_frontier(tmp_path, model):
    queries, comparisons, out = tmp_path / "queries", tmp_path / "comparisons", tmp_path / "out"
    prepare_stages.run(prepare_settings(), corpus(tmp_path / "corpus", reviews(300)), model, queries)
    calibrated(queries, comparisons)
    cfg = evaluate_settings()
    cfg.frontier = FrontierSettings(contexts=2, samples=11)  # in parts of 8
    evaluate.run(cfg, queries, model, comparisons, out)
    rows = pq.read_table(out / "samples.parquet")["reference_scores"].to_pylist()
    assert [len(row or []) for row in rows] == [11, 11, *[0] * 14]
    assert len({score for row in rows[:2] for score in row}) > 11
    ref = reference.load(RuntimeSettings(1, "fp32"), task(), queries, model, split="test")
    texts = responses.of_reference(cfg, ref, ref.queries[:2], 11)
    asked = [query for query, _ in load_texts(queries, "test")[:2] for _ in range(11)]
    scale = synthetic.load_calibration(comparisons)
    scores = (labellers.load("classifier", queries).score(asked, texts) - scale.mean) / scale.std
    assert [score for row in rows[:2] for score in row] == scores.tolist()


def test_an_evaluation_says_which_held_out_comparisons_the_reward_model_gets_right(tmp_path, model):
    queries, comparisons = tmp_path / "queries", tmp_path / "comparisons"
    prepare_stages.run(prepare_settings(), corpus(tmp_path / "corpus", reviews(300)), model, queries)
    calibrated(queries, comparisons)
    labels = random_comparisons(24)
    write(labels, comparisons / "heldout.parquet")
    ref = reference.load(RuntimeSettings(1, "fp32"), task(), queries, model, split="test")
    learned = reward_model.initial(ref.lm, 1)
    reward_model.save(learned, tmp_path / "reward", model)
    evaluate.run(evaluate_settings(), queries, model, comparisons, tmp_path / "zero")
    found = evaluate.run(
        evaluate_settings(), queries, model, tmp_path / "zero", tmp_path / "out",
        policy=model, reward=tmp_path / "reward", zero_shot=tmp_path / "zero",
    )  # fmt: skip
    data = batch_of(labels, ref.layout.pad_id, ref.queries.device)
    with torch.no_grad():
        favourite = learned.compare(data.queries, data.samples, ref.layout.pad_id).argmax(1)
    right = (favourite == data.best).tolist()
    about = pq.read_schema(tmp_path / "out" / "samples.parquet").metadata
    assert about[b"heldout_right"].decode() == "".join("01"[one] for one in right)
    assert found["heldout_accuracy"] == pytest.approx(sum(right) / 24)


def test_best_of_n_is_the_sample_that_the_reward_likes_best(tmp_path, model):
    queries, comparisons = tmp_path / "queries", tmp_path / "comparisons"
    prepare_stages.run(prepare_settings(), corpus(tmp_path / "corpus", reviews(300)), model, queries)
    calibrated(queries, comparisons)
    ref = reference.load(RuntimeSettings(1, "fp32"), task(), queries, model, split="test")
    seen = {}

    def favourite(asked, given):  # the share of one word
        for query, response in zip(asked.tolist(), given.tolist(), strict=True):
            seen.setdefault(tuple(query), []).append(response)
        return (given == 4).float().sum(1)

    got = responses.best_of_n(evaluate_settings("best-of-n", 6), ref, ref.queries[:5], favourite)
    assert got.kl.tolist() == pytest.approx([math.log(6) - 5 / 6] * 5)
    for query, chosen in zip(ref.queries[:5].tolist(), got.tokens.tolist(), strict=True):
        scores = [row.count(4) if END in row[4:] else -1.0 for row in seen[tuple(query)]]
        assert len(scores) == 6
        assert (chosen.count(4) if END in chosen[4:] else -1.0) == max(scores)


def test_texts_of_nobody_are_scored_like_samples(tmp_path, model):
    queries, comparisons = tmp_path / "queries", tmp_path / "comparisons"
    prepare_stages.run(prepare_settings(), corpus(tmp_path / "corpus", reviews(300)), model, queries)
    calibrated(queries, comparisons)
    found = evaluate.run(evaluate_settings("lead-3"), queries, model, comparisons, tmp_path / "lead3")
    rows = pq.read_table(tmp_path / "lead3" / "samples.parquet").to_pylist()
    assert all(row["query"].startswith(row["response"]) for row in rows)
    assert all(math.isnan(row["kl"]) for row in rows)
    assert "kl" not in found
    expected = labellers.load("judge", queries).score([], [row["response"] for row in rows])
    assert [row["judge"] for row in rows] == expected.tolist()
    with pytest.raises(PreflabError, match=r"test\.parquet: 16 of the first 16 queries have no reference response"):
        evaluate.run(evaluate_settings("reference"), queries, model, comparisons, tmp_path / "none")


def test_the_transformer_is_trained_where_a_labeller_wants_it(tmp_path, model):
    settings = prepare_settings()
    settings.transformer = TransformerSettings(1, 2, 16, 270, 24, 4, 16, 3e-3, 1, 1)
    found = prepare_stages.run(settings, corpus(tmp_path / "corpus", reviews(300)), model, tmp_path / "queries")
    good, bad = labellers.load("transformer", tmp_path / "queries").score(["", ""], ["good " * 8, "bad " * 8])
    assert good > bad
    assert found["transformer_accuracy"] > 0.6
    with composer(ROOT / "conf") as compose:
        prepared = kinds.KINDS["prepare"].owns(compose(["labeller=transformer"]))
        assert kinds.KINDS["prepare"].owns(compose([]))["transformer"] is None
    assert parse("prepare", prepared, "conf").transformer.width == 512  # the paper's


def pretrain_settings(**changes: object) -> PretrainSettings:
    """Six steps of two windows of eight tokens."""
    base = {
        "name": "toy", "source": "imdb", "vocab_size": 270, "context": 16, "layers": 1, "heads": 2, "width": 16,
        "tokens": 96, "batch_size": 2, "length": 8, "warmup_steps": 2,
        "muon_lr": 0.01, "adam_lr": 0.01, "checkpoint_steps": 2, "threads": 1, "seed": 1,
    }  # fmt: skip
    return PretrainSettings(**(base | changes))  # type: ignore[arg-type]


def test_pretraining_resumes_bit_identically(tmp_path, monkeypatch):
    documents = [corpora.Document(*row) for row in reviews(60)]
    cfg = pretrain_settings()
    whole = pretrain.train(cfg, documents, tmp_path / "whole")
    plan, steps = pretrain.learning_rate_scale, []

    def stop_at_5(step, total, settings):
        steps.append(step)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return plan(step, total, settings)

    monkeypatch.setattr(pretrain, "learning_rate_scale", stop_at_5)
    with pytest.raises(KeyboardInterrupt):
        pretrain.train(cfg, documents, tmp_path / "cut")
    resumed = pretrain.train(cfg, documents, tmp_path / "cut")
    assert steps == [0, 1, 2, 3, 4, 5, 4, 5]  # from the checkpoint behind step 3
    expected = whole.model.state_dict()
    got = resumed.model.state_dict()
    assert all(torch.equal(got[name], expected[name]) for name in expected)
    assert resumed.metrics == whole.metrics
    assert whole.metrics["perplexity"] == pytest.approx(math.exp(whole.metrics["loss"]), rel=1e-3)
    start = pretrain._initial(cfg).state_dict()
    assert not torch.equal(expected["transformer.wte.weight"].cpu(), start["transformer.wte.weight"])
    pretrain.write(resumed, tmp_path / "out")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {f.name for f in (tmp_path / "out").iterdir()}


def test_learning_rate_by_hand():
    cfg = pretrain_settings(warmup_steps=4)
    got = [pretrain.learning_rate_scale(step, 10, cfg) for step in (0, 2, 3, 5, 9)]
    assert got == pytest.approx([0.25, 0.75 * 0.8, 0.7, 0.5, 0.1])  # 1/4 and 3/4 of the warm-up; then the fall alone


def test_an_occupied_port_is_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "pipelines.ui", "--port", str(port)]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.startswith(f"error: port {port} is in use")
    assert run.stderr.count("\n") == 1
