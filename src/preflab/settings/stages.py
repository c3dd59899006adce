"""settings.stages"""

from dataclasses import dataclass

from preflab.settings.data import Comparisons, Corpus, LabelFile, Labeller, Model, Query, Transformer
from preflab.settings.method import (
    Evaluation,
    Frontier,
    Initial,
    Online,
    Policy,
    Pretrain,
    Reward,
    Runtime,
    Sft,
    Shared,
    Task,
)

# --- one schema per stage: what its params file holds -----------------------------------------------------------------


@dataclass(slots=True)
class FetchStage:
    corpus: Corpus


@dataclass(slots=True)
class ModelStage:
    model: Model


@dataclass(slots=True)
class PretrainStage:
    corpus: Corpus
    pretrain: Pretrain


@dataclass(slots=True)
class PrepareStage:
    """`classifier_corpus`: whose labelled texts train the sentiment classifiers; null: `corpus`, if it has labels.

    `transformer`: trained too, on the labeller's half; null where no labeller needs it.
    """

    corpus: Corpus
    query: Query
    classifier_corpus: Corpus | None = None
    transformer: Transformer | None = None


@dataclass(slots=True)
class HumanLabelsStage:
    human_labels: LabelFile


@dataclass(slots=True)
class ComparisonsStage:
    task: Task
    labeller: Labeller
    comparisons: Comparisons
    runtime: Runtime


@dataclass(slots=True)
class RewardStage:
    task: Task
    initial: Initial
    direct: bool
    reward: Reward
    runtime: Runtime
    seed: int


@dataclass(slots=True)
class PolicyStage:
    """`online`: labels that come while the policy trains; `shared`: labels on which a shared network trains as well."""

    task: Task
    policy: Policy
    online: Online | None
    shared: Shared | None
    runtime: Runtime
    seed: int


@dataclass(slots=True)
class SftStage:
    task: Task
    sft: Sft
    runtime: Runtime
    seed: int


@dataclass(slots=True)
class EvaluateStage:
    """`method`: whose responses, see preflab.stages.evaluate; `n` of best-of-n; `frontier`: of the reference alone."""

    task: Task
    evaluation: Evaluation
    runtime: Runtime
    method: str
    n: int
    frontier: Frontier | None = None


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
    "ppo": PolicyStage,
    "sft": SftStage,
    "zero_shot": EvaluateStage,
    "evaluate": EvaluateStage,
    "supervised": EvaluateStage,
    "best_of_n": EvaluateStage,
    "text": EvaluateStage,
}
