"""preflab's own loops as workloads W1–W3, in the precision that `auto` chooses for the machine unless another is asked.

With torchrun (OMP_NUM_THREADS for each process) the ranks share a PPO batch, as in training.
"""

import copy
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.workloads import PPO_EPOCHS, SAMPLES, TEMPERATURE, Size, Stopwatch, gpt2_config, tokens

if TYPE_CHECKING:
    import torch

Run = Callable[[], dict[str, float]]


def ppo_iteration(size: Size, device: "torch.device", precision: str = "auto") -> Run:
    """Rollout, scoring by reference and reward model, `PPO_EPOCHS` epochs of one minibatch."""
    import torch

    from preflab.machine import parallel
    from preflab.models import causal_lm, reward_model
    from preflab.sampling import rollout
    from preflab.sampling.prompt import Prompt
    from preflab.settings.method import PolicySettings, RuntimeSettings, TaskSettings
    from preflab.settings.stages import PpoStage
    from preflab.training import optim, ppo, scoring

    reference, queries = _lm(size, device, precision), tokens(size, size.batch, size.query).to(device)
    policy = causal_lm.Policy(copy.deepcopy(reference).requires_grad_(True))
    scorer = scoring.NetworkScore(reward_model.initial(reference, 0), size.vocab)
    causal_lm.freeze_to_bf16(reference)
    causal_lm.freeze_to_bf16(scorer.model.trunk)
    settings = PolicySettings(
        episodes=size.batch, batch_size=size.batch, nminibatches=1, microbatch_size=None, epochs=PPO_EPOCHS,
        lr=1e-5, adam="tf", adam_eps=1e-5, gamma=1.0, lam=0.95, cliprange=0.2, cliprange_value=0.2, vf_coef=0.1,
        whiten_rewards=True, reward_sign=1, kl_sign=1, penalty="kl", kl_coef=0.15, adaptive_kl=None,
    )  # fmt: skip
    task = TaskSettings(
        "benchmark", size.query, None, None, None, None, size.response, TEMPERATURE, ".", size.response // 2, -1.0
    )
    prompt = Prompt(size.vocab, 0, task.truncate_after)
    cfg = PpoStage(task, settings, None, None, RuntimeSettings(torch.get_num_threads(), precision), 0)
    optimizer = optim.build(settings.adam, policy.parameters(), settings.lr, settings.adam_eps)

    def run() -> dict[str, float]:
        watch = Stopwatch(device)
        batch = parallel.share(causal_lm.trim(queries, size.vocab))
        uniform = parallel.share(rollout.random_numbers(size.batch, size.response, device, 0))
        ro = rollout.sample(policy.lm, batch, uniform, TEMPERATURE, size.vocab, policy.value_head)
        watch.lap("rollout")
        scored = ppo.score(cfg, reference, scorer, lambda q, _: q.new_zeros(len(q)).float(), ro, batch, prompt)
        episodes = ppo.Episodes(*map(parallel.gather, scored))
        watch.lap("scoring")
        ppo.optimise(cfg, policy, optimizer, episodes, settings.kl_coef, 0, size.vocab)
        watch.lap("optimisation")
        return watch.seconds

    return run


def ppo_in_fp32(size: Size, device: "torch.device") -> Run:
    """`ppo_iteration` with `runtime.precision=fp32`."""
    return ppo_iteration(size, device, "fp32")


def ppo_in_bf16(size: Size, device: "torch.device") -> Run:
    """`ppo_iteration` with `runtime.precision=bf16`."""
    return ppo_iteration(size, device, "bf16")


def reward_step(size: Size, device: "torch.device") -> Run:
    """One step of reward training on `size.batch` four-way comparisons."""
    import torch

    from preflab.models import reward_model
    from preflab.training import optim
    from preflab.training.reward import loss_of

    model = reward_model.initial(_lm(size, device), 0).requires_grad_(True)
    optimizer = optim.build("tf", model.parameters(), 1e-5, 1e-5)
    queries = tokens(size, size.batch, size.query).to(device)
    samples = tokens(size, size.batch * SAMPLES, size.response).to(device).unflatten(0, (-1, SAMPLES))
    best = torch.zeros(size.batch, dtype=torch.long, device=device)

    def run() -> dict[str, float]:
        watch = Stopwatch(device)
        optimizer.zero_grad()
        loss_of(model.compare(queries, samples, size.vocab), best).backward()
        optimizer.step()
        watch.lap("total")
        return watch.seconds

    return run


def sampling(size: Size, device: "torch.device") -> Run:
    """Sampling, with the log-probabilities of what was drawn."""
    from preflab.sampling import rollout

    lm, queries = _lm(size, device), tokens(size, size.batch, size.query).to(device)

    def run() -> dict[str, float]:
        watch = Stopwatch(device)
        uniform = rollout.random_numbers(size.batch, size.response, device, 0)
        rollout.sample(lm, queries, uniform, TEMPERATURE, size.vocab)
        watch.lap("total")
        return watch.seconds

    return run


def _lm(size: Size, device: "torch.device", precision: str = "auto") -> Any:
    """A frozen GPT-2 with random weights, as preflab.models.causal_lm.load_causal_lm would load it."""
    import torch
    from transformers import AutoModelForCausalLM

    from preflab.machine import runtime

    runtime.start(torch.get_num_threads() * int(os.environ.get("LOCAL_WORLD_SIZE", "1")), precision)
    torch.manual_seed(0)
    config = gpt2_config(size)
    config.activation_function = "gelu_pytorch_tanh"
    attention = "sdpa" if device.type == "cuda" else "eager"
    lm = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    return lm.to(device).eval().requires_grad_(False)
