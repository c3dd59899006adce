"""Composing each choice of groups once, against Hydra asked anew for every cell."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import workspace
from helpers.command_line import command, error_of
from preflab.errors import PreflabError
from preflab.grid.compose import composer, named
from preflab.grid.overrides import check_typed

CONF = Path(__file__).resolve().parents[1] / "conf"
CHOICES = [
    "task=tldr",
    "task=mock",
    "labels=20k",
    "labels=direct",
    "collection=online",
    "ablation=no_kl",
    "ablation=entropy",
    "policy=small",
    "reward=released",
    "classifier_corpus=imdb",
    "labeller=pool",
    "+corpus@extra=text",
    "corpus@corpus=text",
    "~sft",
]
VALUES = [
    "seed=3",
    "seed=${labels.num_train}",
    "seed='3'",
    "scale=1/20",
    "scale='1/20'",
    "scale=2.5e-2",
    "policy.lr=1e-5",
    "policy.lr=${reward.lr}",
    "policy.lr='${reward.lr}'",
    "policy.adaptive_kl.target=4",
    "policy.adaptive_kl=null",
    "policy.adaptive_kl={target:3,horizon:5}",
    "labels={num_train:7}",
    "task.end_text='a, b = \"c\"'",
    'task.end_text="\\n"',
    "task.prefix=null",
    "task.prefix=''",
    "reward.lr=${oc.select:task.nothing,5}",
    "corpus.query_sources=[imdb,'a b',1]",
    "corpus.query_sources=[]",
    "labeller.pool=[{name: a, weights: {vader: 1.0}}]",
    "+task.paper.policy.gamma=1",
    "+task.paper={policy: {lr: 7}}",
    "+seed=4",
    "++seed=5",
    "++new.key=6",
    "+new.key=[1,2]",
    "+new=null",
    "~policy.adaptive_kl",
    "~seed=1",
    "seed=1,2",
    "seed=int(7)",
    "policy.nothing=1",
    "labels=6k",
    "labels@here=5k",
    "policy.lr=${nothing}",
    "scale=lots",
    "hydra.verbose=true",
    "seed",
]


@pytest.fixture(scope="module")
def quick() -> Iterator[Any]:
    """Ours; it remembers choices of groups from one example to the next, as from one cell to the next."""
    with composer(CONF) as ask:
        yield ask


def plain(overrides: list[str]) -> Any:
    """Hydra's own answer."""
    from hydra import compose
    from omegaconf import OmegaConf

    return OmegaConf.to_container(compose("config", overrides=overrides), resolve=True)


def same(quick: Any, overrides: list[str]) -> None:
    """Equal values of equal types, or an error of both."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        wanted = plain(overrides)
    except (HydraException, OmegaConfBaseException):
        with pytest.raises(PreflabError):
            quick(overrides)
        return
    assert repr(quick(overrides)) == repr(wanted)  # 1 is not 1.0, and keys keep their order


@pytest.mark.parametrize("override", VALUES)
def test_each_kind_of_override_means_what_hydra_says(quick: Any, override: str) -> None:
    same(quick, [override, "task=descriptiveness"])


@settings(max_examples=25, deadline=None)
@given(lines=st.lists(st.sampled_from(CHOICES + VALUES), max_size=6))
def test_overrides_in_any_order_mean_what_hydra_says(quick: Any, lines: list[str]) -> None:
    same(quick, lines)


def test_an_answer_is_its_own_copy(quick: Any) -> None:
    first = quick(["policy.lr=1", "corpus.query_sources=[imdb]"])
    first["policy"]["lr"] = 2
    first["corpus"]["query_sources"].append("x")
    assert quick(["policy.lr=1", "corpus.query_sources=[imdb]"])["policy"]["lr"] == 1
    assert quick([])["corpus"]["query_sources"] == ["imdb"]


def test_a_value_beats_an_ablation_and_the_last_of_two_values_wins(quick: Any) -> None:
    assert quick(["policy.kl_coef=0.5", "ablation=no_kl"])["policy"]["kl_coef"] == 0.5
    assert quick(["seed=1", "labels=20k", "seed=2"])["seed"] == 2


def test_an_answer_that_hydra_refuses_keeps_its_sentence(quick: Any) -> None:
    with pytest.raises(PreflabError, match=r"policy.lrr=1: no such setting in conf/; did you mean 'policy.lr'"):
        quick(["labels=20k", "policy.lrr=1"])


@pytest.mark.parametrize("override", ["labels=200", "labels='200'"])
def test_a_choice_may_be_named_by_a_number(quick: Any, override: str) -> None:
    assert quick([override])["labels"] == {"name": "200", "num_train": 200, "direct": False}
    assert named("labels=200,5k,500", CONF) == "labels='200',5k,'500'"
    assert named("seed=200,300", CONF) == "seed=200,300"
    with pytest.raises(PreflabError, match=r"labels='201': no such choice in conf/labels/; did you mean"):
        quick(["labels=201"])


def test_hydra_is_asked_once_for_a_choice_of_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    import hydra

    asked = []
    real = hydra.compose
    monkeypatch.setattr(hydra, "compose", lambda name, overrides: asked.append(overrides) or real(name, overrides))
    with composer(CONF) as ask:
        for seed in range(5):
            ask([f"seed={seed}", "labels=20k", "scale=1/2"])
            ask(["scale=1/2", f"seed={seed}", "labels=5k", "collection=online"])
    assert asked == [["labels=20k"], ["labels=5k", "collection=online"]]


def test_an_error_quotes_the_override_that_causes_it_alone(quick: Any) -> None:
    with pytest.raises(PreflabError, match=r"^policy\.lr=\$\{nothing\}: Interpolation key 'nothing' not found$"):
        quick(["scale=1/20", "policy.lr=${nothing}", "labels=20k"])
    with pytest.raises(PreflabError, match=r"^policy\.name=small: no such setting; .* conf/policy/ type policy=small$"):
        quick(["scale=1/20", "policy.name=small"])


@pytest.mark.parametrize("override", ["labels=[5k]", "policy=true", "method=null", "task=1.5"])
def test_a_group_takes_one_choice(quick: Any, override: str) -> None:
    group = override.partition("=")[0]
    with pytest.raises(PreflabError, match=rf"^{re.escape(override)}: takes one choice of conf/{group}/: "):
        quick([override])


TYPED = [  # what is typed, and the answer
    (
        ["policy.lr=1e-4", "policy.lr=1e-5"],
        "policy.lr=1e-4 policy.lr=1e-5: policy.lr is typed 2 times; type it once, or ",
    ),
    (["policy.lr=1e-4", "+policy.lr=1e-5"], "type it once, or policy.lr=1e-4,1e-5 to run each value"),
    (["labels=5k", "labels=500,1k"], "or labels=5k,500,1k to run each value"),
    (["hydra.launcher.jobs=1", "hydra.launcher.jobs=2"], "hydra.launcher.jobs is typed 2 times; type it once"),
    (["grid=smoke", "grid=quick"], "grid=smoke grid=quick: grid is typed 2 times; type it once"),
    (["corpus.path=a (1).csv"], "Hydra cannot read this value; put it in quotes: 'corpus.path=\"a (1).csv\"'"),
    (
        ["corpus.path=/Müller"],
        "corpus.path=/Müller: Hydra cannot read this value; put it in quotes: 'corpus.path=\"/Mü",
    ),
    (["task.suffix=a(1),b"], '\'task.suffix="a(1),b"\', or each of several values: \'task.suffix="a(1)","b"\''),
    (["task.suffix=it's"], "put it in quotes: 'task.suffix=\"it'\"'\"'s\"'"),
    (["corpus.query_sources=[a"], "corpus.query_sources=[a: Hydra cannot read this value (no viable alternative"),
    (["labels=5k,,10k"], "labels=5k,,10k: a value is missing beside a comma; expected several values as in seed=1,2"),
    (
        ["labels=5k,", "10k"],
        "10k: expected KEY=VALUE; several values stand without a space between them, as in ",
    ),
    (["ä=1"], "ä=1: 'ä' is no key of a setting; expected one such as policy.lr or labels"),
    (["policy.name=small"], "policy.name=small: no such setting; for the choice in conf/policy/ type policy=small"),
    (["policy.preset=small,paper"], "for the choice in conf/policy/ type policy=small,paper"),
    (["labels.name=5k"], "labels.name=5k: the name of a choice in conf/labels/; type labels=5k, or another word as a "),
]


@pytest.mark.parametrize(("typed", "answer"), TYPED)
def test_what_hydra_would_misread_is_answered_with_what_to_type(typed: list[str], answer: str) -> None:
    with pytest.raises(PreflabError) as error:
        check_typed(typed, CONF)
    assert answer in str(error.value)


def test_what_is_typed_well_passes() -> None:
    lines = [
        ["labels=5k,60k", "collection=offline,online", "seed=1,2", "policy.adaptive_kl.target=range(4,8)"],
        ["corpus.reader=text", "corpus.name=films", "labeller.scorer=classifier", "method=best_of_n", "method.n=4"],
        ['corpus.path="/data/Müller (1).csv"', "+plan=true", "+plan.tflops=200", "grid=smoke", "~policy.adaptive_kl"],
        ["hydra/launcher=joblib", "hydra.launcher.jobs=4", "labels=glob(*k)", "task.prefix=", "task.suffix=a b c"],
    ]
    for line in lines:
        check_typed(line, CONF)


@pytest.mark.parametrize("number", [0, 3, 5, 13])
def test_the_command_answers_before_anything_is_composed(tmp_path: Path, number: int) -> None:
    typed, answer = TYPED[number]
    (tmp_path / "conf").symlink_to(CONF)
    error = error_of(command(tmp_path, "pipelines.sweep", "-m", *typed, "+plan=true"))
    assert answer in error
    assert "scale=" not in error  # of the grid's base


@pytest.mark.parametrize("jobs", ["0", "-1", "99999999999999999999", "two"])
def test_a_number_of_jobs_that_is_none_is_refused(tmp_path: Path, jobs: str) -> None:
    (tmp_path / "conf").symlink_to(CONF)
    line = ["pipelines.sweep", "-m", "labels=5k", f"hydra.launcher.jobs={jobs}"]
    sentence = f"error: hydra.launcher.jobs={jobs}: must be a whole number from 1 to 1,024\n"
    assert error_of(command(tmp_path, *line)) == sentence


def test_the_command_says_everything_that_is_typed_wrong(tmp_path: Path) -> None:
    (tmp_path / "conf").symlink_to(CONF)
    typed = ["policy.name=small", "corpus.path=a(b)", "seed=1", "seed=2"]
    lines = error_of(command(tmp_path, "pipelines.sweep", "-m", *typed)).splitlines()
    assert [line.removeprefix("error:").split()[0] for line in lines] == [
        "policy.name=small:",
        "corpus.path=a(b):",
        "seed=1",
    ]


@pytest.mark.slow
def test_a_sweep_takes_a_number_as_a_name_and_refuses_nonsense(new_workspace: Path) -> None:
    line = ["pipelines.sweep", "-m", "corpus.name=2021", "task.name=7", "labels=5k", "+plan=true"]
    assert "fetch@2021" in workspace.python(new_workspace, *line).stdout
    refused = workspace.python(
        new_workspace, *line[:2], "policy.lr=-1,1e-4", "reward.epochs=0", "+plan=true", check=False
    )
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        "error: reward.epochs=0: must be a whole number from 1 to 10,000",
        "       policy.lr=-1: must be a number above 0 and at most 1",
    ]
