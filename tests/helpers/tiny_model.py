"""The smallest models of the tests: random GPT-2 and Llama of a few thousand parameters, made in milliseconds."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from preflab.sampling.prompt import Prompt
from preflab.settings.method import AdaptiveKLSettings, PolicySettings, RewardSettings, RuntimeSettings, TaskSettings
from preflab.settings.stages import PpoStage

VOCABULARY = 11
PAD = VOCABULARY
END = 3
PROMPT = Prompt(PAD, END, truncate_after=4)  # of `task`


def gpt2(seed: int = 0, width: int = 16, vocabulary: int = VOCABULARY) -> GPT2LMHeadModel:
    """Two layers; big random weights, so that attention and positions matter."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=vocabulary, n_positions=32, n_embd=width, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0,
        initializer_range=0.3, resid_pdrop=0.1, embd_pdrop=0.1, attn_pdrop=0.1,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def llama(seed: int = 0) -> LlamaForCausalLM:
    """Two layers with rotary positions and grouped queries, as SmolLM2."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=32, initializer_range=0.3, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def task(**changes: object) -> TaskSettings:
    """A task of six-token queries and eight-token responses."""
    base = {
        "name": "test", "query_length": 6, "start_text": ".", "end_text": ".", "prefix": None,
        "suffix": None, "response_length": 8, "temperature": 0.7,
        "truncate_token": ".", "truncate_after": 4, "penalty": -1.0,
    }  # fmt: skip
    return TaskSettings(**(base | changes))  # type: ignore[arg-type]


def reward_settings(**changes: object) -> RewardSettings:
    """Quick reward-model training."""
    base = {
        "lr": 1e-2, "batch_size": 4, "epochs": 1, "adam": "tf", "adam_eps": 1e-5,
        "normalize_before": True, "normalize_after": True, "normalize_samples": 32, "rollout_batch": 16,
        "shared": False,
    }  # fmt: skip
    return RewardSettings(**(base | changes))  # type: ignore[arg-type]


def policy_settings(**changes: object) -> PolicySettings:
    """Quick PPO."""
    base = {
        "episodes": 64, "batch_size": 16, "nminibatches": 1, "microbatch_size": None, "epochs": 4,
        "lr": 1e-3, "adam": "tf", "adam_eps": 1e-5,
        "gamma": 1.0, "lam": 0.95, "cliprange": 0.2, "cliprange_value": 0.2, "vf_coef": 0.1, "whiten_rewards": True,
        "reward_sign": 1, "kl_sign": 1, "penalty": "kl", "kl_coef": 0.15, "adaptive_kl": AdaptiveKLSettings(6.0, 100.0),
    }  # fmt: skip
    return PolicySettings(**(base | changes))  # type: ignore[arg-type]


def policy_stage(seed: int = 1, **changes: object) -> PpoStage:
    """A stage around `policy_settings`; `task_…` changes go to the task."""
    of_task = {k[5:]: v for k, v in changes.items() if k.startswith("task_")}
    of_policy = {k: v for k, v in changes.items() if not k.startswith("task_")}
    return PpoStage(task(**of_task), policy_settings(**of_policy), None, None, RuntimeSettings(1, "fp32"), seed)
