"""Online collection (paper §2.3): labels arrive by l(n) while the policy trains, and the reward model is retrained.

A question has four samples of the current policy; at a constant rate there are also validation questions, with two
samples of the reference and two of the policy.  Each retraining starts from the reference, on all labels so far.
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
from preflab.sampling.reference import Reference
from preflab.settings.stages import PpoStage
from preflab.training import scoring
from preflab.training.reward import train


def labels_due(episode: int, episodes: int, initial: int, total: int) -> float:
    """l(n) = N⁰ + (N − N⁰)(1 − (1 − n/Nπ)²): labels due before episode n of Nπ (paper §2.3)."""
    return initial + (total - initial) * (1 - (1 - episode / episodes) ** 2)


def retraining_points(retrainings: int, initial: int, total: int) -> list[int]:
    """Label counts at which the reward model is trained again: evenly spaced in l, without its end.

    With 19 retrainings: N⁰ + i/20 · (N − N⁰) for i = 1 … 19 (i = 0 is the stage `reward`).
    """
    return [math.ceil(initial + i / (retrainings + 1) * (total - initial)) for i in range(1, retrainings + 1)]


class Collector:
    """The labels so far and the reward model in force; `before_update` and the two state functions are PPO's hooks."""

    def __init__(
        self,
        cfg: PpoStage,
        ref: Reference,
        labels: list[Comparison],
        model: reward_model.RewardModel,
        panel: Callable[[Tensor, Tensor], synthetic.ByScorer],
        calibration: synthetic.Calibration,
    ) -> None:
        """`labels`: the first N⁰; `model`: the reward model of the stage `reward`, trained on them.

        `panel(queries, samples)`: the scores that the labeller of `calibration` chooses by.
        """
        assert cfg.online is not None
        self.cfg, self.online, self.ref = cfg, cfg.online, ref
        self.labels, self.model, self.panel, self.calibration = labels, model, panel, calibration
        self.points = retraining_points(self.online.retrainings, self.online.num_initial, self.online.num_train)
        self.collected = self.online.num_initial
        self.trained = 0
        self.asked = self.won = 0

    def score(self) -> scoring.NetworkScore:
        """The reward in force."""
        return scoring.NetworkScore(self.model, self.ref.prompt.pad_id)

    def before_update(self, update: int, policy: causal_lm.Policy) -> dict[str, float]:
        """Collect the labels due before this update, and retrain where the labels reach a retraining point.

        Returns the numbers of labels and retrainings so far, and the policy's share of wins among validation questions.
        """
        ppo = self.cfg.policy
        episode = update * ppo.batch_size
        due = math.floor(labels_due(episode, ppo.episodes, self.online.num_initial, self.online.num_train))
        if due > self.collected:
            self._ask("policy", [(policy.lm, "policy", 4)], due - self.collected, update)
            self.collected = due
        due = math.floor(self.online.validation_share * self.online.num_train * episode / ppo.episodes)
        if due > self.asked:
            writers = [(self.ref.lm, "reference", 2), (policy.lm, "policy", 2)]
            choices = self._ask("validation", writers, due - self.asked, update)
            self.won += sum(choice >= 2 for choice in choices)
            self.asked = due
        if self.trained < len(self.points) and self.collected >= self.points[self.trained]:
            while self.trained < len(self.points) and self.collected >= self.points[self.trained]:
                self.trained += 1  # several points passed within one batch of episodes make one training
            self.model = self._retrained(policy)
        row = {"labels": float(self.collected), "retrainings": float(self.trained)}
        return {**row, "validation_win_rate": self.won / self.asked} if self.asked else row

    def _retrained(self, policy: causal_lm.Policy) -> reward_model.RewardModel:
        """A reward model on all labels so far, from the reference, with the random head of the stage `reward`."""
        return train(
            self.ref.lm, self.labels, self.ref.queries, self.cfg.task, self.online.reward, self.ref.prompt,
            self.cfg.seed,
            start=policy.lm if self.online.retrain_from == "policy" else None,
        ).model  # fmt: skip

    def _ask(self, kind: str, writers: list[tuple[Any, str, int]], count: int, update: int) -> list[int]:
        """Label `count` questions about samples of `writers` (model, name, number of samples); returns the choices."""
        pool, prompt = self.ref.queries, self.ref.prompt
        tags = (self.cfg.seed, "online", kind, update)
        rows = torch.randint(len(pool), (count,), generator=runtime.generator("cpu", *tags, "queries"))
        queries = pool[rows.to(pool.device)]
        samples = torch.cat(
            [
                passing.passing(
                    lm, queries, n, self.cfg.task, prompt,
                    self.online.reward.rollout_batch, self.online.max_rounds, (*tags, name),
                ).responses
                for lm, name, n in writers
            ],
            1,
        )  # fmt: skip
        answers = synthetic.ask(self.calibration, self.panel(queries, samples), *tags, "label")
        source = f"{kind}@{self.collected}"
        asked = causal_lm.right_pad(queries, prompt.pad_id).tolist()
        self.labels += [
            Comparison(query, texts, choice, labeller, self.cfg.seed, source)
            for query, texts, (choice,), (labeller,) in zip(
                asked, samples.tolist(), answers.choices, answers.names, strict=True
            )
        ]
        return [choice for (choice,) in answers.choices]

    def save_state(self) -> tuple[checkpoint.Tensors, dict[str, Any]]:
        """What a resumed run needs: the reward model's tensors and the counts and labels as JSON."""
        state = {
            "collected": self.collected, "trained": self.trained, "asked": self.asked, "won": self.won,
            "labels": [asdict(comparison) for comparison in self.labels],
        }  # fmt: skip
        return checkpoint.tensors_of("reward", self.model), state

    def load_state(self, tensors: checkpoint.Tensors, state: dict[str, Any]) -> None:
        """The counterpart of `save_state`; raises PreflabError if the weights do not fit."""
        checkpoint.restore_module("reward", self.model, tensors)
        self.labels = [Comparison(**fields) for fields in state["labels"]]
        self.collected, self.trained = state["collected"], state["trained"]
        self.asked, self.won = state["asked"], state["won"]
