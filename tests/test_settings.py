"""Settings: every number has a range, and everything that is wrong is said at once."""

import math
import shlex
from collections.abc import Iterator
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from helpers import PROJECT
from preflab.errors import PreflabError
from preflab.grid.checks import checked
from preflab.grid.compose_cache import Answers, remembered
from preflab.settings import data, method
from preflab.settings.cell import CellSettings, with_names
from preflab.settings.load import WRONG, SettingsError, SettingType, load, parse, read, setting_types
from preflab.settings.quotes import in_quotes
from preflab.settings.ranges import Choices, Range
from preflab.settings.stages import STAGES
from preflab.text import cleaning

SCHEMAS = {**STAGES, "cell": CellSettings}
MAY_BE_ZERO = {  # by the last word of the setting
    "seed", "flip_rate", "max_bad", "truncate_after", "penalty", "noise", "dropout", "gamma", "lam", "vf_coef",
    "kl_coef", "retrainings", "validation_share", "weights",
}  # fmt: skip
MAY_BE_NEGATIVE = {"penalty", "weights"}
FITTING = {  # values that fit together, where 16 does not
    "vocabulary": 300, "vocab_size": 300, "passage": 200, "truncate_after": 3, "votes": 3, "lrs": 1, "reward_sign": 1,
    "kl_sign": 1, "penalty": -1.0, "max_bad": 0.0,
}  # fmt: skip
NEVER = [
    math.nan,
    math.inf,
    -math.inf,
    10**20,
    -(10**20),
    1e20,
    -1e20,
    10**400,
    "many",
    "1",
    "nan",
    "",
    True,
    [1],
    {"a": 1},
]


def example(kind: SettingType, name: str = "") -> Any:
    """Settings that a type accepts, with every optional part."""
    if isinstance(kind.allowed, Range):
        low = kind.allowed.above if kind.allowed.at_least is None else kind.allowed.at_least
        return FITTING.get(name, 16 if kind.type is int else (low + 1) / 2)
    if isinstance(kind.allowed, Choices):
        return kind.allowed.all()[0]
    if is_dataclass(kind.type):
        return {name: example(inner, name) for name, inner in setting_types(kind.type).items()}
    if kind.inner:
        return [example(kind.inner)] if kind.type is list else {"vader": example(kind.inner)}
    return {bool: name == "online", str: "vader" if name == "scorer" else "1"}[kind.type]


Place = tuple[tuple[Any, ...], str, SettingType]  # of a number in an example, what users type for it, its type


def numbers(kind: SettingType, path: tuple[Any, ...] = (), key: str = "") -> Iterator[Place]:
    """Every number of an example."""
    key = kind.key or key
    if is_dataclass(kind.type):
        for name, inner in setting_types(kind.type).items():
            yield from numbers(inner, (*path, name), f"{key}.{name}" if key else name)
    elif kind.inner:
        name = 0 if kind.type is list else "vader"
        yield from numbers(kind.inner, (*path, name), f"{key}[0]" if name == 0 else f"{key}.{name}")
    elif kind.type in (int, float):
        yield path, key, kind


def replaced(settings: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at one place."""
    if not path:
        return value
    if isinstance(settings, list):
        return [replaced(settings[0], path[1:], value)]
    return settings | {path[0]: replaced(settings[path[0]], path[1:], value)}


def nonsense(path: tuple[Any, ...], kind: SettingType) -> list[Any]:
    """What a number may never be, decided by its name alone."""
    name = next(word for word in reversed(path) if isinstance(word, str) and word != "vader")
    values = NEVER + ([] if kind.nullable else [None]) + ([0.5, 2.5] if kind.type is int else [])
    values += [] if name in MAY_BE_ZERO else [0]
    return values + ([] if name in MAY_BE_NEGATIVE or name.endswith("_sign") else [-1, -1e-9])


SEEN = {  # numeric fields of each schema
    "fetch": 3, "model": 0, "pretrain": 17, "prepare": 17, "human_labels": 1, "comparisons": 15,
    "human_comparisons": 15, "reward": 14, "ppo": 37, "sft": 16, "zero_shot": 13, "evaluate": 13, "supervised": 13,
    "best_of_n": 13, "text": 13, "cell": 90,
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEMAS)
def test_no_numeric_setting_takes_nonsense(name: str) -> None:
    whole = SettingType(SCHEMAS[name], nullable=False, allowed=None, key=None, inner=None)
    good = example(whole)
    typed, problems = read(SCHEMAS[name], good)
    assert typed is not WRONG
    seen = 0
    for path, key, kind in numbers(whole):
        assert isinstance(kind.allowed, Range), f"{key} has no range"
        assert not [problem for problem in problems if problem.startswith(f"{key}=")]
        for value in nonsense(path, kind):
            _, refused = read(SCHEMAS[name], replaced(good, path, value))
            named = [problem for problem in refused if problem.startswith(f"{key}=")]
            assert named, f"{key}={value!r} is accepted"
            assert "must be a" in named[0] or "must be 1 or -1" in named[0]
        seen += 1
    assert seen == SEEN[name]


def test_every_schema_was_walked() -> None:
    assert SEEN.keys() == SCHEMAS.keys()
    assert sum(SEEN.values()) == 290


IN_LISTS = {"labeller.pool[0].weights.vader", "labeller.pool[0].noise"}  # no override names a part of a list
BASE = [  # with every optional part
    "collection=online", "labeller=transformer", "classifier_corpus=imdb",
    "++labeller.human_labels={name: a, source: path, path: conf}", "++evaluation.frontier={contexts: 8, samples: 16}",
]  # fmt: skip
TYPED = ["nan", "inf", "-inf", "1e400", "1e30", "99999999999999999999", "-99999999999999999999", "many", "'1'", "true"]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    root = tmp_path_factory.mktemp("composed")
    (root / "conf").symlink_to(PROJECT / "conf")
    with remembered(root) as found:
        yield found


def refusal(answers: Answers, overrides: list[str]) -> str:
    """The error of a cell; "" if it is accepted."""
    try:
        checked(answers.compose(overrides), answers.typed)
    except PreflabError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("value", [*TYPED, "0", "-1", "0.5"])
def test_nonsense_is_refused_when_a_cell_is_composed(answers: Answers, value: str) -> None:
    cell = SettingType(CellSettings, nullable=False, allowed=None, key=None, inner=None)
    places = [place for place in numbers(cell) if place[1] not in IN_LISTS]
    assert len(places) == 88
    if value == "0":
        places = [place for place in places if place[0][-1] not in MAY_BE_ZERO]
    if value == "-1":
        places = [place for place in places if not place[1].endswith(("_sign", *MAY_BE_NEGATIVE))]
    if value == "0.5":
        places = [place for place in places if place[2].type is int]
    assert len(places) >= 60
    assert refusal(answers, BASE[:3]) == ""
    refused = refusal(answers, [*BASE, *(f"++{key}={value}" for _, key, _ in places)]).split("\n")
    for _, key, _ in places:
        assert any(line.startswith(f"{key}=") and "must be" in line for line in refused), key


def test_all_problems_of_a_cell_are_said_at_once_with_key_and_range(answers: Answers) -> None:
    wrong = ["policy.lr=-1", "policy.adam=adamw", "reward.epochs=0", "seed=-1", "labels.direct=1", "sft.dropout=nan"]
    assert refusal(answers, [*wrong, "evaluation.votes=2"]).split("\n") == [
        "labels.direct=1: must be true or false",
        "reward.epochs=0: must be a whole number from 1 to 10,000",
        "policy.lr=-1: must be a number above 0 and at most 1",
        "policy.adam=adamw: choices: tf, torch",
        "evaluation.votes=2: must be odd, or majorities tie",
        "sft.dropout=nan: must be a number of at least 0 and below 1",
        "seed=-1: must be a whole number from 0 to 4,294,967,295",
    ]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["policy.adaptive_kl=5"], "policy.adaptive_kl=5: must be a group of settings: target, horizon"),
        (["policy.adaptive_kl.target=0"], "policy.adaptive_kl.target=0: must be a number above 0 and at most 10,000"),
        (["corpus.passage=200"], "corpus.passage=200: the choice in force does not set it; type +corpus.passage=200"),
        (["++corpus.passage=99"], "corpus.passage=99: must be a whole number from 100 to 1,000,000, or null"),
        (["++corpus.files=x"], "corpus.files=x: must be a list, as in [a, b]"),
        (["corpus.version=3.10"], "corpus.version=3.1: must be text; type it in quotes: 'corpus.version=\"3.1\"'"),
        (["~sft"], "sft: missing; give it a value"),
        (["+policy.lrr=1"], "policy.lrr: no such setting; did you mean 'lr'?"),
        (["+sede=1"], "sede: no such setting; did you mean 'seed'?"),
        (["seed='3'"], "seed=3: must be a whole number from 0 to 4,294,967,295, without quotes"),
        (["labels.num_train=0"], "labels.num_train=0: must be a whole number from 1"),
        (["labels.num_train=12"], "labels.num_train=12: not a multiple of reward.batch_size=8"),
        (["collection=online", "collection.initial.num=0"], "collection.initial.num=0: must be a whole number from"),
        (["policy.reward_sign=0"], "policy.reward_sign=0: must be 1 or -1"),
        (["pretrain.length=500"], "pretrain.length=500: more than pretrain.context=128"),
        (["labeller=transformer", "labeller.training.width=7"], "labeller.training.width=7: not a multiple of labell"),
        (["labeller=human", "labeller.human_labels.max_bad=1.5"], "labeller.human_labels.max_bad=1.5: must be a whole"),
        (["labeller.pool=[{name: a, weights: {vader: inf}}]"], "labeller.pool[0].weights.vader=inf: must be a numb"),
        (["labeller.judge=vadr"], "labeller.judge=vadr: no such scorer in preflab.labellers; did you mean 'vader'?"),
        (["scale=1e30"], "scale=1e+30: must be a number or fraction above 0 and at most 1,000,000"),
        (["method.name=ppo"], "method.name=ppo: choices: "),
    ],
)
def test_what_is_wrong_is_one_sentence(answers: Answers, overrides: list[str], sentence: str) -> None:
    lines = refusal(answers, overrides).split("\n")
    assert any(line.startswith(sentence) for line in lines), lines


@pytest.mark.parametrize("override", ["corpus.name=2021", "task.name=7", "labels.name=200", "model.name=1_000"])
def test_a_number_as_a_name_is_text(answers: Answers, override: str) -> None:
    group, _, number = override.partition("=")
    settings = answers.compose([override])
    assert refusal(answers, [override]) == ""
    assert settings[group.partition(".")[0]]["name"] == number.replace("_", "")


def test_names_alone_become_text() -> None:
    settings = {"a": {"name": 3, "n": 3}, "seed": 1, "b": {"c": {"name": True}}}
    assert with_names(settings) == {"a": {"name": "3", "n": 3}, "seed": 1, "b": {"c": {"name": True}}}


def test_a_params_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    reward = method.RewardSettings(1e-5, 8, 1, "tf", 1e-5, True, True, 32, 16, False)
    task = data.QuerySettings(24, None, ".")
    file = tmp_path / "prepare.yaml"
    corpus = data.CorpusSettings("7", "text", source="path", path="texts", limit=5)
    file.write_text(yaml.safe_dump({"corpus": asdict(corpus), "query": asdict(task)}))
    stage = load("prepare", file)
    assert (stage.corpus, stage.query, stage.classifier_corpus, stage.transformer) == (corpus, task, None, None)
    assert read(method.RewardSettings, asdict(reward)) == (reward, [])
    typed, _ = read(method.RewardSettings, asdict(reward) | {"lr": 1})
    assert isinstance(typed.lr, float)  # as it will be in params/: 1 and 1.0 are one stage
    with pytest.raises(PreflabError, match=r"absent\.yaml: not found; `dvc repro params` writes it"):
        load("prepare", tmp_path / "absent.yaml")


def test_the_problems_of_a_stage_are_a_list_and_a_sentence() -> None:
    with pytest.raises(SettingsError) as error:
        parse("prepare", {"corpus": {"name": "x", "reader": "txt"}, "quer": 3}, "a.yaml")
    assert error.value.problems == [
        "quer: no such setting; did you mean 'query'? choices: classifier_corpus, corpus, query, transformer",
        "corpus.reader=txt: did you mean 'text'? choices: movie_reviews, story, table, text",
        "corpus.package===: name a package and its version",
        "query: missing; give it a value",
    ]
    assert str(error.value) == "a.yaml: " + "; ".join(error.value.problems)


def test_a_direct_reward_does_not_read_how_to_train() -> None:
    whole = SettingType(STAGES["reward"], nullable=False, allowed=None, key=None, inner=None)
    settings = replaced(example(whole), ("reward", "lr"), 0.0) | {"initial": {"name": "direct", "num": 0}}
    assert read(STAGES["reward"], settings | {"direct": True})[1] == []
    assert read(STAGES["reward"], settings)[1] == [
        "reward.lr=0.0: must be a number above 0 and at most 1",
        "collection.initial.num=0: must be a whole number from 1 to labels.num_train",
    ]


def test_cleaners_are_the_functions_of_text_cleaning() -> None:
    assert tuple(cleaning.CLEANERS) == data.CLEANERS


@given(texts=st.lists(st.text(st.characters(exclude_characters="$", exclude_categories=["Cs", "Cc"])), min_size=1))
def test_hydra_reads_a_text_in_quotes_as_it_stands(texts: list[str]) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (word,) = shlex.split(in_quotes("task.suffix", *texts))
    override = OverridesParser.create().parse_override(word)
    values = list(override.value().list) if len(texts) > 1 else [override.value()]
    assert [getattr(value, "text", value) for value in values] == texts


def test_an_unknown_source_of_a_model_has_a_did_you_mean() -> None:
    with pytest.raises(PreflabError, match=r"model\.source=hubb: did you mean 'hub'"):
        parse("model", {"model": {"name": "x", "source": "hubb", "path": "a"}}, "conf")
