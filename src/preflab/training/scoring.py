"""The two scores that a policy can be trained on: a reward model's, or the labeller's (the true score)."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from preflab import labellers
from preflab.comparisons import synthetic
from preflab.comparisons.synthetic import Calibration
from preflab.models import causal_lm, reward_model
from preflab.sampling.prompt import Prompt
from preflab.settings.stages import RewardStage
from preflab.training.reward import gain_and_bias, reference_scores

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SEED = "known"  # a tag that seeds the normalisation of a true score; another word would change every such reward


class NetworkScore:
    """Scores `[batch]` of left-padded queries and truncated responses by a reward model."""

    def __init__(self, model: reward_model.RewardModel, pad_id: int) -> None:
        self.model = model
        self.pad_id = pad_id

    @torch.no_grad()
    def __call__(self, queries: Tensor, responses: Tensor) -> Tensor:
        return self.model(torch.cat([queries, responses], 1), self.pad_id)


class LabellerScore:
    """Scores `[batch]`: `gain · score + bias` of the texts of query and response."""

    def __init__(
        self, labeller: labellers.Labeller, tokenizer: "Tokenizer", pad_id: int, gain: float, bias: float
    ) -> None:
        self.labeller = labeller
        self.tokenizer = tokenizer
        self.pad_id = pad_id
        self.gain = gain
        self.bias = bias

    def __call__(self, queries: Tensor, responses: Tensor) -> Tensor:
        texts = (causal_lm.decode(self.tokenizer, tokens, self.pad_id) for tokens in (queries, responses))
        scores = self.labeller.score(*texts)
        return torch.from_numpy(self.gain * scores + self.bias).float().to(queries.device)


Score = NetworkScore | LabellerScore


class Panel:
    """Scores `[queries, n]` of a calibrated labeller's scorers, for left-padded queries and n responses to each."""

    def __init__(self, calibration: Calibration, queries: Path, tokenizer: "Tokenizer", pad_id: int) -> None:
        self.labellers = {scorer: labellers.load(scorer, queries) for scorer in synthetic.scorers(calibration)}
        self.tokenizer = tokenizer
        self.pad_id = pad_id

    def __call__(self, queries: Tensor, samples: Tensor) -> synthetic.ByScorer:
        n = samples.shape[1]
        parts = (queries.repeat_interleave(n, 0), samples.flatten(0, 1))
        asked, answered = (causal_lm.decode(self.tokenizer, part, self.pad_id) for part in parts)
        return synthetic.by_scorer(self.labellers, (asked, answered), n)


def true_score(queries: Path, tokenizer: "Tokenizer", calibration: Calibration, pad_id: int) -> LabellerScore:
    """The labeller's score, scaled to mean 0 and standard deviation 1 on the reference's passing samples."""
    labeller = labellers.load(calibration.scorer, queries)
    return LabellerScore(labeller, tokenizer, pad_id, 1 / calibration.std, -calibration.mean / calibration.std)


def save_true_score(folder: Path, base: Path, gain: float, bias: float, scorer: str) -> None:
    """The true score as the stage `reward` leaves it: normalised on reference samples, as a reward model would be."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "kind": "true_score",
        "scorer": scorer,
        "reference": reward_model.digest(base),
        "gain": gain,
        "bias": bias,
    }
    (folder / "reward.json").write_text(json.dumps(record, sort_keys=True) + "\n")


def load(folder: Path, base: Path, reference: Any, queries: Path, tokenizer: "Tokenizer", pad_id: int) -> Score:
    """The reward in `folder`, of either kind; raises PreflabError if its reference is not the model in `base`."""
    record = reward_model.check_reference(folder, base)
    if record["kind"] == "true_score":
        labeller = labellers.load(record["scorer"], queries)
        return LabellerScore(labeller, tokenizer, pad_id, record["gain"], record["bias"])
    return NetworkScore(reward_model.load(folder, reference, base), pad_id)


def normalize_true_score(
    cfg: RewardStage,
    reference: Any,
    queries: Path,
    tokenizer: "Tokenizer",
    rows: Tensor,
    prompt: Prompt,
    scorer: str,
) -> LabellerScore:
    """The labeller's score with gain and bias from reference samples, as for a reward model.

    `rows`: left-padded train queries `[rows, query]`.  Raises PreflabError if all samples score alike.
    """
    labeller = labellers.load(scorer, queries)
    raw = LabellerScore(labeller, tokenizer, prompt.pad_id, 1.0, 0.0)
    scores = reference_scores(raw, reference, rows, cfg.task, cfg.reward, prompt, (cfg.seed, SEED))
    return LabellerScore(labeller, tokenizer, prompt.pad_id, *gain_and_bias(scores))
