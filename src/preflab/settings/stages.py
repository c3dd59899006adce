"""settings.stages"""

from dataclasses import dataclass

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

# --- one schema per stage: what its params file holds -----------------------------------------------------------------


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
    query: QuerySettings
    classifier_corpus: CorpusSettings | None = None
    transformer: TransformerSettings | None = None


@dataclass(slots=True)
class HumanLabelsStage:
    human_labels: HumanLabelsSettings


@dataclass(slots=True)
class ComparisonsStage:
    task: TaskSettings
    labeller: LabellerSettings
    comparisons: ComparisonsSettings
    runtime: RuntimeSettings


@dataclass(slots=True)
class RewardStage:
    task: TaskSettings
    initial: InitialSettings
    direct: bool
    reward: RewardSettings
    runtime: RuntimeSettings
    seed: int


@dataclass(slots=True)
class PpoStage:
    """`online`: labels that come while the policy trains; `shared`: labels on which a shared network trains as well."""

    task: TaskSettings
    policy: PolicySettings
    online: OnlineSettings | None
    shared: SharedSettings | None
    runtime: RuntimeSettings
    seed: int


@dataclass(slots=True)
class SftStage:
    task: TaskSettings
    sft: SftSettings
    runtime: RuntimeSettings
    seed: int


@dataclass(slots=True)
class EvaluateStage:
    """`method`: whose responses, see preflab.stages.evaluate; `n` of best-of-n; `frontier`: of the reference alone."""

    task: TaskSettings
    evaluation: EvaluationSettings
    runtime: RuntimeSettings
    method: str
    n: int
    frontier: FrontierSettings | None = None


STAGES: dict[str, type] = {
    "fetch": FetchStage,
    "labelled": FetchStage,
    "model": ModelStage,
    "pretrain": PretrainStage,
    "prepare": PrepareStage,
    "prepare_labelled": PrepareStage,
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
