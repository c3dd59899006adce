"""Settings of the method: tasks, labels, reward models, policies, supervised fine-tuning, evaluation, pretraining."""

from dataclasses import dataclass
from typing import Annotated

from preflab.settings.data import not_a_multiple
from preflab.settings.ranges import (
    Choices,
    Coefficient,
    Count,
    CountFromZero,
    Epochs,
    Heads,
    Key,
    Layers,
    Length,
    Range,
    Rate,
    Samples,
    Seed,
    Share,
    Threads,
    Vocabulary,
    Width,
)

ADAMS = ("tf", "torch")
PENALTIES = ("kl", "entropy")
PRECISIONS = ("auto", "bf16", "fp32")
STARTS = ("reference", "policy")


@dataclass(slots=True)
class RuntimeSettings:
    """`threads` of a CPU stage (part of the result: sums are split by thread); `precision`: fp32, bf16 or auto."""

    threads: Threads
    precision: Annotated[str, Choices(PRECISIONS)]


@dataclass(slots=True)
class PretrainSettings:
    """Recipe of the `tiny` model; `tokens` in total, lengths in tokens."""

    name: str
    source: str
    vocab_size: Vocabulary
    context: Length
    layers: Layers
    heads: Heads
    width: Width
    tokens: Annotated[int, Range(at_least=1, at_most=1_000_000_000_000)]
    batch_size: Count
    length: Length
    warmup_steps: Count
    muon_lr: Rate
    adam_lr: Rate
    checkpoint_steps: Count
    threads: Threads
    seed: Seed

    def problems(self, key: str) -> list[str]:
        problems = not_a_multiple(key, self, "width", "heads")
        if self.length > self.context:
            problems.append(f"{key}.length={self.length}: more than {key}.context={self.context}")
        return problems


@dataclass(slots=True)
class TaskSettings:
    """A task of paper §2: query window, response, truncation and penalty. Lengths in tokens.

    `prefix` and `suffix` stand around the query in the policy's input alone; without a `truncate_token` responses are
    kept whole and none gets the penalty.
    """

    name: str
    query_length: Length
    start_text: str | None
    end_text: str | None
    prefix: str | None
    suffix: str | None
    response_length: Length
    temperature: Annotated[float, Range(above=0, at_most=100)]
    truncate_token: str | None
    truncate_after: Annotated[int, Range(at_least=0, at_most=1_000_000)]
    penalty: Annotated[float, Range(at_least=-1000, at_most=0)]

    def problems(self, key: str) -> list[str]:
        if self.truncate_token is None or self.truncate_after < self.response_length:
            return []
        return [
            f"{key}.truncate_after={self.truncate_after}: "
            f"must be an index inside {key}.response_length={self.response_length}"
        ]


@dataclass(slots=True)
class InitialSettings:
    """The labels that the stage `reward` trains on: all of them offline, the first N⁰ online, none for `direct`."""

    name: str
    num: CountFromZero


@dataclass(slots=True)
class LabelsSettings:
    """`num_train`: labels in total (N_r of the paper); `direct`: none, the labeller's score is the reward."""

    name: str
    num_train: CountFromZero
    direct: bool

    def problems(self, key: str) -> list[str]:
        if self.direct or self.num_train != 0:
            return []
        return [f"{key}.num_train=0: must be a whole number from 1 to 1,000,000,000, or take labels=direct"]


@dataclass(slots=True)
class CollectionSettings:
    """Offline, or online by l(n) with `retrainings` of the reward model after the first.

    `retrain_from`: where each of them starts, `reference` (paper) or `policy`.  `validation_share`: questions for
    validation, per label.
    """

    name: str
    online: bool
    initial: InitialSettings
    retrainings: Annotated[int, Range(at_least=0, at_most=10_000)]
    retrain_from: Annotated[str, Choices(STARTS)]
    validation_share: Share

    def problems(self, key: str) -> list[str]:
        if not self.online or self.initial.num != 0:
            return []
        return [f"{key}.initial.num=0: must be a whole number from 1 to labels.num_train"]


@dataclass(slots=True)
class RewardSettings:
    """Reward-model training (paper §2.1, released train_reward.py); `batch_size` in comparisons.

    `shared`: one network is reward model and policy (preflab.training.shared_network), which the paper gave up (§4).
    """

    lr: Rate
    batch_size: Count
    epochs: Epochs
    adam: Annotated[str, Choices(ADAMS)]
    adam_eps: Rate
    normalize_before: bool
    normalize_after: bool
    normalize_samples: Count
    rollout_batch: Count
    shared: bool


@dataclass(slots=True)
class AdaptiveKLSettings:
    """`target` in nats per response, `horizon` in episodes."""

    target: Annotated[float, Range(above=0, at_most=10_000)]
    horizon: Annotated[float, Range(above=0, at_most=1_000_000_000)]


@dataclass(slots=True)
class PolicySettings:
    """PPO (paper §2.2, released train_policy.py); `episodes` in total, the sizes in episodes.

    `penalty`: what kl_coef weighs, `kl` from the reference or `entropy` (a bonus for it; the target is then one of
    entropy, in nats per response).  `reward_sign` and `kl_sign` are 1, or −1 for the sign flips of paper §4.
    """

    episodes: Count
    batch_size: Count
    nminibatches: Count
    microbatch_size: Count | None
    epochs: Epochs
    lr: Rate
    adam: Annotated[str, Choices(ADAMS)]
    adam_eps: Rate
    gamma: Share
    lam: Share
    cliprange: Rate
    cliprange_value: Annotated[float, Range(above=0, at_most=1000)]
    vf_coef: Coefficient
    whiten_rewards: bool
    reward_sign: Annotated[int, Range(at_least=-1, at_most=1)]
    kl_sign: Annotated[int, Range(at_least=-1, at_most=1)]
    penalty: Annotated[str, Choices(PENALTIES)]
    kl_coef: Coefficient
    adaptive_kl: AdaptiveKLSettings | None

    def problems(self, key: str) -> list[str]:
        signs = {"reward_sign": self.reward_sign, "kl_sign": self.kl_sign}
        return [
            *(f"{key}.{name}=0: must be 1 or -1" for name, sign in signs.items() if sign == 0),
            *not_a_multiple(key, self, "episodes", "batch_size"),
            *not_a_multiple(key, self, "batch_size", "nminibatches"),
        ]


@dataclass(slots=True)
class EvaluationSettings:
    """`contexts` held-out queries, majority of `votes` of the judge; `rollout_batch` in episodes."""

    contexts: Count
    votes: Annotated[int, Range(at_least=1, at_most=1001)]
    rollout_batch: Count
    seed: Seed

    def problems(self, key: str) -> list[str]:
        return [] if self.votes % 2 else [f"{key}.votes={self.votes}: must be odd, or majorities tie"]


@dataclass(slots=True)
class FrontierSettings:
    """Samples of the reference whose reweighting shows what reward a KL can buy (Figure 3): `contexts` × `samples`."""

    contexts: Count
    samples: Count


@dataclass(slots=True)
class MethodSettings:
    """How a cell's responses come about: `name` one of kinds.METHODS; `n` samples of the reference in best-of-n."""

    name: str
    n: Samples


@dataclass(slots=True)
class SftSettings:
    """Supervised fine-tuning: `lrs` initial learning rates at equal ratios from `lr_low` to `lr_high`.

    `batch_size` in examples; `num_train`, `num_validation`: how many examples at most (null: all).
    """

    lrs: Annotated[int, Range(at_least=1, at_most=1000)]
    lr_low: Rate
    lr_high: Rate
    epochs: Epochs
    batch_size: Count
    dropout: Annotated[float, Range(at_least=0, below=1)]
    adam: Annotated[str, Choices(ADAMS)]
    adam_eps: Rate
    num_train: Count | None
    num_validation: Count | None

    def problems(self, key: str) -> list[str]:
        low, high = self.lr_low, self.lr_high
        if self.lrs > 1 and low >= high:
            return [f"{key}.lr_high={high}: must be above {key}.lr_low={low}, or set {key}.lrs=1"]
        if self.lrs == 1 and low != high:
            return [f"{key}.lrs=1: the only rate is {key}.lr_low={low}; set {key}.lr_high={high} to it too"]
        return []


@dataclass(slots=True)
class SharedSettings:
    """The labels of a policy that is its own reward model: `num_train`, and `batch_size` of them in each step."""

    num_train: Annotated[Count, Key("labels.num_train")]
    batch_size: Annotated[Count, Key("reward.batch_size")]


@dataclass(slots=True)
class OnlineSettings:
    """What an online cell needs beside PPO: labels in total, N⁰, retrainings, and how to train a reward model.

    `max_rounds` of sampling before a question's responses are given up (`comparisons.max_rounds`).
    """

    num_train: Annotated[Count, Key("labels.num_train")]
    num_initial: Annotated[Count, Key("collection.initial.num")]
    retrainings: Annotated[int, Range(at_least=0, at_most=10_000)]
    retrain_from: Annotated[str, Choices(STARTS)]
    validation_share: Share
    max_rounds: Annotated[Count, Key("comparisons.max_rounds")]
    reward: Annotated[RewardSettings, Key("reward")]

    def problems(self, key: str) -> list[str]:
        problems = []
        if self.num_initial > self.num_train:
            problems.append(f"{key}.initial.num={self.num_initial}: more than labels.num_train={self.num_train}")
        if self.reward.shared:
            problems.append("reward.shared=true: trains on labels that are all there; take collection=offline")
        return problems
