"""settings.method"""

from dataclasses import dataclass

ADAMS = ["tf", "torch"]


PENALTIES = ["kl", "entropy"]


@dataclass(slots=True)
class RuntimeSettings:
    """`threads` of a CPU stage (part of the result: sums are split by thread); `precision`: fp32, bf16 or auto."""

    threads: int
    precision: str


@dataclass(slots=True)
class PretrainSettings:
    """Recipe of the `tiny` model; `tokens` in total, lengths in tokens."""

    name: str
    source: str
    vocab_size: int
    context: int
    layers: int
    heads: int
    width: int
    tokens: int
    batch_size: int
    length: int
    warmup_steps: int
    muon_lr: float
    adam_lr: float
    checkpoint_steps: int
    threads: int
    seed: int


@dataclass(slots=True)
class TaskSettings:
    """A task of paper §2: query window, response, truncation and penalty. Lengths in tokens.

    `prefix` and `suffix` stand around the query in the policy's input alone; without a `truncate_token` responses are
    kept whole and none gets the penalty.
    """

    name: str
    query_length: int
    start_text: str | None
    end_text: str | None
    prefix: str | None
    suffix: str | None
    response_length: int
    temperature: float
    truncate_token: str | None
    truncate_after: int
    penalty: float


@dataclass(slots=True)
class InitialSettings:
    """The labels that the stage `reward` trains on: all of them offline, the first N⁰ online."""

    name: str
    num: int


@dataclass(slots=True)
class LabelsSettings:
    """`num_train`: labels in total (N_r of the paper); `direct`: none, the labeller's score is the reward."""

    name: str
    num_train: int
    direct: bool


@dataclass(slots=True)
class CollectionSettings:
    """Offline, or online by l(n) with `retrainings` of the reward model after the first.

    `retrain_from`: where each of them starts, `reference` (paper) or `policy`.
    """

    name: str
    online: bool
    initial: InitialSettings
    retrainings: int
    retrain_from: str
    validation_share: float


@dataclass(slots=True)
class RewardSettings:
    """Reward-model training (paper §2.1, released train_reward.py); `batch_size` in comparisons.

    `shared`: one network is reward model and policy (preflab.training.shared_network), which the paper gave up (§4).
    """

    lr: float
    batch_size: int
    epochs: int
    adam: str
    adam_eps: float
    normalize_before: bool
    normalize_after: bool
    normalize_samples: int
    rollout_batch: int
    shared: bool


@dataclass(slots=True)
class AdaptiveKLSettings:
    """`target` in nats per response, `horizon` in episodes."""

    target: float
    horizon: float


@dataclass(slots=True)
class PolicySettings:
    """PPO (paper §2.2, released train_policy.py); `episodes` in total, the sizes in episodes.

    `penalty`: what kl_coef weighs, `kl` from the reference or `entropy` (a bonus for it; the target is then one of
    entropy, in nats per response).  `reward_sign` and `kl_sign` are 1, or −1 for the sign flips of paper §4.
    """

    episodes: int
    batch_size: int
    nminibatches: int
    microbatch_size: int | None
    epochs: int
    lr: float
    adam: str
    adam_eps: float
    gamma: float
    lam: float
    cliprange: float
    cliprange_value: float
    vf_coef: float
    whiten_rewards: bool
    reward_sign: int
    kl_sign: int
    penalty: str
    kl_coef: float
    adaptive_kl: AdaptiveKLSettings | None


@dataclass(slots=True)
class EvaluationSettings:
    """`contexts` held-out queries, majority of `votes` of the judge."""

    contexts: int
    votes: int
    rollout_batch: int
    seed: int


@dataclass(slots=True)
class FrontierSettings:
    """Samples of the reference whose reweighting shows what reward a KL can buy (Figure 3): `contexts` × `samples`."""

    contexts: int
    samples: int


@dataclass(slots=True)
class MethodSettings:
    """How a cell's responses come about: `name` one of kinds.METHODS; `n` samples of the reference in best-of-n."""

    name: str
    n: int


@dataclass(slots=True)
class SftSettings:
    """Supervised fine-tuning: `lrs` initial learning rates at equal ratios from `lr_low` to `lr_high`.

    `batch_size` in examples; `num_train`, `num_validation`: at most so many of them, null: all.
    """

    lrs: int
    lr_low: float
    lr_high: float
    epochs: int
    batch_size: int
    dropout: float
    adam: str
    adam_eps: float
    num_train: int | None
    num_validation: int | None


@dataclass(slots=True)
class SharedSettings:
    """The labels of a policy that is its own reward model: `num_train`, and `batch_size` of them in each step."""

    num_train: int
    batch_size: int


@dataclass(slots=True)
class OnlineSettings:
    """What an online cell needs beside PPO: labels in total, N⁰, retrainings, and how to train a reward model.

    `max_rounds` of sampling before a question's responses are given up (`comparisons.max_rounds`).
    """

    num_train: int
    num_initial: int
    retrainings: int
    retrain_from: str
    validation_share: float
    max_rounds: int
    reward: RewardSettings
