"""Composing each choice of groups once, against Hydra asked anew for every cell."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preflab.errors import PreflabError
from preflab.grid.compose import composer, named

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
