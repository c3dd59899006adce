"""The labelling schedule l(n) and its retraining points, and a small online run from end to end."""

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.tiny_model import END, PAD, PROMPT, VOCABULARY, gpt2, policy_stage, task
from helpers.tiny_training import collector, online_settings, random_comparisons
from preflab.comparisons import write
from preflab.errors import PreflabError
from preflab.models import causal_lm, reward_model
from preflab.records.tracking import SilentRecord
from preflab.sampling import reference
from preflab.sampling.reference import Reference
from preflab.settings.method import InitialSettings, RewardSettings, RuntimeSettings
from preflab.settings.stages import RewardStage
from preflab.stages import reward as reward_stage
from preflab.training import online


def test_schedule_by_hand():
    assert online.labels_due(0, 2000, 100, 500) == 100
    assert online.labels_due(1000, 2000, 100, 500) == pytest.approx(400)  # 100 + 400 · (1 − ¼)
    assert online.labels_due(2000, 2000, 100, 500) == 500


def test_the_papers_retraining_points():
    points = online.retraining_points(19, 0, 20_000)
    assert points == [1000 * i for i in range(1, 20)]
    # the fraction of the run at which l(n) passes them: n/N = 1 − √(1 − i/20)
    for i, point in enumerate(points, start=1):
        n = 1 - (1 - i / 20) ** 0.5
        assert online.labels_due(round(n * 10**9), 10**9, 0, 20_000) == pytest.approx(point, rel=1e-6)
    assert online.retraining_points(3, 100, 500) == [200, 300, 400]
    assert online.retraining_points(0, 100, 500) == []


def test_labels_are_in_before_each_update_and_training_starts_anew_at_each_point():
    stage = policy_stage(episodes=160, batch_size=16)
    settings = online_settings(num_train=40, retrainings=3, validation_share=0.25)
    collected = collector(stage, settings)
    first = collected.model
    policy = causal_lm.Policy(gpt2(seed=1))
    seen, models_seen = [], []
    for update in range(10):
        row = collected.before_update(update, policy)
        assert row["labels"] >= np.floor(online.labels_due(update * 16, 160, 8, 40))
        seen.append((row["labels"], row["retrainings"]))
        models_seen.append(collected.model)
    assert seen[0] == (8, 0)
    assert models_seen[0] is first
    assert seen[-1] == (39, 3)  # l(144) = 8 + 32 · 0.99 = 39.68
    assert len({id(m) for m in models_seen}) == 4  # one model from the stage reward, three retrainings
    kinds = [c.source.split("@")[0] for c in collected.labels]
    assert kinds.count("reference") == 8
    assert kinds.count("policy") == 31
    assert kinds.count("validation") == collected.asked == 9  # 0.25 · 40 · 0.9
    for c in collected.labels[8:]:
        assert len(c.query) == 6
        assert all(any(t == END for t in s[4:]) for s in c.samples)  # only responses that pass the end-token rule
        assert max(max(s) for s in c.samples) <= VOCABULARY


def saved_by_the_stage_reward(folder: Path, settings: RewardSettings) -> reward_model.RewardModel:
    """What the stage `reward` of seed 1 leaves in its folder, on the model of the collector's reference."""
    base, out = folder / "base", folder / "reward"
    gpt2().save_pretrained(base)
    queries = causal_lm.left_pad(torch.tensor([c.query for c in random_comparisons(32)]), PAD)
    write(random_comparisons(8), folder / "train.parquet")
    write(random_comparisons(8, seed=1), folder / "heldout.parquet")
    cfg = RewardStage(task(), InitialSettings("5k", 8), False, settings, RuntimeSettings(1, "fp32"), 1)
    ref = Reference(causal_lm.load_causal_lm(base, torch.device("cpu")), None, queries, PROMPT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "load", lambda *_: ref)  # a tiny model has neither tokenizer nor queries in a folder
        reward_stage.run(cfg, queries=folder, model=base, comparisons=folder, out=out, log=SilentRecord())
    return reward_model.load(out, ref.lm, base)


def test_all_reward_models_of_a_run_begin_with_the_head_of_the_stage_reward(tmp_path):
    settings = online_settings(num_train=40, retrainings=3)
    settings.reward.lr = 0.0  # what a model begins with is what it ends with
    collected = collector(policy_stage(episodes=160, batch_size=16), settings)
    trained_by_stage = saved_by_the_stage_reward(tmp_path, settings.reward)
    for update in range(10):
        collected.before_update(update, causal_lm.Policy(gpt2(seed=1)))
        if collected.trained:
            assert torch.equal(collected.model.head.weight, trained_by_stage.head.weight)
    assert collected.trained == 3
    other = reward_model.initial(collected.ref.lm, 2).head.weight
    assert not torch.equal(other, trained_by_stage.head.weight)


@pytest.mark.parametrize("start", ["reference", "policy"])
def test_retrainings_start_where_they_are_told_to(start):
    settings = online_settings(retrain_from=start)
    settings.reward.lr = 0.0
    collected = collector(policy_stage(episodes=160, batch_size=16), settings)
    policy = causal_lm.Policy(gpt2(seed=1))
    for update in range(10):
        collected.before_update(update, policy)
    assert collected.trained == 1
    lm = {"reference": collected.ref.lm, "policy": policy.lm}[start]
    assert torch.equal(collected.model.trunk.wte.weight, lm.transformer.wte.weight)
    assert not torch.equal(collected.ref.lm.transformer.wte.weight, policy.lm.transformer.wte.weight)


@pytest.mark.parametrize("rounds", [2, 3])
def test_sampling_is_given_up_after_the_rounds_that_were_set(rounds):
    prompt = PROMPT._replace(end_id=VOCABULARY + 5)  # a token that no response has
    collected = collector(policy_stage(episodes=160, batch_size=16), online_settings(max_rounds=rounds), prompt)
    with pytest.raises(PreflabError, match=f"after {rounds} rounds .* raise comparisons.max_rounds"):
        collected.before_update(5, causal_lm.Policy(gpt2(seed=1)))


def test_a_resumed_run_collects_the_same_labels():
    stage = policy_stage(episodes=160, batch_size=16)
    settings = online_settings()
    policy = causal_lm.Policy(gpt2(seed=1))
    whole, stopped, resumed = (collector(stage, settings) for _ in range(3))
    for update in range(4):
        whole.before_update(update, policy)
    for update in range(2):
        stopped.before_update(update, policy)
    resumed.load_state(*stopped.save_state())
    for update in range(2, 4):
        resumed.before_update(update, policy)
    assert resumed.labels == whole.labels
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.model.state_dict().values(), resumed.model.state_dict().values(), strict=True)
    )
