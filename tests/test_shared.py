"""One network as policy and reward model: what it shares, its losses, and that PPO trains both."""

import copy

import pytest
import torch

from helpers.tiny_model import PAD, PROMPT, gpt2, policy_stage, reward_settings, task
from helpers.tiny_training import random_comparisons
from preflab.models import causal_lm, reward_model
from preflab.settings.method import SharedSettings
from preflab.training import batches, optim, ppo, shared_network
from preflab.training.reward import batch_of, loss_of, train


def batch():
    data = batch_of(random_comparisons(16), PAD, torch.device("cpu"))
    return data.queries, data.samples[torch.arange(16), data.best]


def test_language_loss_is_the_mean_kl_of_the_tokens():
    reference, other = gpt2(0).requires_grad_(False), gpt2(1)
    queries, responses = batch()
    model = reward_model.initial(other, 1)
    got = shared_network.language_loss(model, queries, responses, reference, task(), PROMPT)
    tokens = torch.cat([queries, responses], 1)
    distributions = []
    for lm in (reference, other):  # a whole forward pass of each model, its own head included
        given = causal_lm.inputs(tokens, PAD)
        logits = lm(**given._asdict()).logits[:, -responses.shape[1] - 1 : -1] / task().temperature
        distributions.append(torch.distributions.Categorical(logits=logits))
    expected = torch.distributions.kl_divergence(*distributions)[responses != PAD].mean()
    torch.testing.assert_close(got, expected)
    same = reward_model.initial(reference, 1)
    assert shared_network.language_loss(same, queries, responses, reference, task(), PROMPT).item() == pytest.approx(
        0, abs=1e-6
    )


def test_language_is_kept_while_the_reward_model_trains():
    lm = gpt2().requires_grad_(False)
    labels = random_comparisons(64)
    queries, responses = batch()

    def kept(model, asked, chosen):
        return shared_network.language_loss(model, asked, chosen, lm, task(), PROMPT)

    moved = []
    for added in (None, kept):
        training = train(lm, labels, queries, task(), reward_settings(), PROMPT, 1, added_loss=added)
        moved.append(shared_network.language_loss(training.model, queries, responses, lm, task(), PROMPT).item())
    assert moved[1] < moved[0] / 2


def test_policy_and_reward_model_are_one_trunk_with_three_heads():
    given = reward_model.initial(gpt2(1), 1)
    trunk = copy.deepcopy(given.trunk.state_dict())
    policy = shared_network.Policy(gpt2(0), given)
    assert policy.rewarder.trunk is policy.lm.base_model
    assert all(torch.equal(trunk[name], value) for name, value in policy.lm.base_model.state_dict().items())
    assert policy.lm.get_output_embeddings().weight is policy.lm.get_input_embeddings().weight
    heads = {name for name, _ in policy.named_parameters() if not name.startswith("lm.")}
    assert heads == {
        "value_head.weight", "value_head.bias",
        "rewarder.head.weight", "rewarder.head.bias", "rewarder.gain", "rewarder.bias",
    }  # fmt: skip


def test_a_gradient_step_of_ppo_trains_the_reward_model_too():
    cfg, lm = policy_stage(lr=1e-2), gpt2().requires_grad_(False)
    labels = random_comparisons(8)
    policy = shared_network.Policy(gpt2(), reward_model.initial(lm, 1))
    loss = shared_network.label_loss(policy, labels, SharedSettings(8, 4), 1, PAD)
    scores = [policy.rewarder.compare(*batch_of(labels, PAD, lm.device)[:2], PAD)]
    rows = batches.query_batches(8, 4, 1, 5)
    expected = loss_of(scores[0][rows], torch.tensor([labels[row].best for row in rows]))
    torch.testing.assert_close(loss(5), expected)

    optimizer = optim.build("tf", policy.parameters(), 1e-2, 1e-5)
    before = sum(loss(step).item() for step in (0, 1))  # two batches are all of the labels
    gain = policy.rewarder.gain.item()
    zeros = torch.zeros(16, 8)
    tokens = torch.randint(0, 11, (16, 14), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logprobs, values = policy.evaluate(tokens, 8, 0.7, PAD)
    episodes = ppo.Episodes(tokens, logprobs, logprobs, values, zeros, zeros[:, 0], zeros[:, 0], zeros[:, 0] == 0)
    for update in range(5):
        ppo.optimise(cfg, policy, optimizer, episodes, 0.1, update, PAD, loss)
    assert sum(loss(step).item() for step in (0, 1)) < before - 0.2
    assert policy.rewarder.gain.item() == gain
