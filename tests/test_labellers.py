"""Labellers: the two that are here, and a new one that is a single file."""

import argparse
import importlib
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import workspace
from test_stages import WORDS, corpus, model, prepare_settings, reviews  # noqa: F401  model is a fixture
from tiny_model import END, PAD, reward_settings, task

from pipelines import reward as reward_pipeline
from preflab import classifier, code, config, labellers, prepare, reference, reward, scoring
from preflab.comparisons import build, synthetic
from preflab.compose import composer
from preflab.errors import PreflabError
from preflab.evaluate import metrics

RUNTIME = config.Runtime(1, "fp32")
FILMS = """
import numpy as np

class Films:
    def score(self, texts):
        return np.array([2.0 * text.split().count("film") - text.split().count("plot") for text in texts])

def load(queries):
    assert (queries / "train.parquet").exists()
    return Films()
"""


def films(text: str) -> float:
    """What the labeller of the test below scores, in other words."""
    words = text.split()
    return sum({"film": 2.0, "plot": -1.0}.get(word, 0.0) for word in words)


@pytest.fixture
def another(tmp_path, monkeypatch):
    """The package with a folder of a contributor's, who wrote one file."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "films.py").write_text(FILMS)
    monkeypatch.setattr(labellers, "__path__", [*labellers.__path__, str(tmp_path / "more")])
    importlib.invalidate_caches()
    return "films"


@pytest.fixture(scope="module")
def queries(tmp_path_factory, model):  # noqa: F811
    """A folder of the stage prepare, with its two classifiers."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare.run(prepare_settings(), corpus(folder / "corpus", reviews(300)), model, folder / "queries")
    return folder / "queries"


def settings(scorer: str, agreement: float | None) -> config.ComparisonsStage:
    labeller = config.Labeller("shown", scorer, agreement)
    return config.ComparisonsStage(task(), labeller, config.Comparisons(24, 64, 64, 200, 1), RUNTIME)


def test_names_are_the_modules():
    assert {"classifier", "vader"} <= set(labellers.names())


def test_an_unknown_scorer_is_named_with_the_nearest(tmp_path):
    with pytest.raises(PreflabError, match=r"scorer=vadr: .*did you mean 'vader'\? choices: classifier, vader"):
        labellers.load("vadr", tmp_path)
    with (
        composer(workspace.PROJECT / "conf") as compose,
        pytest.raises(PreflabError, match=r"labeller\.scorer=clasifier: .*did you mean 'classifier'"),
    ):
        config.parse("comparisons", stage_of(compose(["labeller.scorer=clasifier"])), "conf")


def stage_of(composed: dict[str, object]) -> dict[str, object]:
    """The settings of the stage comparisons in a whole configuration."""
    return {key: composed[key] for key in ("task", "labeller", "comparisons", "runtime")}


def test_labellers_of_conf():
    with composer(workspace.PROJECT / "conf") as compose:
        found = {
            line: tuple(compose([line])["labeller"].values())
            for line in ("labeller=classifier", "labeller=exact", "labeller=vader", "labeller.scorer=vader")
        }
    assert found == {
        "labeller=classifier": ("classifier", "classifier", 0.42),
        "labeller=exact": ("exact", "classifier", None),
        "labeller=vader": ("vader", "vader", 0.42),
        "labeller.scorer=vader": ("vader", "vader", 0.42),  # the name in tables follows
    }


def test_classifier_is_the_one_that_prepare_trained_for_the_labeller(queries):
    texts = ["we saw the good film .", "it the bad plot ."]
    expected = classifier.load(queries / "classifiers", "labeller").score(texts)
    assert labellers.load("classifier", queries).score(texts).tolist() == expected.tolist()
    assert expected.tolist() != classifier.load(queries / "classifiers", "judge").score(texts).tolist()


def test_vader_by_hand(tmp_path):
    got = labellers.load("vader", tmp_path).score(["good film .", "bad film .", "film .", ""])
    lexicon = np.array([1.9, -2.5, 0.0, 0.0])  # its entries for good and bad
    assert got == pytest.approx(lexicon / np.sqrt(lexicon**2 + 15), abs=5e-5)  # rounded to 4 digits
    assert (got == metrics.vader(["good film .", "bad film .", "film .", ""])).all()  # the judge is the same code
    assert labellers.load("vader", tmp_path).score([]).shape == (0,)


def test_one_new_file_gives_labels_known_reward_and_true_score(tmp_path, queries, model, another):  # noqa: F811
    """Noise-free, so that every choice can be checked."""
    out = tmp_path / "comparisons"
    build.run(settings(another, None), queries, model, out)
    rows = pq.read_table(out / "train.parquet").to_pylist()
    scores = np.array([[films(text_of(sample)) for sample in row["samples"]] for row in rows])
    assert all(row[r["best"]] == row.max() for row, r in zip(scores, rows, strict=True))
    other = labellers.load("classifier", queries).score([text_of(s) for r in rows for s in r["samples"]]).reshape(-1, 4)
    assert any(row[r["best"]] < row.max() for row, r in zip(other, rows, strict=True))
    assert {row["labeller"] for row in rows} == {"shown"}

    calibration = synthetic.load_calibration(out)
    held_out = pq.read_table(out / "heldout.parquet")["samples"].to_pylist()
    reference_scores = np.array([films(text_of(sample)) for row in held_out for sample in row])
    assert (calibration.name, calibration.scorer) == ("shown", another)
    assert (calibration.mean, calibration.std) == pytest.approx((reference_scores.mean(), reference_scores.std()))

    ref = reference.load(RUNTIME, task(), queries, model)
    response = torch.tensor([[4, 4, 5, 6, END, PAD], [5, 5, 5, 7, END, PAD]])  # film film plot we . and three plots
    true = scoring.true_score(queries, ref.tokenizer, calibration, ref.pad_id)(response, response)
    mean, std = calibration.mean, calibration.std
    assert true.tolist() == pytest.approx([(3 - mean) / std, (-3 - mean) / std])

    cfg = config.RewardStage(task(), config.Initial("mock", 0), True, reward_settings(), RUNTIME, 1)
    paths = {"queries": queries, "model": model, "comparisons": out, "out": tmp_path / "reward"}
    found, _ = reward_pipeline.run(cfg, argparse.Namespace(**paths), None)  # records no curve: nothing is trained
    assert json.loads((tmp_path / "reward" / "reward.json").read_text())["scorer"] == another
    again = scoring.load(tmp_path / "reward", model, ref.lm, queries, ref.tokenizer, ref.pad_id)
    expected = [found["gain"] * 3 + found["bias"], found["gain"] * -3 + found["bias"]]
    assert again(response, response).tolist() == pytest.approx(expected)

    def by_hand(_queries: torch.Tensor, responses: torch.Tensor) -> torch.Tensor:
        return torch.tensor([films(text_of(tokens)) for tokens in responses.tolist()])

    raw = reward.reference_scores(by_hand, ref.lm, ref.queries, task(), cfg.reward, ref.pad_id, cfg.seed, "known")
    assert (found["gain"], found["bias"]) == pytest.approx(
        (1 / raw.std(correction=0).item(), -(raw.mean() / raw.std(correction=0)).item())
    )


def text_of(sample: list[int]) -> str:
    return " ".join(WORDS[token] for token in sample if token != PAD)


def test_vader_labels_are_as_noisy_as_asked_although_many_scores_tie(tmp_path, queries, model):  # noqa: F811
    found = build.run(settings("vader", 0.3), queries, model, tmp_path)
    calibration = synthetic.load_calibration(tmp_path)
    samples = pq.read_table(tmp_path / "heldout.parquet")["samples"].to_pylist()
    scores = metrics.vader([text_of(s) for row in samples for s in row]).reshape(-1, 4)
    assert any(len(set(row)) < 4 for row in scores.tolist())  # ties, as VADER has them
    weights = np.exp(scores / calibration.tau)
    p = weights / weights.sum(1, keepdims=True)
    assert (p**2).sum(1).mean() == pytest.approx(0.3)
    assert found["agreement"] == 0.3
    with pytest.raises(PreflabError, match=r"labeller\.agreement=0\.99: out of reach; .* another labeller\.scorer"):
        build.run(settings("vader", 0.99), queries, model, tmp_path)


class Constant:
    """A labeller that finds every text worth `value`."""

    def __init__(self, value: float) -> None:
        self.value = value

    def score(self, texts: list[str]) -> np.ndarray:
        return np.full(len(texts), self.value)


@pytest.mark.parametrize("agreement", [0.42, None])
def test_a_labeller_without_an_opinion_is_an_error(agreement):
    texts = ["film"] * 12  # the std of twelve times 0.1 is not 0 but 1e-17
    for value, problem in ((0.1, "all 12 scores of reference samples are 0.1"), (np.nan, "12 of 12 .* not finite")):
        with pytest.raises(PreflabError, match=rf"labeller\.scorer=odd: {problem}"):
            build.calibrate("odd", agreement, Constant(value), Constant(0.0), texts, "odd")


def test_a_stage_of_comparisons_is_stale_when_a_labeller_or_what_it_imports_changes():
    """The others follow: whatever changes a score changes `labeller.json`, which they read."""
    found = code.modules(workspace.PROJECT, "comparisons")
    package = workspace.PROJECT / "src" / "preflab"
    assert {package / "labellers" / f"{name}.py" for name in labellers.names()} <= found
    assert package / "classifier.py" in found
