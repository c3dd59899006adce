"""One network as policy and reward model at once, which the paper tried and gave up (§4): it overfitted.

The stage `reward` trains the trunk on the labels, with a KL from the reference as a second loss that preserves its
language; the policy starts from that trunk, and every gradient step of PPO also takes a batch of the same labels.  The
network as it currently is scores each episode.  The weights of the losses, 1 each, are ours.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from preflab.comparisons import Comparison
from preflab.errors import PreflabError
from preflab.machine import parallel
from preflab.models import architectures, causal_lm, reward_model
from preflab.sampling.prompt import Prompt
from preflab.settings.method import SharedSettings, TaskSettings
from preflab.training import batches
from preflab.training.reward import batch_of, loss_of


def language_loss(
    model: reward_model.RewardModel,
    queries: Tensor,
    responses: Tensor,
    reference: Any,
    task: TaskSettings,
    prompt: Prompt,
) -> Tensor:
    """Mean KL(ρ‖π) per token of the responses, π being the reference's language head on the model's trunk.

    `queries` left-padded `[batch, query]`, `responses` `[batch, response]`, truncated and padded.  Raises PreflabError
    if the reference's logits are not one product with its vocabulary matrix.
    """
    tokens = torch.cat([prompt.inputs(queries), responses], 1)
    real = responses != prompt.pad_id
    before = slice(-responses.shape[1] - 1, -1)
    if not architectures.is_plain(reference.config):
        raise PreflabError(
            f"reward.shared=true: logits of {reference.config.model_type} are not one product with the vocabulary "
            f"matrix, which this ablation needs; take a model of {', '.join(sorted(architectures.PLAIN))}"
        )
    tied = reference.config.tie_word_embeddings
    head = model.trunk.get_input_embeddings() if tied else reference.get_output_embeddings()  # type: ignore[operator]
    with torch.no_grad():
        hidden = causal_lm.hidden_states(reference.base_model, tokens, prompt.pad_id)[:, before][real]
        expected = causal_lm.logits_of(reference, hidden, task.temperature).float().log_softmax(1)
    hidden = causal_lm.hidden_states(model.trunk, tokens, prompt.pad_id)[:, before][real]
    logprobs = (hidden / task.temperature @ head.weight.T).float().log_softmax(1)
    return (expected.exp() * (expected - logprobs)).sum(1).mean()


class Policy(causal_lm.Policy):
    """A policy that shares its trunk with its reward model, `rewarder`, whose gain and bias stay fixed."""

    def __init__(self, lm: Any, rewarder: reward_model.RewardModel) -> None:
        super().__init__(lm)
        lm.base_model.load_state_dict(rewarder.trunk.state_dict())
        rewarder.trunk = lm.base_model
        rewarder.gain.requires_grad_(False)
        rewarder.bias.requires_grad_(False)
        self.rewarder = rewarder


def label_loss(
    policy: Policy, labels: list[Comparison], cfg: SharedSettings, seed: int, pad_id: int
) -> Callable[[int], Tensor]:
    """The loss of the reward model on the batch of labels of each gradient step, by the step's number in the run."""
    data = batch_of(labels[: cfg.num_train], pad_id, policy.lm.device)

    def loss(step: int) -> Tensor:
        rows = torch.tensor(batches.query_batches(len(data.best), cfg.batch_size, seed, step), device=data.best.device)
        scores = policy.rewarder.compare(data.queries[rows], data.samples[rows], pad_id)
        return loss_of(scores, data.best[rows]) / parallel.size()  # every rank adds its gradient

    return loss
