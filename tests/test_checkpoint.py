"""Checkpoints: the newest only, verified, and a folder per set of inputs."""

import subprocess
import sys

import pytest
import torch

from helpers.tiny_model import gpt2
from preflab.errors import PreflabError
from preflab.machine import checkpoint
from preflab.training import optim


def test_newest_checkpoint_is_kept_and_read_back(tmp_path):
    assert checkpoint.load(tmp_path) is None
    for step in (9, 10):
        checkpoint.save(tmp_path, step, {"w": torch.full((2,), float(step))}, {"kl_coef": 0.1 * step})
    got = checkpoint.load(tmp_path)
    assert (got.step, got.state) == (10, {"kl_coef": 1.0})
    assert got.tensors["w"].tolist() == [10.0, 10.0]
    assert [p.name for p in tmp_path.iterdir()] == ["step-10"]


DAMAGE = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "empty": lambda path: path.write_bytes(b""),
    "other bytes": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\xff"),
    "other json": lambda path: path.write_bytes(b"[1]"),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_an_error_unless_an_older_one_is_whole(tmp_path, caplog, name, damage):
    checkpoint.save(tmp_path / "old", 1, {"w": torch.ones(4)}, {"kl_coef": 0.1})
    checkpoint.save(tmp_path, 2, {"w": torch.zeros(4)}, {"kl_coef": 0.2})
    DAMAGE[damage](tmp_path / "step-2" / name)
    with pytest.raises(PreflabError, match=rf"step-2/{name}: damaged.*; delete {tmp_path} to start the stage over"):
        checkpoint.load(tmp_path)
    (tmp_path / "old" / "step-1").rename(tmp_path / "step-1")  # as if killed before the older one was removed
    got = checkpoint.load(tmp_path)
    assert (got.step, got.state, got.tensors["w"].tolist()) == (1, {"kl_coef": 0.1}, [1.0] * 4)
    assert f"step-2/{name}: damaged" in caplog.text
    assert f"continuing from {tmp_path}/step-1" in caplog.text


RUNNING = """
import sys
from pathlib import Path
from preflab.machine import checkpoint

checkpoint.save(checkpoint.folder_for("ppo-a-1", Path("params.yaml")), 1, {}, {})
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_what_other_settings_of_the_same_stage_left_is_removed(tmp_path):
    params = tmp_path / "params.yaml"

    def opened(stage, settings):
        params.write_text(settings)
        folder = checkpoint.folder_for(stage, params)
        checkpoint.save(folder, 1, {"w": torch.zeros(1)}, {})
        return folder

    params.write_text("lr: 1")
    line = [sys.executable, "-c", RUNNING]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline() == "ready\n"
        (first,) = tmp_path.glob(".checkpoints/ppo-a-1-*")
        others = [opened("ppo-a", "lr: 1"), opened("ppo-a-1-1", "lr: 1"), opened("ppo-a-1-abcdef", "lr: 1")]
        second = opened("ppo-a-1", "lr: 2")
        assert first.exists()  # it is in use
        running.stdin.close()
    third = opened("ppo-a-1", "lr: 3")
    assert not first.exists()
    assert second.exists()  # this process opened it too, and has not ended
    assert third.exists()
    assert all((other / "step-1").exists() for other in others)
    assert checkpoint.load(opened("ppo-a", "lr: 1")).step == 1  # its own is kept


def test_folder_depends_on_the_content_of_every_input(tmp_path):
    params, data = tmp_path / "p.yaml", tmp_path / "data"
    params.write_text("lr: 1")
    data.mkdir()
    (data / "a").write_text("1")
    before = checkpoint.folder_for("ppo@x", params, data)
    assert before == checkpoint.folder_for("ppo@x", params, data)
    (data / "a").write_text("2")
    assert checkpoint.folder_for("ppo@x", params, data) != before


@pytest.mark.parametrize("kind", ["tf", "torch"])
def test_optimizer_state_survives(kind):
    def run(stop_at):
        p = torch.nn.Parameter(torch.ones(3))
        optimizer = optim.build(kind, [p], 0.1, 1e-5)
        for step in range(4):
            if step == stop_at:
                packed = checkpoint.pack("o", optimizer)
                optimizer = optim.build(kind, [p], 0.1, 1e-5)
                checkpoint.unpack("o", optimizer, packed)
            p.grad = torch.tensor([0.1, -0.2, 0.3]) * (step + 1)
            optimizer.step()
        return p.tolist()

    assert run(stop_at=2) == run(stop_at=None)


class Tied(torch.nn.Module):
    """Two names for one weight, and buffers of both kinds."""

    def __init__(self, width=3):
        super().__init__()
        self.embedding = torch.nn.Embedding(4, width)
        self.head = torch.nn.Linear(width, 4, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("mask", torch.ones(2), persistent=False)
        self.register_buffer("gain", torch.randn(1))


def test_a_module_is_restored_in_place_and_stays_tied():
    saved, module = Tied(), Tied()
    tensors = {name: tensor.clone() for name, tensor in checkpoint.tensors_of("policy", saved).items()}
    assert sorted(tensors) == ["policy.embedding.weight", "policy.gain"]
    weight = module.embedding.weight
    checkpoint.restore_module("policy", module, tensors | {"policy_2.gain": torch.zeros(9)})
    assert module.head.weight is module.embedding.weight is weight
    assert torch.equal(weight, saved.embedding.weight)
    assert torch.equal(module.gain, saved.gain)


def test_tensors_of_a_language_model_are_its_parameters():
    model = gpt2()
    assert list(checkpoint.tensors_of("model", model)) == [f"model.{name}" for name, _ in model.named_parameters()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("policy.gain"), "policy.gain is missing"),
        (lambda t: t.update({"policy.bias": torch.ones(1)}), "policy.bias is unexpected"),
        (lambda t: t.update({"policy.gain": torch.ones(2)}), r"policy.gain has shape \[2\], expected \[1\]"),
        (lambda t: t.clear(), "policy.gain is missing, policy.embedding.weight is missing; delete"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_nothing_is_changed(change, message):
    module, tensors = Tied(), checkpoint.tensors_of("policy", Tied())
    before = module.embedding.weight.clone()
    change(tensors)
    with pytest.raises(PreflabError, match=message):
        checkpoint.restore_module("policy", module, tensors)
    assert torch.equal(module.embedding.weight, before)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"o.1.exp_avg": torch.ones(3)}, "o.1.exp_avg is unexpected, there are 1 parameters"),
        ({"o.0.exp_avg": torch.ones(4)}, r"o.0.exp_avg has shape \[4\], expected \[3\]"),
    ],
)
def test_optimizer_state_that_does_not_fit_is_refused(tensors, message):
    optimizer = optim.build("tf", [torch.nn.Parameter(torch.ones(3))], 0.1, 1e-5)
    with pytest.raises(PreflabError, match=message):
        checkpoint.unpack("o", optimizer, tensors)
