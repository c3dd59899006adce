"""Causal language models of transformers with scalar heads; padding and position ids live here and nowhere else.

Queries are stored padded on the right with `pad_id`, an id outside the vocabulary, as in the original; on the way into
a model they are padded on the left, so that every response starts at the same column.  Pads are masked, skipped by the
position ids, and replaced by id 0 before the embedding (HF blog, general detail 3).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from preflab.errors import PreflabError
from preflab.machine import runtime
from preflab.models import architectures
from preflab.models import logprobs as logprobs_models

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Inputs(NamedTuple):
    """What a transformers model needs for padded tokens: each `[batch, length]`."""

    input_ids: Tensor
    attention_mask: Tensor
    position_ids: Tensor


def inputs(tokens: Tensor, pad_id: int) -> Inputs:
    """Mask, position ids (the number of real tokens before each) and ids without pads, for pads anywhere."""
    mask = tokens != pad_id
    positions = (mask.long().cumsum(1) - 1).clamp(min=0)
    return Inputs(tokens.masked_fill(~mask, 0), mask.long(), positions)


def additive_mask(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """What attention adds to its logits, `[batch, 1, from, to]`: 0 where `visible` `[batch, from, to]`, else lowest."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, torch.finfo(dtype).min)[:, None]


def left_pad(tokens: Tensor, pad_id: int) -> Tensor:
    """`tokens` `[batch, length]` with all pads moved to the left, order kept."""
    order = torch.argsort((tokens != pad_id).int(), dim=1, stable=True)
    return tokens.gather(1, order)


def right_pad(tokens: Tensor, pad_id: int) -> Tensor:
    """`tokens` `[batch, length]` with all pads moved to the right, the form in which queries are stored."""
    order = torch.argsort((tokens == pad_id).int(), dim=1, stable=True)
    return tokens.gather(1, order)


def load_causal_lm(folder: Path, device: torch.device) -> Any:
    """The base model in `folder`, fp32, in eval mode: dropout is off for policy and reward model (paper §2.1).

    Raises PreflabError if a weight is missing, of another shape, or not part of the model: transformers would leave the
    first two random.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if getattr(config, "activation_function", None) == "gelu_new":
        config.activation_function = "gelu_pytorch_tanh"  # the same function in one kernel instead of eight
    # None: sdpa where the architecture has it; on a CPU, short sequences train a fifth faster without
    attention = None if device.type == "cuda" else "eager"
    model, loading = AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=torch.float32, attn_implementation=attention, local_files_only=True,
        ignore_mismatched_sizes=True, output_loading_info=True,
    )  # fmt: skip
    _check_loading(folder, model, loading)
    return model.to(device).eval()


def _check_loading(folder: Path, model: nn.Module, loading: dict[str, Any]) -> None:
    """`loading`: transformers' lists of weights without a value and of values without a place.

    Masks that old checkpoints store as buffers have no place and need none.
    """
    buffers = {name for name, _ in model.named_buffers()}
    constants = {name for name in loading["unexpected_keys"] if name in buffers or name.endswith(".masked_bias")}
    problems = {
        "missing": loading["missing_keys"],
        "not part of the model": set(loading["unexpected_keys"]) - constants,
        "of another shape": {name for name, *_ in loading["mismatched_keys"]},
    }
    texts = [f"{_first(names)} {problem}" for problem, names in problems.items() if names]
    if texts:
        raise PreflabError(
            f"{folder}: weights do not fit {type(model).__name__}: {'; '.join(texts)}; expected the names and shapes "
            "that its save_pretrained writes"
        )


def _first(names: Any) -> str:
    """The first three of the `names`, and how many more there are."""
    listed = sorted(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")


def freeze_to_bf16(network: nn.Module) -> None:
    """Take the network (a causal LM or a trunk) out of training; with bf16 products its matrices become bf16, in place.

    That halves its memory.  Embeddings, biases and the vocabulary matrix stay fp32, as they are used so
    (runtime.products).
    """
    from transformers.pytorch_utils import Conv1D

    network.requires_grad_(False)
    if runtime.precision() == "fp32":
        return
    for module in getattr(network, "base_model", network).modules():
        if isinstance(module, nn.Linear | Conv1D):
            module.weight.data = module.weight.data.bfloat16()


def load_tokenizer(folder: Path) -> "Tokenizer":
    """`tokenizer.json` of a base model, without importing transformers.  Raises PreflabError if there is none."""
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    if not file.exists():
        raise PreflabError(f"{file}: not found; a base model needs a fast tokenizer (tokenizer.json)")
    return Tokenizer.from_file(str(file))


def decode(tokenizer: "Tokenizer", tokens: Tensor, pad_id: int) -> list[str]:
    """Texts of `[batch, length]` tokens without the pads."""
    return tokenizer.decode_batch([[i for i in row if i != pad_id] for row in tokens.tolist()])


def trim(tokens: Tensor, pad_id: int) -> Tensor:
    """Left-padded `tokens` `[batch, length]` without the columns that are pads in every row."""
    return tokens[:, int((tokens == pad_id).all(0).sum()) :]


def hidden_states(trunk: nn.Module, tokens: Tensor, pad_id: int) -> Tensor:
    """`[batch, length, width]`: the last hidden states of a headless model, in fp32; `tokens` `[batch, length]`."""
    arguments = architectures.accepted(trunk, **inputs(tokens, pad_id)._asdict(), use_cache=False)
    with runtime.products(tokens.device):
        return trunk(**arguments).last_hidden_state.float()


def truncate(responses: Tensor, end_id: int, after: int, pad_id: int) -> Tensor:
    """Keep each response `[batch, length]` through its first `end_id` at index ≥ `after`; pad the rest.

    Responses without such a token stay whole (released lm_tasks.py:39-50).
    """
    ends = (responses == end_id) & (torch.arange(responses.shape[1], device=responses.device) >= after)
    after_end = (ends.long().cumsum(1) - ends.long()) > 0
    return responses.masked_fill(after_end, pad_id)


def has_end(responses: Tensor, end_id: int, after: int) -> Tensor:
    """`[batch]` bool: whether the response has `end_id` at index ≥ `after` (released lm_tasks.py:58-64)."""
    return (responses[:, after:] == end_id).any(1)


def response_logprobs(model: Any, tokens: Tensor, response_length: int, temperature: float, pad_id: int) -> Tensor:
    """Log-probabilities `[batch, response]` of the last `response_length` tokens, logits divided by the temperature.

    The vocabulary matrix is applied to response positions only.
    """
    hidden = hidden_states(model.base_model, tokens, pad_id)
    return logprobs_from_hidden(model, hidden[:, -response_length - 1 : -1], tokens[:, -response_length:], temperature)


def logprobs_from_hidden(model: Any, hidden: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Log-probabilities `[batch, response]` of `targets`; `hidden` `[batch, response, width]` are the states before."""
    rows = hidden.flatten(0, 1)
    if architectures.is_plain(model.config):
        head = model.get_output_embeddings()
        return logprobs_models.logprobs(rows / temperature, head.weight, targets.flatten()).view_as(targets)
    logits = logits_of(model, rows, temperature)
    return -nn.functional.cross_entropy(logits, targets.flatten(), reduction="none").view_as(targets)


def logits_of(model: Any, hidden: Tensor, temperature: float) -> Tensor:
    """Logits `[rows, vocabulary]` over the temperature, of last hidden states `[rows, width]`.

    The states of a plain model are divided, not its logits, which are far larger.
    """
    if architectures.is_plain(model.config):
        return model.get_output_embeddings()(hidden / temperature)
    return architectures.own_logits(model, hidden) / temperature


class Policy(nn.Module):
    """A causal LM whose trunk also feeds a scalar value head, zero at the start (released language/model.py:368)."""

    def __init__(self, lm: Any) -> None:
        super().__init__()
        self.lm = lm
        self.value_head = nn.Linear(width(lm), 1, device=lm.device)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)

    def evaluate(self, tokens: Tensor, response_length: int, temperature: float, pad_id: int) -> tuple[Tensor, Tensor]:
        """Log-probabilities and values `[batch, response]`; V(s_t) is read before token t (released policy.py:125)."""
        hidden = hidden_states(self.lm.base_model, tokens, pad_id)[:, -response_length - 1 : -1]
        logprobs = logprobs_from_hidden(self.lm, hidden, tokens[:, -response_length:], temperature)
        return logprobs, self.value_head(hidden).squeeze(-1)


def save_policy(policy: Policy, folder: Path, base: Path) -> None:
    """Write a folder that transformers can load: weights, config, the tokenizer of `base`, value_head.safetensors."""
    import shutil

    from safetensors.torch import save_file

    policy.lm.save_pretrained(folder)
    save_file(
        {k: v.detach().cpu().contiguous() for k, v in policy.value_head.state_dict().items()},
        folder / "value_head.safetensors",
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (base / name).exists():
            shutil.copyfile(base / name, folder / name)


def width(lm: Any) -> int:
    """The size of the hidden states that a head reads."""
    return int(lm.config.get_text_config().hidden_size)


LENGTHS = ("n_positions", "max_position_embeddings", "max_seq_len", "seq_length", "n_ctx", "context_length")


def context_length(folder: Path) -> int:
    """The longest sequence that the base model in `folder` was built for, in tokens.

    Raises PreflabError if its config names none, as those of models without positions (Mamba) do.
    """
    return _config(folder, LENGTHS, "add `max_position_embeddings`, the longest sequence to be used, in tokens")


def pad_id(folder: Path) -> int:
    """The padding id: the first id outside the vocabulary of the base model in `folder`."""
    return _config(folder, ("vocab_size",), "expected the config of a transformers causal LM")


def _config(folder: Path, keys: tuple[str, ...], remedy: str) -> int:
    """The first of the `keys` in config.json, or in the part of it about text where a model reads images too."""
    file = folder / "config.json"
    if not file.exists():
        raise PreflabError(f"{file}: not found; `dvc repro` (stage model) brings it")
    config = json.loads(file.read_text())
    for part in (config, config.get("text_config") or {}):
        for key in keys:
            if isinstance(part.get(key), int):
                return int(part[key])
    raise PreflabError(f"{file}: none of the keys {', '.join(keys)}; {remedy}")
