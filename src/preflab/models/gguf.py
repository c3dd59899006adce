"""Convert a Llama model in a GGUF file to what transformers reads: fp32 safetensors, config and tokenizer.

transformers can read GGUF itself, but slowly (40 s for 135M parameters, 6 s here), through accelerate,
and what it gives refuses `save_pretrained`.  The file says all that is needed: this maps names and undoes one
permutation.  Weights and tokens were compared with those that transformers reads: equal.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab.errors import PreflabError

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFReader
    from tokenizers import Tokenizer

LAYER = {  # GGUF blk.N.* -> transformers model.layers.N.*
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
CONTROL = 3  # token type of special tokens (GGUF specification)


def convert(source: Path, out: Path) -> None:
    """Write config.json, model.safetensors, tokenizer.json and tokenizer_config.json to the folder `out`.

    Raises PreflabError if `source` is no GGUF file or holds another kind of model than SmolLM2's.
    """
    from gguf import GGUFReader
    from safetensors.numpy import save_file

    try:
        reader = GGUFReader(source)
    except ValueError as error:
        raise PreflabError(f"{source.name}: not a GGUF file ({error})") from error
    fields = {name: field.contents() for name, field in reader.fields.items()}
    _refuse_others(fields, source.name)
    weights = _weights(reader, fields)
    out.mkdir(parents=True, exist_ok=True)
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    _write_json(out / "config.json", _config(fields, tied="lm_head.weight" not in weights))
    _tokenizer(fields).save(str(out / "tokenizer.json"))
    _write_json(out / "tokenizer_config.json", _tokenizer_config(fields))


def _refuse_others(fields: dict[str, Any], name: str) -> None:
    """Only what has been compared with transformers' own reading: Llama layers, SmolLM's byte-level BPE."""
    for key, expected in {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
    }.items():
        if fields.get(key) != expected:
            raise PreflabError(
                f"{name}: {key} is {fields.get(key)!r}, expected {expected!r}: this model is not supported"
            )


def _weights(reader: "GGUFReader", fields: dict[str, Any]) -> "dict[str, np.ndarray]":
    """All tensors, dequantised to fp32, under transformers' names; `[out, in]` each."""
    import numpy as np
    from gguf.quants import dequantize

    heads = {
        "attn_q": fields["llama.attention.head_count"],
        "attn_k": fields["llama.attention.head_count_kv"],
    }
    weights = {}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        part, _, rest = tensor.name.removesuffix(".weight").partition(".")
        if part == "blk":
            layer, _, kind = rest.partition(".")
            name = f"model.layers.{layer}.{LAYER[kind]}"
            values = _unpermute(values, heads[kind]) if kind in heads else values
        else:
            name = OUTER[part]
        weights[f"{name}.weight"] = np.ascontiguousarray(values)
    return weights


def _unpermute(values: "np.ndarray", heads: int) -> "np.ndarray":
    """GGUF interleaves the halves of each head (rotary embedding); transformers keeps them side by side."""
    rows = values.shape[0] // heads
    return values.reshape(heads, rows // 2, 2, -1).swapaxes(1, 2).reshape(values.shape)


def _config(fields: dict[str, Any], tied: bool) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "head_dim": fields["llama.rope.dimension_count"],
        "hidden_act": "silu",
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "max_position_embeddings": fields["llama.context_length"],
        "mlp_bias": False,
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "rms_norm_eps": round(fields["llama.attention.layer_norm_rms_epsilon"], 10),  # 1e-5, stored in fp32
        "rope_parameters": {"rope_theta": fields["llama.rope.freq_base"], "rope_type": "default"},
        "tie_word_embeddings": tied,
        "vocab_size": fields["llama.vocab_size"],
    }


def _tokenizer(fields: dict[str, Any]) -> "Tokenizer":
    """SmolLM's tokenizer: GPT-2's byte-level BPE after splitting numbers into digits."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens = fields["tokenizer.ggml.tokens"]
    merges = [(left, right) for left, _, right in (merge.partition(" ") for merge in fields["tokenizer.ggml.merges"])]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = fields["tokenizer.ggml.token_type"]
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True) for t, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]
    )
    return tokenizer


def _tokenizer_config(fields: dict[str, Any]) -> dict[str, Any]:
    tokens = fields["tokenizer.ggml.tokens"]
    pairs = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    special = {f"{ours}_token": tokens[fields[f"tokenizer.ggml.{theirs}_token_id"]] for ours, theirs in pairs.items()}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": fields["llama.context_length"],
        **special,
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
