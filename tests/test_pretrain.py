"""Pretraining the model `tiny`: its learning rate, checkpoints, and what it writes."""

import math

import pytest
import torch

from helpers.toy_reviews import reviews
from preflab import corpora
from preflab.settings.method import PretrainSettings
from preflab.training import pretrain


def pretrain_settings(**changes: object) -> PretrainSettings:
    """Six steps of two windows of eight tokens."""
    base = {
        "name": "toy", "source": "imdb", "vocab_size": 270, "context": 16, "layers": 1, "heads": 2, "width": 16,
        "tokens": 96, "batch_size": 2, "length": 8, "warmup_steps": 2,
        "muon_lr": 0.01, "adam_lr": 0.01, "checkpoint_steps": 2, "threads": 1, "seed": 1,
    }  # fmt: skip
    return PretrainSettings(**(base | changes))  # type: ignore[arg-type]


def test_pretraining_resumes_bit_identically(tmp_path, monkeypatch):
    documents = [corpora.Document(*row) for row in reviews(60)]
    cfg = pretrain_settings()
    whole = pretrain.train(cfg, documents, tmp_path / "whole")
    plan, steps = pretrain.learning_rate_scale, []

    def stop_at_5(step, total, settings):
        steps.append(step)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return plan(step, total, settings)

    monkeypatch.setattr(pretrain, "learning_rate_scale", stop_at_5)
    with pytest.raises(KeyboardInterrupt):
        pretrain.train(cfg, documents, tmp_path / "cut")
    resumed = pretrain.train(cfg, documents, tmp_path / "cut")
    assert steps == [0, 1, 2, 3, 4, 5, 4, 5]  # from the checkpoint behind step 3
    expected = whole.model.state_dict()
    got = resumed.model.state_dict()
    assert all(torch.equal(got[name], expected[name]) for name in expected)
    assert resumed.metrics == whole.metrics
    assert whole.metrics["perplexity"] == pytest.approx(math.exp(whole.metrics["loss"]), rel=1e-3)
    untrained = pretrain.train(pretrain_settings(muon_lr=0.0, adam_lr=0.0), documents, tmp_path / "untrained")
    assert whole.metrics["loss"] < untrained.metrics["loss"] - 0.05
    pretrain.write(resumed, tmp_path / "out")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {f.name for f in (tmp_path / "out").iterdir()}


def test_learning_rate_by_hand():
    cfg = pretrain_settings(warmup_steps=4)
    got = [pretrain.learning_rate_scale(step, 10, cfg) for step in (0, 2, 3, 5, 9)]
    assert got == pytest.approx([0.25, 0.75 * 0.8, 0.7, 0.5, 0.1])  # 1/4 and 3/4 of the warm-up; then the fall alone
