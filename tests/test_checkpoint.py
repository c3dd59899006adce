"""Checkpoints: the newest only, verified, and a folder per set of inputs."""

import pytest
import torch

from preflab import checkpoint, optim
from preflab.errors import PreflabError


def test_newest_checkpoint_is_kept_and_read_back(tmp_path):
    assert checkpoint.load(tmp_path) is None
    for step in (9, 10):
        checkpoint.save(tmp_path, step, {"w": torch.full((2,), float(step))}, {"kl_coef": 0.1 * step})
    got = checkpoint.load(tmp_path)
    assert (got.step, got.state) == (10, {"kl_coef": 1.0})
    assert got.tensors["w"].tolist() == [10.0, 10.0]
    assert [p.name for p in tmp_path.iterdir()] == ["step-10"]


def test_a_damaged_checkpoint_is_an_error(tmp_path):
    checkpoint.save(tmp_path, 1, {"w": torch.zeros(4)}, {})
    path = tmp_path / "step-1" / "tensors.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(PreflabError, match=r"step-1: the tensors do not match their sha256; delete this folder"):
        checkpoint.load(tmp_path)


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
                optimizer = optim.build(kind, [p], 0.1, 1e-5, taken=step)
                checkpoint.unpack("o", optimizer, packed)
            p.grad = torch.tensor([0.1, -0.2, 0.3]) * (step + 1)
            optimizer.step()
        return p.tolist()

    assert run(stop_at=2) == run(stop_at=None)
