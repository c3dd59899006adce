"""Training runs of milliseconds on tiny models: random comparisons, PPO towards one token, labels collected online."""

from dataclasses import replace

import torch

from helpers.tiny_model import PAD, PROMPT, VOCABULARY, gpt2, policy_stage, reward_settings
from preflab.comparisons import Comparison, synthetic
from preflab.models import causal_lm, reward_model
from preflab.sampling.prompt import Prompt
from preflab.sampling.reference import Reference
from preflab.settings.method import AdaptiveKLSettings, OnlineSettings
from preflab.training import online, ppo

FAVOURITE = 7


def random_comparisons(count: int, seed: int = 0, favourite: int = 7) -> list[Comparison]:
    """Random queries and samples; best is the sample with most of one token."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(count):
        length = int(torch.randint(1, 7, (1,), generator=generator))
        query = torch.randint(VOCABULARY, (6,), generator=generator)
        query[length:] = PAD
        samples = torch.randint(VOCABULARY, (4, 8), generator=generator)
        for sample in samples:
            sample[int(torch.randint(5, 9, (1,), generator=generator)) :] = PAD
        best = int((samples == favourite).sum(1).argmax())
        rows.append(Comparison(query.tolist(), samples.tolist(), best, "test", seed, "reference"))
    return rows


def train_ppo(
    sign: float, folder, seed: int = 1, updates: int = 60, hooks: dict | None = None, **changes: object
) -> ppo.PpoResult:
    """A tiny policy on the share of one token in its responses, in standard deviations of the reference."""
    torch.manual_seed(0)
    lm = gpt2(width=32)
    lm.transformer.wte.weight.data.mul_(0.2)  # a flat reference: every token can be learned
    settings = {
        "episodes": 64 * updates, "batch_size": 64, "lr": 1e-3, "kl_coef": 0.3,
        "adaptive_kl": AdaptiveKLSettings(2.0, 200.0), "task_truncate_after": 0,
    }  # fmt: skip
    stage = policy_stage(seed, **(settings | changes))
    queries = torch.randint(VOCABULARY, (32, 6), generator=torch.Generator().manual_seed(0))
    policy = causal_lm.Policy(gpt2(width=32))
    policy.lm.load_state_dict(lm.state_dict())

    def share(queries, responses):
        return sign * ((responses == FAVOURITE).float().mean(1) - 1 / VOCABULARY) / 0.1

    parts = {"reward": lambda: share, "true_score": share} | (hooks or {})
    return ppo.train(stage, lm, policy, queries, PROMPT._replace(truncate_after=0), ppo.Hooks(**parts), folder)


def online_settings(**changes: object) -> OnlineSettings:
    """24 labels, the first 8 of them from the stage reward; one retraining."""
    base = {
        "num_train": 24,
        "num_initial": 8,
        "retrainings": 1,
        "retrain_from": "reference",
        "validation_share": 0.0,
        "max_rounds": 200,
    }
    return OnlineSettings(**(base | changes), reward=reward_settings())  # type: ignore[arg-type]


def collector(
    stage, settings: OnlineSettings, prompt: Prompt = PROMPT, model: reward_model.RewardModel | None = None
) -> online.Collector:
    """What collects labels by the share of token 7, from `model`, by default one that is not trained."""
    lm = gpt2().requires_grad_(False)
    queries = causal_lm.left_pad(torch.tensor([c.query for c in random_comparisons(32)]), PAD)
    calibration = synthetic.Calibration("test", 0.5, 0.42, 0.5, 0.42, 0.0, 1.0, "classifier", "judge")
    return online.Collector(
        replace(stage, online=settings), Reference(lm, None, queries, prompt),
        random_comparisons(settings.num_initial), model or reward_model.initial(lm, 1),
        lambda _, samples: {"classifier": (samples == 7).sum(2).double().numpy()}, calibration,
    )  # fmt: skip
