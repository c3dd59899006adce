"""A synthetic labeller in place of people: it picks response i with probability ∝ exp(score_i/τ).

τ is set so that two such labellers agree on a given share of four-way choices, as the paper's did (appendix B).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from preflab import labellers
from preflab.errors import PreflabError
from preflab.runtime import seed_for


@dataclass(slots=True)
class Calibration:
    """`tau` of labeller (0: noise-free) and judge; `mean`, `std` of the labeller's scores on reference samples.

    `scorer` is the module of preflab.labellers that gave them: true score, known reward and online labels load it.
    """

    name: str
    tau: float
    agreement: float
    judge_tau: float
    judge_agreement: float
    mean: float
    std: float
    scorer: str

    def save(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n")


def load_calibration(folder: Path) -> Calibration:
    """`labeller.json` of a comparisons folder."""
    path = folder / "labeller.json"
    if not path.exists():
        raise PreflabError(f"{path}: not found; `dvc repro` (stage comparisons) writes it")
    return Calibration(**json.loads(path.read_text()))


def probabilities(scores: np.ndarray, tau: float) -> np.ndarray:
    """`[comparisons, n]` choice probabilities; τ = 0 gives all to the highest score, split evenly where several tie."""
    below = scores - scores.max(1, keepdims=True)
    weights = (below == 0).astype(np.float64) if tau == 0 else np.exp(below / tau)
    return weights / weights.sum(1, keepdims=True)


def agreement(scores: np.ndarray, tau: float) -> float:
    """Expected share of comparisons on which two independent labellers choose alike: mean of Σ p²."""
    return float((probabilities(scores, tau) ** 2).sum(1).mean())


def calibrate(scores: np.ndarray, target: float | None) -> float:
    """τ with `agreement(scores, τ) == target` by bisection (agreement falls as τ grows); 0 for no target."""
    if target is None:
        return 0.0
    unit = float(scores.std()) or 1.0
    low, high = 1e-6 * unit, 1e6 * unit
    if not agreement(scores, high) < target < agreement(scores, 0):
        raise PreflabError(
            f"labeller.agreement={target}: out of reach; "
            f"noise-free labellers agree on {agreement(scores, 0):.3f} of these comparisons; "
            "take an agreement below that, or another labeller.scorer"
        )
    for _ in range(200):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if agreement(scores, middle) > target else (low, middle)
    return float(high)


def choose(scores: np.ndarray, tau: float, *seed: object) -> list[int]:
    """One choice per row of `[comparisons, n]` scores, drawn with a generator seeded by `seed`."""
    uniform = np.random.default_rng(seed_for(*seed)).random((len(scores), 1))
    below = probabilities(scores, tau).cumsum(1) <= uniform
    return np.minimum(below.sum(1), scores.shape[1] - 1).tolist()


def scores(labeller: labellers.Labeller, texts: list[str], n: int) -> np.ndarray:
    """`[comparisons, n]` scores of response texts that stand n to a comparison. The query is the same for all n."""
    return labeller.score(texts).reshape(-1, n)


def check(scores: np.ndarray, scorer: str) -> None:
    """Raises if the scorer tells none of the samples `[comparisons, n]` apart (their std would be 0), or gives NaN."""
    if not np.isfinite(scores).all():
        raise PreflabError(
            f"labeller.scorer={scorer}: {(~np.isfinite(scores)).sum()} of {scores.size} scores of reference samples "
            "are not finite; mend the scorer or take another"
        )
    if scores.min() == scores.max():
        raise PreflabError(
            f"labeller.scorer={scorer}: all {scores.size} scores of reference samples are {scores.flat[0]:.4g}, "
            "so no response is better than another; take another scorer, or more comparisons.heldout"
        )
