"""Labellers: those that are here, a new one that is a single file, and any function by its dotted path."""

import importlib
import json
import textwrap

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from helpers import workspace
from helpers.tiny_model import END, PAD, reward_settings, task
from helpers.toy_reviews import WORDS
from preflab import labellers, plugins
from preflab.comparisons import agreement, synthetic
from preflab.errors import PreflabError
from preflab.evaluate import metrics
from preflab.grid import kinds
from preflab.grid.compose import composer
from preflab.labellers.classifiers import linear
from preflab.records.tracking import SilentRecord
from preflab.sampling import reference
from preflab.settings import data, method, stages
from preflab.settings.load import parse
from preflab.stages import comparisons as comparisons_stages
from preflab.stages import reward as reward_stage
from preflab.training import reward as reward_training
from preflab.training import scoring

LINES = [
    f"labeller={name}"
    for name in (
        *("classifier", "concreteness", "exact", "flip", "pool", "summary", "summary_nocopy", "transformer", "vader"),
    )
]
RUNTIME = method.RuntimeSettings(1, "fp32")
FILMS = """
import numpy as np

class Films:
    def score(self, queries, responses):
        assert len(queries) == len(responses)
        return np.array([2.0 * text.split().count("film") - text.split().count("plot") for text in responses])

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
    monkeypatch.setattr(plugins, "names", lambda package, names=plugins.names: [*names(package), "films"])
    importlib.invalidate_caches()
    return "films"


@pytest.fixture
def function(tmp_path, monkeypatch):
    """A function that writes a user's module to a project's src/ and gives the dotted path of `score` in there."""
    (tmp_path / "src").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "src"))

    def write(text: str, name: str = "score") -> str:
        module = f"users_{len(list((tmp_path / 'src').iterdir()))}_{tmp_path.name}"
        (tmp_path / "src" / f"{module}.py").write_text(text + "\n")
        importlib.invalidate_caches()
        return f"{module}.{name}"

    return write


def settings(scorer: str, agreement: float | None) -> stages.ComparisonsStage:
    labeller = data.LabellerSettings("shown", scorer, "judge", agreement)
    return stages.ComparisonsStage(task(), labeller, data.ComparisonsSettings(24, 64, 64, 200, 1), RUNTIME)


def test_names_are_the_modules():
    assert {"classifier", "concreteness", "summary", "summary_nocopy", "transformer", "vader"} <= set(labellers.names())
    assert not [name for name in labellers.names() if name.startswith("_")]  # what modules share is no choice


def test_an_unknown_scorer_is_named_with_the_nearest(tmp_path):
    with pytest.raises(PreflabError, match=r"scorer=vadr: .*did you mean 'vader'\? choices: accuracy, "):
        labellers.load("vadr", tmp_path)
    with (
        composer(workspace.PROJECT / "conf") as compose,
        pytest.raises(PreflabError, match=r"labeller\.scorer=clasifier: .*did you mean 'classifier'"),
    ):
        parse("comparisons", stage_of(compose(["labeller.scorer=clasifier"])), "conf")


def stage_of(composed: dict[str, object]) -> dict[str, object]:
    """The settings of the stage comparisons in a whole configuration."""
    return kinds.KINDS["comparisons"].owns(composed)


def test_labellers_of_conf():
    with composer(workspace.PROJECT / "conf") as compose:
        found = {
            line: tuple(stage_of(compose([line]))["labeller"].values()) for line in (*LINES, "labeller.scorer=vader")
        }
        for line in LINES:
            parse("comparisons", stage_of(compose([line])), "conf")  # and every check passes
        pool = found.pop("labeller=pool")
    made = [path.stem for path in (workspace.PROJECT / "conf/labeller").glob("[!h]*.yaml")]  # human*: test_human.py
    assert {f"labeller={name}" for name in made} == set(LINES)
    assert found == {
        "labeller=classifier": ("classifier", "classifier", "judge", 0.42, 0.0, []),
        "labeller=concreteness": ("concreteness", "concreteness", "sensorimotor", 0.42, 0.0, []),
        "labeller=exact": ("exact", "classifier", "judge", None, 0.0, []),
        "labeller=flip": ("flip", "classifier", "judge", None, 0.39, []),
        "labeller=summary": ("summary", "summary", "accuracy", 0.46, 0.0, []),
        "labeller=summary_nocopy": ("summary_nocopy", "summary_nocopy", "accuracy", 0.46, 0.0, []),
        "labeller=transformer": ("transformer", "transformer", "judge", 0.42, 0.0, []),
        "labeller=vader": ("vader", "vader", "judge", 0.42, 0.0, []),
        "labeller.scorer=vader": ("vader", "vader", "judge", 0.42, 0.0, []),  # the name in tables follows
    }
    assert pool[:5] == ("pool", "classifier", "judge", 0.42, 0.0)
    assert len(pool[5]) == agreement.TIMES  # a question can be put to so many different ones


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"agreement": 0.25}, r"labeller\.agreement=0\.25: must be a number above 0\.25 and below 1, or null"),
        ({"flip_rate": 0.75}, r"labeller\.flip_rate=0\.75: must be a number of at least 0 and below 0\.75"),
        ({"flip_rate": -0.1}, r"labeller\.flip_rate=-0\.1"),
        ({"pool": [{"name": "a", "weights": {"vader": 1}}]}, r"labeller\.pool: the names are \['a'\]; give it two"),
        ({"pool": [{"name": "a", "weights": {"vader": 1}}] * 2}, r"labeller\.pool: the names are \['a', 'a'\]"),
        ({"pool": [{"name": n, "weights": {"vadr": 1}} for n in "ab"]}, r"scorer=vadr: .*did you mean 'vader'"),
        ({"pool": [{"name": n, "weights": {}} for n in "ab"]}, r"labeller\.pool\[0\]\.weights=\{\}: .*; .*pool\[1\]"),
        (
            {"pool": [{"name": n, "weights": {"vader": 1}, "noise": -1} for n in "ab"]},
            r"pool\[0\]\.noise=-1: .*; .*pool\[1\]",
        ),
        ({"pool": [{"nam": "a"}]}, r"labeller\.pool\[0\]\.nam: no such setting; did you mean 'name'\?"),
        ({"pool": [{"name": "a"}]}, r"labeller\.pool\[0\]\.weights: missing; give it a value"),
        ({"pool": [3]}, r"conf: labeller\.pool\[0\]=3: must be a group of settings: name, weights, noise"),
    ],
)
def test_wrong_noise_is_named(changes, problem):
    with composer(workspace.PROJECT / "conf") as compose:
        stage = stage_of(compose([]))
    stage["labeller"] = stage["labeller"] | changes
    with pytest.raises(PreflabError, match=problem):
        parse("comparisons", stage, "conf")


def test_classifier_is_the_one_that_prepare_trained_for_the_labeller(queries):
    texts = ["we saw the good film .", "it the bad plot ."]
    expected = linear.load(queries / "classifiers", "labeller").score(texts)
    assert labellers.load("classifier", queries).score(["", "bad"], texts).tolist() == expected.tolist()
    assert expected.tolist() != linear.load(queries / "classifiers", "judge").score(texts).tolist()


def test_vader_by_hand(tmp_path):
    got = labellers.load("vader", tmp_path).score(["it is bad ."] * 4, ["good film .", "bad film .", "film .", ""])
    lexicon = np.array([1.9, -2.5, 0.0, 0.0])  # its entries for good and bad
    assert got == pytest.approx(lexicon / np.sqrt(lexicon**2 + 15), abs=5e-5)  # rounded to 4 digits
    assert (got == metrics.vader(["good film .", "bad film .", "film .", ""])).all()  # the judge is the same code
    assert labellers.load("vader", tmp_path).score([], []).shape == (0,)


def test_one_new_file_gives_labels_known_reward_and_true_score(tmp_path, queries, model, another):
    """Noise-free, so that every choice can be checked."""
    out = tmp_path / "comparisons"
    comparisons_stages.run(settings(another, None), queries=queries, model=model, out=out)
    rows = pq.read_table(out / "train.parquet").to_pylist()
    scores = np.array([[films(text_of(sample)) for sample in row["samples"]] for row in rows])
    assert all(row[r["best"]] == row.max() for row, r in zip(scores, rows, strict=True))
    texts = [text_of(s) for r in rows for s in r["samples"]]
    other = labellers.load("classifier", queries).score(texts, texts).reshape(-1, 4)
    assert any(row[r["best"]] < row.max() for row, r in zip(other, rows, strict=True))
    assert {row["labeller"] for row in rows} == {"shown"}

    calibration = synthetic.load_calibration(out)
    held_out = pq.read_table(out / "heldout.parquet")["samples"].to_pylist()
    reference_scores = np.array([films(text_of(sample)) for row in held_out for sample in row])
    assert (calibration.name, calibration.scorer) == ("shown", another)
    assert (calibration.mean, calibration.std) == pytest.approx((reference_scores.mean(), reference_scores.std()))

    ref = reference.load(RUNTIME, task(), queries, model)
    response = torch.tensor([[4, 4, 5, 6, END, PAD], [5, 5, 5, 7, END, PAD]])  # film film plot we . and three plots
    true = scoring.true_score(queries, ref.tokenizer, calibration, PAD)(response, response)
    mean, std = calibration.mean, calibration.std
    assert true.tolist() == pytest.approx([(3 - mean) / std, (-3 - mean) / std])

    cfg = stages.RewardStage(task(), method.InitialSettings("mock", 0), True, reward_settings(), RUNTIME, 1)
    paths = {"queries": queries, "model": model, "comparisons": out, "out": tmp_path / "reward"}
    found, curve = reward_stage.run(cfg, **paths, log=SilentRecord())
    assert not curve  # nothing is trained
    assert json.loads((tmp_path / "reward" / "reward.json").read_text())["scorer"] == another
    again = scoring.load(tmp_path / "reward", model, ref.lm, queries, ref.tokenizer, PAD)
    expected = [found["gain"] * 3 + found["bias"], found["gain"] * -3 + found["bias"]]
    assert again(response, response).tolist() == pytest.approx(expected)

    def by_hand(_queries: torch.Tensor, responses: torch.Tensor) -> torch.Tensor:
        return torch.tensor([films(text_of(tokens)) for tokens in responses.tolist()])

    raw = reward_training.reference_scores(
        by_hand, ref.lm, ref.queries, task(), cfg.reward, ref.prompt, (cfg.seed, "known")
    )
    assert (found["gain"], found["bias"]) == pytest.approx(
        (1 / raw.std(correction=0).item(), -(raw.mean() / raw.std(correction=0)).item())
    )


def text_of(sample: list[int]) -> str:
    return " ".join(WORDS[token] for token in sample if token != PAD)


def test_vader_labels_are_as_noisy_as_asked_although_many_scores_tie(tmp_path, queries, model):
    found = comparisons_stages.run(settings("vader", 0.3), queries=queries, model=model, out=tmp_path).metrics
    calibration = synthetic.load_calibration(tmp_path)
    samples = pq.read_table(tmp_path / "heldout.parquet")["samples"].to_pylist()
    scores = metrics.vader([text_of(s) for row in samples for s in row]).reshape(-1, 4)
    assert any(len(set(row)) < 4 for row in scores.tolist())  # ties, as VADER has them
    weights = np.exp(scores / calibration.tau)
    p = weights / weights.sum(1, keepdims=True)
    assert (p**2).sum(1).mean() == pytest.approx(0.3)
    assert found["agreement"] == 0.3
    with pytest.raises(PreflabError, match=r"labeller\.agreement=0\.99: out of reach; .* another labeller\.scorer"):
        comparisons_stages.run(settings("vader", 0.99), queries=queries, model=model, out=tmp_path)


def test_a_labeller_without_an_opinion_is_an_error(tmp_path, queries, model, function):
    scorer = function("def score(queries, responses):\n    return [0.1] * len(queries)")  # their std is not 0 but 1e-17
    with pytest.raises(PreflabError, match=rf"labeller\.scorer={scorer}: all 256 scores of reference samples are 0\.1"):
        comparisons_stages.run(settings(scorer, None), queries=queries, model=model, out=tmp_path / "out")
    with pytest.raises(PreflabError, match=r"labeller\.scorer=odd: 12 of 12 .* not finite"):
        synthetic.check(np.full((3, 4), np.nan), "odd")


ECHO = """
def score(queries, responses):
    return [sum(word in q.split() for word in r.split()) for q, r in zip(queries, responses, strict=True)]
"""


def test_a_function_by_dotted_path_labels_by_query_and_response(tmp_path, queries, model, function):
    scorer = function(ECHO)
    assert callable(plugins.function(scorer, "labeller.scorer"))
    got = labellers.load(scorer, queries).score(["a b", "c"], ["b a a x", "b"])
    assert got.tolist() == [3.0, 0.0]
    assert got.dtype == np.float64
    comparisons_stages.run(settings(scorer, None), queries=queries, model=model, out=tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "train.parquet").to_pylist()
    for row in rows:
        asked = text_of(row["query"]).split()
        counts = [sum(word in asked for word in text_of(sample).split()) for sample in row["samples"]]
        assert counts[row["best"]] == max(counts)
    assert synthetic.load_calibration(tmp_path / "out").scorer == scorer


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        (
            "import no_such_package",
            "score",
            r"ModuleNotFoundError: No module named 'no_such_package' \(users.*, line 1\)",
        ),
        ("score = (", "score", r"cannot be imported: SyntaxError"),
        ("1 / 0", "score", r"ZeroDivisionError: division by zero \(users_.*\.py, line 1\); mend the module"),
        ("import sys\nsys.exit(3)", "score", r"cannot be imported: SystemExit: 3"),
        ("def scores(queries, responses): ...", "score", r"no score in the module .*did you mean 'scores'\?"),
        ("score = 3", "score", r"is of type int, expected a function"),
        ("def score(texts): ...", "score", r"cannot be called as score\(queries, responses\): too many positional"),
        ("def score(queries, responses, more): ...", "score", r"missing a required argument: 'more'"),
        ("", "not-a-name", r"not a dotted path; expected package\.module\.function"),
    ],
)
def test_a_function_that_cannot_be_loaded_is_an_error_of_the_settings(function, tmp_path, text, name, problem):
    scorer = function(text, name)
    with composer(workspace.PROJECT / "conf") as compose:
        stage = stage_of(compose([f"labeller.scorer='{scorer}'"]))
    with pytest.raises(PreflabError, match=rf"conf: labeller\.scorer={scorer}: .*{problem}"):
        parse("comparisons", stage, "conf")
    with pytest.raises(PreflabError, match=problem):
        labellers.load(scorer, tmp_path)


def test_a_module_that_is_not_there_says_where_to_put_it():
    for scorer in ("no_such_users_module.score", "json.no_such_part.score"):
        module = scorer.removesuffix(".score")
        with pytest.raises(PreflabError, match=f"there is no module {module}; put it into the project's src/"):
            plugins.function(scorer, "labeller.scorer")


def test_a_function_of_the_project_lies_in_src(function, tmp_path, monkeypatch):
    scorer = function(ECHO)
    monkeypatch.chdir(tmp_path)
    assert callable(plugins.function(scorer, "labeller.scorer"))
    monkeypatch.chdir(tmp_path / "src")  # as if src/ were the project: the module is beside conf/
    with pytest.raises(PreflabError, match=rf"{scorer.split('.')[0]}\.py is outside src/"):
        plugins.function(scorer, "labeller.scorer")
    assert plugins.function("textwrap.fill", "labeller.judge") is textwrap.fill  # an installed module may lie anywhere


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("1.0", r"gave scores of shape \(\) for 2 responses, expected \(2,\)"),
        ("[1.0]", r"gave scores of shape \(1,\) for 2 responses"),
        ("[[1.0, 2.0]]", r"gave scores of shape \(1, 2\)"),
        ("[[1.0], [1.0, 2.0]]", r"gave list that is no list of numbers"),
        ("['good', 'bad']", r"gave list that is no list of numbers"),
        ("dict(zip(queries, responses))", r"gave dict that is no list of numbers"),
        ("[1.0, float('inf')]", r"gave inf for response 1 of 2, 'b' \(1 are not finite\)"),
        ("[None, None]", r"gave nan for response 0 of 2, 'a' \(2 are not finite\)"),
    ],
)
def test_a_function_must_give_a_finite_number_for_each_response(function, tmp_path, given, problem):
    scorer = function(f"def score(queries, responses):\n    return {given}")
    with pytest.raises(PreflabError, match=rf"labeller\.scorer={scorer}: {problem}"):
        labellers.load(scorer, tmp_path).score(["x", "y"], ["a", "b"])
