"""One schema for each kind of stage: what its params file holds.

`Key`: what users type for a setting that has another place in conf/.
"""

from dataclasses import dataclass
from typing import Annotated

from preflab.settings.data import (
    ComparisonsSettings,
    CorpusSettings,
    HumanLabelsSettings,
    LabellerSettings,
    ModelSettings,
    QuerySettings,
    TransformerSettings,
)
from preflab.settings.method import (
    EvaluationSettings,
    FrontierSettings,
    InitialSettings,
    OnlineSettings,
    PolicySettings,
    PretrainSettings,
    RewardSettings,
    RuntimeSettings,
    SftSettings,
    SharedSettings,
    TaskSettings,
)
from preflab.settings.ranges import Key, Samples, Seed


@dataclass(slots=True)
class FetchStage:
    corpus: CorpusSettings


@dataclass(slots=True)
class ModelStage:
    model: ModelSettings


@dataclass(slots=True)
class PretrainStage:
    corpus: CorpusSettings
    pretrain: PretrainSettings


@dataclass(slots=True)
class PrepareStage:
    """`classifier_corpus`: whose labelled texts train the sentiment classifiers; null: `corpus`, if it has labels.

    `transformer`: trained too, on the labeller's half; null where no labeller needs it.
    """

    corpus: CorpusSettings
    query: Annotated[QuerySettings, Key("task")]
    classifier_corpus: CorpusSettings | None = None
    transformer: Annotated[TransformerSettings | None, Key("labeller.training")] = None


@dataclass(slots=True)
class HumanLabelsStage:
    human_labels: Annotated[HumanLabelsSettings, Key("labeller.human_labels")]


@dataclass(slots=True)
class ComparisonsStage:
    task: TaskSettings
    labeller: LabellerSettings
    comparisons: ComparisonsSettings
    runtime: RuntimeSettings


@dataclass(slots=True)
class RewardStage:
    """`direct`: no network is trained, the labeller's score is the reward."""

    task: TaskSettings
    initial: Annotated[InitialSettings, Key("collection.initial")]
    direct: Annotated[bool, Key("labels.direct")]
    reward: RewardSettings
    runtime: RuntimeSettings
    seed: Seed

    def unread(self) -> set[str]:
        """Keys of settings that this stage does not read; others may stand in their place."""
        names = ("lr", "batch_size", "epochs", "adam", "adam_eps", "normalize_before", "normalize_after", "shared")
        return {f"reward.{name}" for name in names} if self.direct else set()

    def problems(self, _key: str) -> list[str]:
        num, batch_size = self.initial.num, self.reward.batch_size
        if self.direct:
            return []
        if num == 0:
            return ["collection.initial.num=0: must be a whole number from 1 to labels.num_train"]
        if batch_size < 1 or num % batch_size == 0:
            return []
        return [
            f"labels.num_train={num}: not a multiple of reward.batch_size={batch_size} "
            "(online these are the labels of collection.initial.num)"
        ]


@dataclass(slots=True)
class PpoStage:
    """`online`: labels that come while the policy trains; `shared`: labels on which a shared network trains as well."""

    task: TaskSettings
    policy: PolicySettings
    online: Annotated[OnlineSettings | None, Key("collection")]
    shared: SharedSettings | None
    runtime: RuntimeSettings
    seed: Seed


@dataclass(slots=True)
class SftStage:
    task: TaskSettings
    sft: SftSettings
    runtime: RuntimeSettings
    seed: Seed


@dataclass(slots=True)
class EvaluateStage:
    """`method`: whose responses, see preflab.stages.evaluate; `n` of best-of-n; `frontier`: of the reference alone."""

    task: TaskSettings
    evaluation: EvaluationSettings
    runtime: RuntimeSettings
    method: Annotated[str, Key("method.name")]
    n: Annotated[Samples, Key("method.n")]
    frontier: Annotated[FrontierSettings | None, Key("evaluation.frontier")] = None

    def problems(self, _key: str) -> list[str]:
        if self.frontier is None or self.frontier.contexts <= self.evaluation.contexts:
            return []
        return [
            f"evaluation.frontier.contexts={self.frontier.contexts}: more than "
            f"evaluation.contexts={self.evaluation.contexts}"
        ]


STAGES: dict[str, type] = {
    "fetch": FetchStage,
    "model": ModelStage,
    "pretrain": PretrainStage,
    "prepare": PrepareStage,
    "comparisons": ComparisonsStage,
    "human_labels": HumanLabelsStage,
    "human_comparisons": ComparisonsStage,
    "reward": RewardStage,
    "ppo": PpoStage,
    "sft": SftStage,
    "zero_shot": EvaluateStage,
    "evaluate": EvaluateStage,
    "supervised": EvaluateStage,
    "best_of_n": EvaluateStage,
    "text": EvaluateStage,
}
