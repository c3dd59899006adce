"""All settings of a cell, as conf/config.yaml puts them together and as users know them."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from preflab.settings.data import (
    ComparisonsSettings,
    CorpusSettings,
    HumanLabelsSettings,
    LabellerSettings,
    ModelSettings,
    TransformerSettings,
)
from preflab.settings.load import read
from preflab.settings.method import (
    CollectionSettings,
    EvaluationSettings,
    FrontierSettings,
    LabelsSettings,
    MethodSettings,
    PolicySettings,
    PretrainSettings,
    RewardSettings,
    RuntimeSettings,
    SftSettings,
    TaskSettings,
)
from preflab.settings.ranges import Seed

SAME = "same"  # conf/classifier_corpus/: the corpus of the queries trains the classifiers too
PUBLISHED = ("paper", "released")  # sections of a task file that `policy=paper|released` and `reward=…` read


@dataclass(slots=True)
class LabellerChoice(LabellerSettings):
    """conf/labeller/: with the sentiment transformer that labels, or a file of human labels."""

    training: TransformerSettings | None = None
    human_labels: HumanLabelsSettings | None = None


@dataclass(slots=True)
class EvaluationChoice(EvaluationSettings):
    """conf/evaluation/."""

    frontier: FrontierSettings | None = None


@dataclass(slots=True)
class AblationSettings:
    """conf/ablation/: what it changes stands in other groups."""

    name: str


@dataclass(slots=True)
class CellSettings:
    """`scale`, `episode_scale`: what budgets of labels and episodes are multiplied by, numbers or fractions."""

    corpus: CorpusSettings
    classifier_corpus: CorpusSettings | None
    model: ModelSettings
    pretrain: PretrainSettings
    labeller: LabellerChoice
    labels: LabelsSettings
    collection: CollectionSettings
    reward: RewardSettings
    policy: PolicySettings
    evaluation: EvaluationChoice
    method: MethodSettings
    sft: SftSettings
    task: TaskSettings
    comparisons: ComparisonsSettings
    runtime: RuntimeSettings
    ablation: AblationSettings
    seed: Seed
    scale: str
    episode_scale: str

    def unread(self) -> set[str]:
        """Offline it is labels.num_train, which says the same."""
        return set() if self.collection.online else {"collection.initial.num"}

    def problems(self, _key: str) -> list[str]:
        scales = {"scale": self.scale, "episode_scale": self.episode_scale}
        return [
            f"{key}={scale}: must be a number or fraction above 0 and at most 1,000,000"
            for key, scale in scales.items()
            if not _is_scale(scale)
        ]


def read_cell(composed: dict[str, Any]) -> tuple[Any, list[str]]:
    """A composed configuration as CellSettings (`load.WRONG` if keys or types are wrong), and every problem."""
    settings = dict(composed)
    corpus, policy, task = (settings.get(group) for group in ("classifier_corpus", "policy", "task"))
    if isinstance(corpus, dict) and corpus.get("name") == SAME:
        settings["classifier_corpus"] = None
    if isinstance(task, dict):
        settings["task"] = {key: value for key, value in task.items() if key not in PUBLISHED}
    adaptive = policy.get("adaptive_kl") if isinstance(policy, dict) else None
    if isinstance(policy, dict) and isinstance(adaptive, dict) and adaptive.get("target", 0) is None:
        settings["policy"] = policy | {"adaptive_kl": None}  # a task of the paper with a fixed β
    for key in ("scale", "episode_scale"):
        settings[key] = str(settings.get(key))
    return read(CellSettings, settings)


def with_names(composed: dict[str, Any]) -> dict[str, Any]:
    """The configuration with its names as text: YAML and Hydra take `corpus.name=2021` for a number."""

    def named(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        text = isinstance(value.get("name"), int) and not isinstance(value["name"], bool)
        return {key: str(inner) if key == "name" and text else named(inner) for key, inner in value.items()}

    settings: dict[str, Any] = named(composed)
    return settings


def _is_scale(text: str) -> bool:
    try:
        return 0 < Fraction(text) <= 1_000_000
    except (ValueError, ZeroDivisionError):
        return False
