"""What the causal language models of transformers do differently from GPT-2, asked of the model itself.

Plain models take the fast paths of this project: logits are one product of the last hidden states with the vocabulary
matrix, without a bias, and every token sees all earlier tokens.  Others scale, shift or cap their logits, or let a
token see only the nearest; logits, masks and caches are then made by the model's own code, which is slower.
"""

import copy
import inspect
from typing import Any

from torch import Tensor, nn

PLAIN = frozenset(
    {"gemma", "gpt2", "gpt_neox", "llama", "mistral", "olmo", "olmo2", "qwen2", "qwen3", "stablelm"}
)  # ours: each is compared with its own forward pass in tests/test_architectures.py
CACHES = ("past_key_values", "cache_params")  # names of a cache among the arguments of transformers' models


def is_plain(config: Any) -> bool:
    """Whether a model of this transformers config has a plain head and full attention in every layer."""
    layers = getattr(config, "layer_types", None) or ["full_attention"]
    windows = getattr(config, "sliding_window", None) is not None
    return config.model_type in PLAIN and set(layers) == {"full_attention"} and not windows


def accepted(trunk: nn.Module, **arguments: object) -> dict[str, object]:
    """Those of the `arguments` that the trunk's forward pass has: Bloom and Mamba, for one, take no position ids."""
    parameters = inspect.signature(trunk.forward).parameters
    return {name: value for name, value in arguments.items() if name in parameters}


def cache_name(trunk: nn.Module) -> str | None:
    """What the trunk calls its cache, in its arguments and its output; None if it has none."""
    parameters = inspect.signature(trunk.forward).parameters
    return next((name for name in CACHES if name in parameters), None)


def own_logits(lm: Any, hidden: Tensor) -> Tensor:
    """Logits `[rows, vocabulary]` of last hidden states `[rows, width]`, by the model's own code.

    The forward pass runs in a view of the model that shares its parameters; in place of the trunk, a module returns
    the hidden states.
    """
    view = copy.copy(lm)
    view.__dict__["_modules"] = lm._modules | {lm.base_model_prefix: _Echo()}
    logits: Tensor = view(inputs_embeds=hidden[None]).logits
    return logits[0]


class _EchoOutput:
    """A trunk's output of last hidden states alone; what only some trunks return (router logits, states) is None."""

    def __init__(self, hidden: Tensor) -> None:
        self.last_hidden_state = hidden

    def __getitem__(self, index: int) -> Tensor:
        return (self.last_hidden_state,)[index]

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


class _Echo(nn.Module):
    """Stands in for a trunk and returns the embeddings that it gets as its last hidden states."""

    def forward(self, *_: object, inputs_embeds: Tensor, **__: object) -> _EchoOutput:
        return _EchoOutput(inputs_embeds)

    @property
    def decoder(self) -> "_Echo":
        """OPT's causal LM calls its trunk's decoder instead of the trunk."""
        return self
