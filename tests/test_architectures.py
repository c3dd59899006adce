"""Every decoder of transformers that can be built tiny: our numbers equal its own forward pass, or it is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as KINDS

from helpers import tiny_architectures
from helpers.tiny_architectures import CONTEXT, VOCABULARY
from preflab.errors import PreflabError
from preflab.models import architectures, causal_lm, reward_model
from preflab.sampling import check_model, rollout
from preflab.training import shared_network

NOT_TINY = {  # parts of fixed size (images, sound), more than a size to set, or packages that are not installed
    "blt", "cohere_compass_text", "cpmant", "dbrx", "dots1", "dots3_note", "emu3", "falcon_h1", "fuyu", "gemma3",
    "gemma3n", "gemma3n_text", "gemma4", "gemma4_assistant", "gemma4_text", "gemma4_unified",
    "gemma4_unified_assistant", "git", "got_ocr2", "kimi_linear", "lfm2_moe", "llama4", "longcat_flash", "mllama",
    "moss_transcribe_diarize", "musicgen", "musicgen_melody", "phi4_multimodal", "qwen3_5", "qwen3_5_moe", "qwen4_exp",
    "qwen4_exp_text", "reformer", "roc_bert", "xlm", "zamba", "zamba2",
}  # fmt: skip
REFUSED = {  # decoders of translators, positions that depend on ids or ignore pads, caches that a batch breaks, …
    "bailing_hybrid", "bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "camembert", "data2vec-text",
    "lfm3", "llama4_text", "marian", "mbart", "moshi", "mvp", "nemotron_h", "pegasus", "plbart",
    "prophetnet", "recurrent_gemma", "roberta", "roberta-prelayernorm", "rwkv", "trocr", "whisper", "xlm-roberta",
    "xlm-roberta-xl", "xlnet", "xlstm", "xmod",
}  # fmt: skip
TESTED = sorted(set(KINDS) - NOT_TINY)
OFTEN = {  # tested without `slow`: all that are refused most easily got wrong, and the families in use
    *architectures.PLAIN, "bart", "bert", "bloom", "cohere", "cohere2", "falcon", "gemma2", "gemma3_text", "gpt_neo",
    "gpt_oss", "gptj", "granite", "jamba", "mamba", "mpt", "openai-gpt", "opt", "phi", "phi3", "roberta", "rwkv",
    "xlnet",
}  # fmt: skip
LENGTHS = (11, 2, 7)


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    """No advice from transformers, and one thread: the models are smaller than the cost of two."""
    import transformers

    threads, verbosity = torch.get_num_threads(), transformers.logging.get_verbosity()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    yield
    torch.set_num_threads(threads)
    transformers.logging.set_verbosity(verbosity)


def save(lm: Any, folder: Path) -> Path:
    """The model as a base model: with a tokenizer of its vocabulary, and a context length if its config has none."""
    from tokenizers import Tokenizer, models

    lm.save_pretrained(folder)
    words = models.WordLevel({str(i): i for i in range(VOCABULARY)}, unk_token="0")
    Tokenizer(words).save(str(folder / "tokenizer.json"))
    config = json.loads((folder / "config.json").read_text())
    if not set(config) & set(causal_lm.LENGTHS):
        with pytest.raises(PreflabError, match="add `max_position_embeddings`"):
            check_model.check(folder)
        (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": CONTEXT}))
    return folder


def alone(lm: Any, row: torch.Tensor, count: int, temperature: float) -> torch.Tensor:
    """Log-probabilities of the last `count` tokens, of the model's forward pass over one row without pads."""
    row = row[row != VOCABULARY]
    logits = lm(input_ids=row[None]).logits[0, -count - 1 : -1] / temperature
    return logits.log_softmax(-1).gather(1, row[-count:, None])[:, 0]


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in OFTEN else pytest.mark.slow) for kind in TESTED]
)
def test_numbers_equal_the_forward_pass_or_the_model_is_refused(kind: str, tmp_path: Path) -> None:
    folder = save(tiny_architectures.build(kind), tmp_path)
    if kind in REFUSED:
        with pytest.raises(PreflabError, match=rf"{KINDS[kind]} is not supported: .*; take a base model of another"):
            check_model.check(folder)
        return
    check_model.check(folder)
    lm = causal_lm.load_causal_lm(folder, torch.device("cpu")).requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    queries = torch.randint(2, VOCABULARY, (len(LENGTHS), max(LENGTHS)), generator=generator)
    for row, length in zip(queries, LENGTHS, strict=True):
        row[length:] = VOCABULARY
    queries = causal_lm.left_pad(queries, VOCABULARY)
    counts = torch.tensor([2, 1, 2])
    uniform = torch.rand(5, 6, generator=generator)
    ro = rollout.sample(lm, queries, uniform, 0.9, VOCABULARY, counts=counts)
    expected = torch.stack([alone(lm, row, 6, 0.9) for row in ro.tokens])
    torch.testing.assert_close(ro.logprobs, expected, atol=1e-4, rtol=0)
    ours = causal_lm.response_logprobs(lm, ro.tokens, 6, 0.9, VOCABULARY)
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


def test_most_architectures_are_tested() -> None:
    assert set(KINDS) >= NOT_TINY | REFUSED | OFTEN
    assert len(TESTED) - len(REFUSED) >= 120
    assert {"gpt_neo", "mistral", "gemma2", "gemma3_text", "granite", "cohere", "bloom", "mamba"} <= OFTEN - REFUSED


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("cohere", "log-probabilities"),  # scaled logits
        ("granite", "log-probabilities"),
        ("gemma2", "log-probabilities"),  # capped logits
        ("gpt_neo", "continuation"),  # local attention
        ("mistral", "continuation"),
        ("mistral", "hidden states"),
        ("gptj", "log-probabilities"),  # a bias, which the temperature divides too
    ],
)
def test_the_check_sees_what_the_fast_paths_would_get_wrong(
    kind: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = tiny_architectures.build(kind)
    assert check_model.differences(lm, VOCABULARY, CONTEXT) == ""
    monkeypatch.setattr(architectures, "is_plain", lambda _: True)
    assert part in check_model.differences(lm, VOCABULARY, CONTEXT)


def test_fast_paths_are_for_plain_heads_and_full_attention() -> None:
    plain = {kind for kind in KINDS if kind not in NOT_TINY and architectures.is_plain(tiny_architectures.config(kind))}
    assert {"gpt2", "llama", "gpt_neox", "qwen2"} <= plain
    assert "mistral" not in plain  # a window of 4
    no_window = tiny_architectures.config("mistral")
    no_window.sliding_window = None
    assert architectures.is_plain(no_window)


def test_values_and_gradients_of_a_model_with_its_own_head() -> None:
    """A policy on Gemma 2: the sampling pass gives the values of a whole forward pass; every weight can learn."""
    policy = causal_lm.Policy(tiny_architectures.build("gemma2"))
    torch.nn.init.normal_(policy.value_head.weight)
    queries = torch.randint(2, VOCABULARY, (2, 9), generator=torch.Generator().manual_seed(0))
    uniform = rollout.random_numbers(2, 5, torch.device("cpu"), 0)
    ro = rollout.sample(policy.lm, queries, uniform, 0.7, VOCABULARY, policy.value_head)
    logprobs, values = policy.evaluate(ro.tokens, 5, 0.7, VOCABULARY)
    torch.testing.assert_close(ro.logprobs, logprobs, atol=1e-4, rtol=0)
    torch.testing.assert_close(ro.values, values, atol=1e-4, rtol=0)
    (logprobs.sum() + values.sum()).backward()
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in policy.parameters())


def test_the_shared_network_refuses_a_head_of_its_own() -> None:
    from helpers.tiny_model import PROMPT, task

    reference = tiny_architectures.build("cohere")
    model = reward_model.initial(reference, 1)
    tokens = torch.ones(1, 8, dtype=torch.long)
    with pytest.raises(PreflabError, match=r"reward\.shared=true: logits of cohere"):
        shared_network.language_loss(model, tokens[:, :6], tokens, reference, task(), PROMPT)
