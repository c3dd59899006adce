"""Synthetic labellers in place of humans: one picks response i with probability ∝ exp(score_i/τ).

τ is set so that two such labellers agree on a given share of four-way choices, as the paper's did (appendix B).  Two
other kinds of noise can replace it or add to it: with the probability `flip_rate` another choice is recorded; each
comparison is answered by one of a pool of labellers, which differ in their weights of several scorers and in noise.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from preflab import labellers
from preflab.errors import PreflabError
from preflab.machine.runtime import seed_for
from preflab.settings import data

Texts = tuple[list[str], list[str]]  # of queries and of responses, a pair for each sample
ByScorer = Mapping[str, np.ndarray]  # scores [comparisons, n] of each scorer


@dataclass(slots=True)
class Member:
    """One labeller of a pool: it chooses by Σ weight · score at the temperature `tau` (0: noise-free)."""

    name: str
    weights: dict[str, float]
    tau: float


@dataclass(slots=True)
class Calibration:
    """`tau` of labeller (0: noise-free) and judge; `mean`, `std` of the labeller's scores on reference samples.

    `scorer` is the module of preflab.labellers that gave them: the true score and online labels load it; the evaluation
    loads `judge`.  `pool`: the labellers that answer instead of this one; `tau` is then that of a member of noise 1.
    """

    name: str
    tau: float
    agreement: float
    judge_tau: float
    judge_agreement: float
    mean: float
    std: float
    scorer: str
    judge: str
    flip_rate: float = 0.0
    pool: list[Member] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write it to `path` as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n")


def load_calibration(folder: Path) -> Calibration:
    """`labeller.json` of a comparisons folder; raises PreflabError if there is none."""
    path = folder / "labeller.json"
    if not path.exists():
        raise PreflabError(f"{path}: not found; `dvc repro` (stage comparisons) writes it")
    record = json.loads(path.read_text())
    return Calibration(**record | {"pool": [Member(**member) for member in record.get("pool", [])]})


def scorers(labeller: data.LabellerSettings | Calibration) -> list[str]:
    """The scorers that `noise` and `ask` need: that of the true score first, then those of the pool."""
    return list(dict.fromkeys([labeller.scorer, *(scorer for member in labeller.pool for scorer in member.weights)]))


def probabilities(scores: np.ndarray, tau: float, flip_rate: float = 0.0) -> np.ndarray:
    """`[comparisons, n]` choice probabilities; τ = 0 gives all to the highest score, split evenly where several tie.

    A flip records one of the n − 1 others: p becomes (1 − flip) p + flip (1 − p)/(n − 1).
    """
    below = scores - scores.max(1, keepdims=True)
    weights = (below == 0).astype(np.float64) if tau == 0 else np.exp(below / tau)
    chosen = weights / weights.sum(1, keepdims=True)
    return (1 - flip_rate) * chosen + flip_rate * (1 - chosen) / (scores.shape[1] - 1) if flip_rate else chosen


def agreement(scores: np.ndarray, tau: float, flip_rate: float = 0.0) -> float:
    """Expected share of comparisons on which two independent labellers choose alike: mean of Σ p².

    `scores` `[comparisons, n]`.
    """
    return float((probabilities(scores, tau, flip_rate) ** 2).sum(1).mean())


def calibrate(scores: np.ndarray, target: float | None, flip_rate: float = 0.0) -> float:
    """τ with `agreement(scores, τ, flip_rate) == target`; 0 for no target.

    `scores` `[comparisons, n]`.  Raises PreflabError if no τ reaches the target.
    """
    return _solve(lambda tau: agreement(scores, tau, flip_rate), target, float(scores.std()) or 1.0)


def choose(scores: np.ndarray, tau: float, *seed: object) -> list[int]:
    """One choice per row of `[comparisons, n]` scores, drawn with a generator seeded by `seed`."""
    uniform = np.random.default_rng(seed_for(*seed)).random((len(scores), 1))
    return _pick(probabilities(scores, tau), uniform).tolist()


class Noise(NamedTuple):
    """The noise as `labeller.json` records it; see Calibration."""

    tau: float
    agreement: float
    pool: list[Member]


def noise(labeller: data.LabellerSettings, scores: ByScorer) -> Noise:
    """τ, and the pool with its weights per unit of each scorer, from the scores of reference samples.

    `labeller.agreement` is that of two draws of one labeller, or of two different labellers of the pool.  `scores`: see
    ByScorer.  Raises PreflabError if no τ gives that agreement, or a scorer of the pool fails `check`.
    """
    if not labeller.pool:
        true_scores = scores[labeller.scorer]
        tau = calibrate(true_scores, labeller.agreement, labeller.flip_rate)
        return Noise(tau, agreement(true_scores, tau, labeller.flip_rate), [])

    for scorer in dict.fromkeys(scorer for taste in labeller.pool for scorer in taste.weights):
        check(scores[scorer], scorer)

    def pool(tau: float) -> list[Member]:
        return [
            Member(taste.name, {s: w / float(scores[s].std()) for s, w in taste.weights.items()}, tau * taste.noise)
            for taste in labeller.pool
        ]

    def shared(tau: float) -> float:
        return pool_agreement(pool_probabilities(pool(tau), scores, labeller.flip_rate))

    tau = _solve(shared, labeller.agreement, 1.0)
    return Noise(tau, shared(tau), pool(tau))


def pool_probabilities(pool: list[Member], scores: ByScorer, flip_rate: float = 0.0) -> np.ndarray:
    """`[members, comparisons, n]` choice probabilities."""
    likes = [sum(weight * scores[scorer] for scorer, weight in member.weights.items()) for member in pool]
    return np.stack([probabilities(np.asarray(s), m.tau, flip_rate) for s, m in zip(likes, pool, strict=True)])


def pool_agreement(p: np.ndarray) -> float:
    """Expected share of comparisons on which two different members choose alike; `p` `[members, comparisons, n]`."""
    members = len(p)
    both = (p.sum(0) ** 2).sum(-1) - (p**2).sum((0, -1))  # ordered pairs of different members [comparisons]
    return float(both.mean() / (members * (members - 1)))


class Answers(NamedTuple):
    """`names[i][k]` chose sample `choices[i][k]` when comparison i was put to a labeller for the k-th time."""

    names: list[list[str]]
    choices: list[list[int]]


def ask(calibration: Calibration, scores: ByScorer, *seed: object, times: int = 1) -> Answers:
    """`times` answers to each comparison, by different members of the pool, or independent ones of the single labeller.

    `scores`: those of `scorers(calibration)`.  With `times=1` and without pool and flips this equals `choose`.
    Raises PreflabError if the pool has fewer than `times` members.
    """
    pool = calibration.pool or [Member(calibration.name, {calibration.scorer: 1.0}, calibration.tau)]
    if 1 < len(pool) < times:
        raise PreflabError(
            f"labeller.pool: {len(pool)} labellers cannot answer a comparison {times} times; give it {times} or more"
        )
    p = pool_probabilities(pool, scores, calibration.flip_rate)
    count = p.shape[1]
    members = np.zeros((count, times), np.int64)
    if len(pool) > 1:
        order = np.tile(np.arange(len(pool)), (count, 1))
        members = np.random.default_rng(seed_for(*seed, "who")).permuted(order, axis=1)[:, :times]
    uniform = np.random.default_rng(seed_for(*seed)).random((count, times, 1))
    names = [f"{calibration.name}/{m.name}" if calibration.pool else m.name for m in pool]
    choices = _pick(p[members, np.arange(count)[:, None]], uniform)
    return Answers([[names[i] for i in row] for row in members.tolist()], choices.tolist())


def _pick(p: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """`[...]` choices by the inverse of the cumulative sums of `p` `[..., n]` at `uniform` `[..., 1]` in 0 … 1."""
    return np.minimum((p.cumsum(-1) <= uniform).sum(-1), p.shape[-1] - 1)


def _solve(agreement_at: Callable[[float], float], target: float | None, unit: float) -> float:
    """τ at which the agreement is `target`, by bisection (it falls as τ grows); 0 for no target."""
    if target is None:
        return 0.0
    low, high = 1e-6 * unit, 1e6 * unit
    if not agreement_at(high) < target < agreement_at(0):
        raise PreflabError(
            f"labeller.agreement={target}: out of reach; "
            f"noise-free labellers agree on {agreement_at(0):.3f} of these comparisons; "
            "take an agreement below that, or another labeller.scorer"
        )
    for _ in range(200):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if agreement_at(middle) > target else (low, middle)
    return float(high)


def scores(labeller: labellers.Labeller, texts: Texts, n: int) -> np.ndarray:
    """`[comparisons, n]` scores of samples, of which n in a row belong to one comparison."""
    return labeller.score(*texts).reshape(-1, n)


def by_scorer(panel: Mapping[str, labellers.Labeller], texts: Texts, n: int) -> dict[str, np.ndarray]:
    """`scores` of each labeller of `panel`, by name."""
    return {name: scores(labeller, texts, n) for name, labeller in panel.items()}


def check(scores: np.ndarray, scorer: str) -> None:
    """Raises PreflabError if the scores `[comparisons, n]` are all equal (their std would be 0), or not finite."""
    if not np.isfinite(scores).all():
        raise PreflabError(
            f"labeller.scorer={scorer}: {(~np.isfinite(scores)).sum()} of {scores.size} scores of reference samples "
            "are not finite; correct the scorer or take another"
        )
    if scores.min() == scores.max():
        raise PreflabError(
            f"labeller.scorer={scorer}: all {scores.size} scores of reference samples are {scores.flat[0]:.4g}, "
            "so no response is better than another; take another scorer, or more comparisons.heldout"
        )
