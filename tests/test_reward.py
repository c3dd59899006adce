"""The reward model: loss, normalisation, packed comparisons, reading position, learning, held-out figures."""

import math

import pytest
import torch

from helpers.tiny_model import PAD, PROMPT, gpt2, llama, reward_settings, task
from helpers.tiny_training import random_comparisons
from preflab.errors import PreflabError
from preflab.models import causal_lm, reward_model
from preflab.training.reward import batch_of, evaluate, gain_and_bias, loss_of, reference_scores, train


def test_four_way_loss_by_hand():
    scores = torch.tensor([[1.0, 2.0, 0.0, -1.0], [0.0, 0.0, 0.0, 0.0]])
    first = -math.log(math.e**2 / (math.e + math.e**2 + 1 + 1 / math.e))
    assert loss_of(scores, torch.tensor([1, 3])).item() == pytest.approx((first + math.log(4)) / 2, abs=1e-6)


def test_gain_and_bias_make_mean_zero_and_population_std_one():
    scores = torch.tensor([1.0, 2.0, 3.0, 6.0])  # mean 3, population variance 3.5
    gain, bias = gain_and_bias(scores)
    assert gain == pytest.approx(1 / math.sqrt(3.5))
    assert bias == pytest.approx(-3 / math.sqrt(3.5))
    with pytest.raises(PreflabError, match="nothing to normalise"):
        gain_and_bias(torch.ones(4))


@pytest.mark.parametrize("build", [gpt2, llama])
def test_packed_comparisons_equal_single_unpadded_sequences(build):
    model = reward_model.initial(build(), 1)
    rows = random_comparisons(5)
    data = batch_of(rows, PAD, torch.device("cpu"))
    with torch.no_grad():
        model.gain.fill_(1.7)
        model.bias.fill_(-0.3)
        packed = model.compare(data.queries, data.samples, PAD)
        for i, row in enumerate(rows):
            for j, sample in enumerate(row.samples):
                alone = torch.tensor([[t for t in row.query + sample if t != PAD]])
                hidden = model.trunk(alone).last_hidden_state[0, -1]
                expected = 1.7 * (hidden @ model.head.weight[0] + model.head.bias[0]) - 0.3
                torch.testing.assert_close(packed[i, j], expected, atol=1e-5, rtol=0)
                padded = torch.tensor([row.query + sample])
                torch.testing.assert_close(model(padded, PAD)[0], expected, atol=1e-5, rtol=0)


def test_head_has_the_released_scale_and_its_own_seed():
    lm = gpt2(width=64)
    heads = torch.cat([reward_model.initial(lm, seed).head.weight.detach().flatten() for seed in range(200)])
    assert heads.std().item() == pytest.approx(1 / math.sqrt(65), rel=0.03)
    assert torch.equal(reward_model.initial(lm, 5).head.weight, reward_model.initial(lm, 5).head.weight)


def test_training_leaves_the_reference_alone_learns_and_ends_normalised():
    lm = gpt2(width=32).requires_grad_(False)  # as reference.load leaves it
    before = {k: v.clone() for k, v in lm.state_dict().items()}
    queries = causal_lm.left_pad(torch.tensor([c.query for c in random_comparisons(32, seed=9)]), PAD)
    cfg = reward_settings(normalize_samples=64)
    training = train(lm, random_comparisons(400), queries, task(), cfg, PROMPT, 1)
    assert all(torch.equal(before[k], v) for k, v in lm.state_dict().items())
    for name, parameter in training.model.trunk.named_parameters():
        assert not torch.equal(parameter, lm.base_model.get_parameter(name)), f"{name} was not trained"
    figures = evaluate(training.model, random_comparisons(200, seed=3), PAD, torch.device("cpu"))
    assert figures.accuracy > 0.5  # chance 0.25
    assert figures.accuracy_se == pytest.approx(math.sqrt(figures.accuracy * (1 - figures.accuracy) / 200))
    assert training.curve[0]["lr"] == pytest.approx(cfg.lr)
    assert training.curve[-1]["lr"] == pytest.approx(cfg.lr / 100)

    def score(q, r):
        return training.model(torch.cat([q, r], 1), PAD)

    with torch.no_grad():
        again = reference_scores(score, lm, queries, task(), cfg, PROMPT, (1, "reward", "after"))
    assert again.mean().item() == pytest.approx(0, abs=1e-5)
    assert again.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_same_seed_same_bytes():
    lm = gpt2()
    queries = causal_lm.left_pad(torch.tensor([c.query for c in random_comparisons(16)]), PAD)
    states = [
        train(lm, random_comparisons(8), queries, task(), reward_settings(), PROMPT, 4).model.state_dict()
        for _ in range(2)
    ]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_a_loss_that_is_not_finite_stops_and_names_the_step():
    queries = causal_lm.left_pad(torch.tensor([c.query for c in random_comparisons(16)]), PAD)
    with pytest.raises(PreflabError, match=r"reward.lr=1e\+30: the loss is nan at step \d"):
        train(gpt2(), random_comparisons(40), queries, task(), reward_settings(lr=1e30), PROMPT, 1)


def test_a_reward_model_of_another_reference_is_refused(tmp_path):
    for name, seed in (("one", 0), ("two", 1)):
        gpt2(seed).save_pretrained(tmp_path / name)
    lm = gpt2(0)
    model = reward_model.initial(lm, 1)
    reward_model.save(model, tmp_path / "reward", tmp_path / "one")
    loaded = reward_model.load(tmp_path / "reward", lm, tmp_path / "one")
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    with pytest.raises(
        PreflabError, match=r"reward\.json: trained against the reference .* but the policy starts from .*two"
    ):
        reward_model.load(tmp_path / "reward", lm, tmp_path / "two")


def test_each_epoch_is_another_shuffle_of_all_labels_under_one_falling_rate():
    queries = causal_lm.left_pad(torch.tensor([c.query for c in random_comparisons(16)]), PAD)

    def curve(epochs):
        return train(gpt2(), random_comparisons(16), queries, task(), reward_settings(epochs=epochs), PROMPT, 1).curve

    one, three = curve(1), curve(3)
    assert (len(one), len(three)) == (4, 12)
    assert three[0]["loss"] == one[0]["loss"]  # the first epoch begins as it does alone
    assert [row["lr"] for row in three] == pytest.approx([0.01 * (1 - i / 12) for i in range(12)])
    assert sum(row["loss"] for row in three[-4:]) < sum(row["loss"] for row in three[:4])
