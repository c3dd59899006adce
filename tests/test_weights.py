"""Weights of all layouts load whole; those that would leave a part random, or ids without a row, are refused."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers import tiny_architectures
from helpers.tiny_architectures import VOCABULARY
from preflab.errors import PreflabError
from preflab.models import causal_lm
from preflab.settings.data import ModelSettings
from preflab.settings.stages import ModelStage
from preflab.stages import model as stage

Weights = dict[str, torch.Tensor]
IDS = torch.arange(2, 14).view(2, 6)


def saved(lm: Any, folder: Path, **options: Any) -> Path:
    """The model with a tokenizer whose words are the numbers below VOCABULARY."""
    from tokenizers import Tokenizer, models

    lm.save_pretrained(folder, **options)
    words = models.WordLevel({str(i): i for i in range(VOCABULARY)}, unk_token="0")
    Tokenizer(words).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text("{}")
    return folder


def rewrite(folder: Path, change: Callable[[Weights], Weights]) -> None:
    weights = change(load_file(folder / "model.safetensors"))
    save_file({k: v.contiguous() for k, v in weights.items()}, folder / "model.safetensors", metadata={"format": "pt"})


def built(folder: Path, out: Path) -> Any:
    """The model as the stages load it after the stage `model`."""
    stage.run(ModelStage(ModelSettings("own", "folder", str(folder))), out=out)
    return causal_lm.load_causal_lm(out, torch.device("cpu"))


def llama(tied: bool = False, vocabulary: int = VOCABULARY) -> Any:
    from transformers import AutoModelForCausalLM

    config = tiny_architectures.config("llama")
    config.tie_word_embeddings, config.vocab_size = tied, vocabulary
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("layout", ["plain", "sharded", "fp16", "tied", "headed", "trunk", "padded"])
def test_weights_of_all_layouts_load(tmp_path: Path, layout: str) -> None:
    lm = llama(layout == "tied", VOCABULARY + 24 if layout == "padded" else VOCABULARY)
    if layout in ("headed", "trunk"):
        lm = tiny_architectures.build("gpt2")  # tied; its own names begin with `transformer.`
    stored = lm
    if layout == "fp16":
        for weight in lm.parameters():
            weight.data = weight.data.half().float()  # what fp16 can hold
        stored = copy.deepcopy(lm).half()
    folder = saved(stored, tmp_path / "source", **({"max_shard_size": "20KB"} if layout == "sharded" else {}))
    if layout == "sharded":
        assert len(list(folder.glob("model-*.safetensors"))) > 1
    if layout == "headed":  # the tied head stored as well
        rewrite(folder, lambda w: w | {"lm_head.weight": w["transformer.wte.weight"].clone()})
    if layout == "trunk":  # GPT-2 as its authors published it, with masks among the weights
        masks = {f"h.{i}.attn.bias": torch.ones(1, 1, 64, 64) for i in range(2)}
        rewrite(folder, lambda w: {k.removeprefix("transformer."): v for k, v in w.items()} | masks)
    loaded = built(folder, tmp_path / "out")
    assert loaded.dtype == torch.float32
    with torch.no_grad():
        torch.testing.assert_close(loaded(IDS).logits, lm(IDS).logits, atol=1e-5, rtol=0)


def without(name: str) -> Callable[[Weights], Weights]:
    return lambda weights: {k: v for k, v in weights.items() if k != name}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda w: {f"module.{k}": v for k, v in w.items()},
            r"lm_head\.weight, model\.embed_tokens\.weight, model\.layers\.0\.input_layernorm\.weight and \d+ more "
            r"missing; module\.lm_head\.weight, .* not part of the model",
        ),
        (without("lm_head.weight"), r"do not fit LlamaForCausalLM: lm_head\.weight missing; expected"),
        (without("model.layers.1.mlp.up_proj.weight"), r"model\.layers\.1\.mlp\.up_proj\.weight missing"),
        (lambda w: w | {"score.weight": torch.ones(1, 32)}, r"score\.weight not part of the model"),
        (lambda w: w | {"lm_head.weight": w["lm_head.weight"][:-1]}, r"lm_head\.weight of another shape"),
    ],
)
def test_weights_that_would_stay_random_are_refused(
    tmp_path: Path, change: Callable[[Weights], Weights], reason: str
) -> None:
    folder = saved(llama(), tmp_path / "source")
    rewrite(folder, change)
    with pytest.raises(PreflabError, match=reason):
        built(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()  # no stage takes it for a base model
    with pytest.raises(PreflabError, match=reason):
        causal_lm.load_causal_lm(folder, torch.device("cpu"))


def test_a_vocabulary_below_the_tokenizers_is_refused(tmp_path: Path) -> None:
    folder = saved(llama(vocabulary=VOCABULARY - 1), tmp_path / "source")
    with pytest.raises(PreflabError, match=r"ids up to 39, config\.json says vocab_size=39; expected at least 40"):
        built(folder, tmp_path / "out")


def test_a_model_type_that_transformers_does_not_know_is_refused(tmp_path: Path) -> None:
    folder = saved(llama(), tmp_path / "source")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "toy", "architectures": ["ToyForCausalLM"]}))
    with pytest.raises(PreflabError, match=r"ToyForCausalLM is not supported: .*toy.*another architecture"):
        built(folder, tmp_path / "out")


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"n_positions": 1024, "n_ctx": 512}, 1024),  # GPT-2
        ({"max_position_embeddings": 8192}, 8192),  # Llama
        ({"max_seq_len": 2048}, 2048),  # MPT
        ({"seq_length": 2048}, 2048),  # Bloom
        ({"context_length": 4096}, 4096),  # RWKV
        ({"text_config": {"max_position_embeddings": 32768}, "vision_config": {"image_size": 896}}, 32768),  # Gemma 3
    ],
)
def test_the_context_length_has_many_names(tmp_path: Path, config: dict[str, Any], length: int) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert causal_lm.context_length(tmp_path) == length


def test_a_config_without_a_context_length_says_what_to_add(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"state_size": 16}')  # Mamba
    with pytest.raises(PreflabError, match=r"none of the keys n_positions, .*; add `max_position_embeddings`"):
        causal_lm.context_length(tmp_path)
