"""The stage `comparisons`: reference samples on train and validation queries, labelled by the synthetic labeller."""

import numpy as np

from preflab.comparisons import agreement, synthetic
from preflab.settings.data import LabellerSettings

JUDGE_AGREEMENT = 0.42  # ours: the paper's 38–46 % (appendix B)


def calibrate(cfg: LabellerSettings, own: synthetic.ByScorer, judged: np.ndarray) -> synthetic.Calibration:
    """τ of labeller and judge, from their scores `[comparisons, n]` of the same reference samples.

    The judge's votes are as noisy as the labels (0.42 where those have no noise).
    """
    scores = own[cfg.scorer]
    synthetic.check(scores, cfg.scorer)
    noise = synthetic.noise(cfg, own)
    judge_tau = synthetic.calibrate(judged, JUDGE_AGREEMENT if cfg.agreement is None else cfg.agreement)
    return synthetic.Calibration(
        cfg.name,
        noise.tau,
        noise.agreement,
        judge_tau,
        synthetic.agreement(judged, judge_tau),
        float(scores.mean()),
        float(scores.std()),
        cfg.scorer,
        cfg.judge,
        cfg.flip_rate,
        noise.pool,
    )


def agreements(
    calibration: synthetic.Calibration, own: synthetic.ByScorer, judged: np.ndarray, seed: int
) -> dict[str, float]:
    """Of the questions that are put to several labellers: their agreement, and that with the judge (Table 9)."""
    rows = agreement.checked(len(judged), seed, "agreement")
    times = min(agreement.TIMES, len(calibration.pool) or agreement.TIMES)
    some = {scorer: scores[rows] for scorer, scores in own.items()}
    answers = synthetic.ask(calibration, some, seed, "agreement", times=times)
    between = agreement.between_labellers(answers.choices)
    choices = synthetic.choose(judged[rows], calibration.judge_tau, seed, "agreement", "judge")
    beside = agreement.with_judge(answers.choices, choices)
    found = {"questions_asked_again": float(between.questions), "labellers_agree": between.share}
    found |= {"labellers_agree_se": between.error, "judge_agrees": beside.share, "judge_agrees_se": beside.error}
    return {name: round(value, 4) for name, value in found.items() if np.isfinite(value)}


def correlation(own: np.ndarray, judged: np.ndarray) -> float:
    """Pearson's r of two scores of the same texts."""
    return float(np.corrcoef(own.ravel(), judged.ravel())[0, 1])
