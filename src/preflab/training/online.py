"""Online collection (paper §2.3): labels arrive by l(n) while the policy trains, and the reward model is retrained.

Four samples of the current policy to a question; beside them, at a constant rate, validation questions with two samples
of the reference and two of the policy.  Each retraining starts from the reference, on all labels so far.
"""

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from preflab.comparisons import Comparison, synthetic
from preflab.machine import checkpoint, runtime
from preflab.models import causal_lm, reward_model
from preflab.sampling import passing
from preflab.sampling.prompt import Layout
from preflab.settings.method import OnlineSettings
from preflab.settings.stages import PpoStage
from preflab.training import scoring
from preflab.training.reward import train


def labels_due(episode: int, episodes: int, initial: int, total: int) -> float:
    """l(n) = N⁰ + (N − N⁰)(1 − (1 − n/Nπ)²): labels that must be in before episode n of Nπ."""
    return initial + (total - initial) * (1 - (1 - episode / episodes) ** 2)


def retraining_points(retrainings: int, initial: int, total: int) -> list[int]:
    """Label counts at which the reward model is trained again: evenly spaced in l, the end left out.

    With 19 retrainings: N⁰ + i/20 · (N − N⁰) for i = 1 … 19 (i = 0 is the stage `reward`).
    """
    return [math.ceil(initial + i / (retrainings + 1) * (total - initial)) for i in range(1, retrainings + 1)]


class Collector:
    """The labels so far and the reward model in force. `before_update` and the two state functions are PPO's hooks."""

    def __init__(
        self,
        cfg: PpoStage,
        online: OnlineSettings,
        reference: Any,
        queries: Tensor,
        labels: list[Comparison],
        model: reward_model.RewardModel,
        label: Callable[[Tensor, Tensor], synthetic.ByScorer],
        calibration: synthetic.Calibration,
        layout: Layout,
    ) -> None:
        self.cfg, self.online, self.reference, self.queries = cfg, online, reference, queries
        self.labels, self.model, self.label, self.calibration = labels, model, label, calibration
        self.layout = layout
        self.points = retraining_points(online.retrainings, online.num_initial, online.num_train)
        self.collected = online.num_initial
        self.trained = 0
        self.asked = self.won = 0

    def score(self) -> scoring.NetworkScore:
        """The reward in force."""
        return scoring.NetworkScore(self.model, self.layout.pad_id)

    def before_update(self, update: int, policy: causal_lm.Policy) -> dict[str, float]:
        """Collect what l(n) asks for before this update, and retrain where a point has been passed."""
        ppo = self.cfg.policy
        episode = update * ppo.batch_size
        due = math.floor(labels_due(episode, ppo.episodes, self.online.num_initial, self.online.num_train))
        if due > self.collected:
            self._collect(due - self.collected, update, policy, validation=False)
            self.collected = due
        wanted = math.floor(self.online.validation_share * self.online.num_train * episode / ppo.episodes)
        if wanted > self.asked:
            self._collect(wanted - self.asked, update, policy, validation=True)
        if self.trained < len(self.points) and self.collected >= self.points[self.trained]:
            while self.trained < len(self.points) and self.collected >= self.points[self.trained]:
                self.trained += 1  # several points passed within one batch of episodes make one training
            training = train(
                self.reference, self.labels, self.queries, self.cfg.task, self.online.reward, self.layout,
                self.cfg.seed,  # as in the stage `reward`: the random part of the head stays through the run
                start=policy.lm if self.online.retrain_from == "policy" else None,
            )  # fmt: skip
            self.model = training.model
        row = {"labels": float(self.collected), "retrainings": float(self.trained)}
        return {**row, "validation_win_rate": self.won / self.asked} if self.asked else row

    def _collect(self, count: int, update: int, policy: causal_lm.Policy, validation: bool) -> None:
        kind = "validation" if validation else "policy"
        key = (self.cfg.seed, "online", kind, update)
        rows = torch.randint(len(self.queries), (count,), generator=runtime.generator("cpu", *key, "queries"))
        queries = self.queries[rows.to(self.queries.device)]
        parts = (
            [(self.reference, "reference", 2), (policy.lm, "policy", 2)] if validation else [(policy.lm, "policy", 4)]
        )
        samples = torch.cat(
            [
                passing.passing(
                    lm,
                    queries,
                    n,
                    self.cfg.task,
                    self.layout,
                    self.online.reward.rollout_batch,
                    self.online.max_rounds,
                    (*key, name),
                ).responses
                for lm, name, n in parts
            ],
            1,
        )
        scores = self.label(queries, samples)
        answers = synthetic.ask(self.calibration, scores, *key, "label")
        source = f"{kind}@{self.collected}"
        asked = causal_lm.right_pad(queries, self.layout.pad_id).tolist()
        self.labels += [
            Comparison(q, s, b, who, self.cfg.seed, source)
            for q, s, (b,), (who,) in zip(asked, samples.tolist(), answers.choices, answers.names, strict=True)
        ]
        if validation:
            self.asked += count
            self.won += sum(b >= 2 for (b,) in answers.choices)

    def save_state(self) -> tuple[checkpoint.Tensors, dict[str, Any]]:
        """Everything that a resumed run needs."""
        state = {
            "collected": self.collected, "trained": self.trained, "asked": self.asked, "won": self.won,
            "labels": [asdict(c) for c in self.labels],
        }  # fmt: skip
        return {f"reward.{k}": v for k, v in self.model.state_dict().items()}, state

    def load_state(self, tensors: checkpoint.Tensors, state: dict[str, Any]) -> None:
        """The counterpart of `save_state`."""
        self.model.load_state_dict({k[7:]: v for k, v in tensors.items() if k.startswith("reward.")})
        self.labels = [Comparison(**c) for c in state["labels"]]
        self.collected, self.trained = state["collected"], state["trained"]
        self.asked, self.won = state["asked"], state["won"]
