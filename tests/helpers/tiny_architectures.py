"""A tiny random model of each decoder that transformers can build, by its model_type."""

import dataclasses
import inspect
from typing import Any

VOCABULARY, CONTEXT = 40, 64

SIZES: dict[str, Any] = {  # by whatever name a config has for it; windows are shorter than the sequences of the tests
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "embedding_size", "rnn_hidden_size", "lru_width"), 32),
    **dict.fromkeys(("output_embedding_size", "input_embedding_size", "attention_hidden_size"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "linear_num_value_heads"), 4),
    **dict.fromkeys(("decoder_attention_heads", "encoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "linear_num_key_heads", "global_attn_every_n_layers"), 2),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim", "decoder_ffn_dim", "encoder_ffn_dim", "dff"), 48),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), CONTEXT),
    **dict.fromkeys(("sliding_window", "window_size", "attention_window_size", "local_attention_window"), 4),
    **dict.fromkeys(("head_dim", "v_head_dim", "qk_rope_head_dim", "qk_nope_head_dim", "mamba_d_head"), 8),
    **dict.fromkeys(("mamba_n_heads", "linear_key_head_dim", "linear_value_head_dim"), 8),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "rotary_dim", "conv_kernel"), 4),
    **dict.fromkeys(("state_size", "mamba_d_state", "mamba_d_conv"), 4),
    **dict.fromkeys(("num_experts_per_tok", "mamba_expand", "time_step_rank"), 2),
    **dict.fromkeys(("n_group", "topk_group", "first_k_dense_replace", "mamba_n_groups"), 1),
    **dict.fromkeys(("bos_token_id", "eos_token_id", "decoder_start_token_id"), 0),
    **dict.fromkeys(("initializer_range", "init_std"), 0.3),  # so large that attention and positions matter
    "vocab_size": VOCABULARY, "pad_token_id": None, "is_decoder": True, "use_cache": True,
}  # fmt: skip
MLA = {"num_key_value_heads": 4}  # as many as heads: their latent attention does not group them
DEEP = {"num_hidden_layers": 4}  # the fourth is the first with full attention
CALM = {"initializer_range": 0.05}  # their recurrences make rounding errors large
PAD = {"pad_token_id": 1}
OF_ONE: dict[str, dict[str, Any]] = {  # what some need besides
    "camembert": PAD, "data2vec-text": PAD, "roberta": PAD, "roberta-prelayernorm": PAD, "xlm-roberta": PAD,
    "xlm-roberta-xl": PAD, "modernbert-decoder": PAD, "prophetnet": PAD,
    "axk1": MLA, "axk2": MLA, "deepseek_v2": MLA, "deepseek_v3": MLA, "deepseek_v32": MLA, "glm4_moe_lite": MLA,
    "glm_moe_dsa": MLA, "minicpm3": MLA, "youtu": MLA, "dots3_note_text": MLA,
    "qwen3_next": DEEP | CALM, "qwen3_5_text": DEEP | CALM, "qwen3_5_moe_text": DEEP | CALM, "hrm_text": CALM,
    "bamba": {"attn_layer_indices": [1]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "recurrent_gemma": {"num_hidden_layers": 3},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "zaya": {"num_experts_per_tok": 1},
    "cohere": {"logit_scale": 0.3},
    "cohere2": {"logit_scale": 0.3},
    "granite": {"logits_scaling": 3.0},
    "gemma2": {"final_logit_softcapping": 3.0, "attn_logit_softcapping": 3.0},
    "gemma3_text": {"final_logit_softcapping": 3.0},
}  # fmt: skip
LARGEST = 2_000_000  # parameters of what counts as tiny


def config(kind: str) -> Any:
    """A tiny config of this model_type."""
    from transformers import CONFIG_MAPPING

    cls = CONFIG_MAPPING[kind]
    names = set(inspect.signature(cls.__init__).parameters) - set(cls.attribute_map)
    if dataclasses.is_dataclass(cls):
        names |= {field.name for field in dataclasses.fields(cls)}
    return cls(**{name: size for name, size in (SIZES | OF_ONE.get(kind, {})).items() if name in names})


def build(kind: str) -> Any:
    """The model, in eval mode."""
    import torch
    from transformers import AutoModelForCausalLM

    settings = config(kind)
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(settings)
    size = sum(weight.numel() for weight in empty.parameters())
    if size > LARGEST:
        raise ValueError(f"{kind} has {size} parameters")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(settings, attn_implementation="eager").eval()
    for weight in model.parameters():
        if weight.dim() == 1:
            weight.data += 0.1 * torch.randn(weight.shape)  # biases begin at 0, where they cannot be seen
    return model
