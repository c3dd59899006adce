"""What `labeller.json` records: temperatures of labeller and judge, the scale of the score, and their agreement."""

import numpy as np

from preflab.comparisons import agreement, synthetic
from preflab.settings.data import LabellerSettings

JUDGE_AGREEMENT = 0.42  # ours: the paper's 38–46 % (appendix B)


def calibrate(cfg: LabellerSettings, scores: synthetic.ByScorer, judge_scores: np.ndarray) -> synthetic.Calibration:
    """τ of labeller and judge, from their scores `[comparisons, n]` of the same reference samples.

    The judge's votes are as noisy as the labels (JUDGE_AGREEMENT where those have no noise).  Raises PreflabError if
    all scores are equal, if some are not finite, or if no τ gives the agreement.
    """
    true_scores = scores[cfg.scorer]
    synthetic.check(true_scores, cfg.scorer)
    noise = synthetic.noise(cfg, scores)
    judge_tau = synthetic.calibrate(judge_scores, JUDGE_AGREEMENT if cfg.agreement is None else cfg.agreement)
    return synthetic.Calibration(
        cfg.name,
        noise.tau,
        noise.agreement,
        judge_tau,
        synthetic.agreement(judge_scores, judge_tau),
        float(true_scores.mean()),
        float(true_scores.std()),
        cfg.scorer,
        cfg.judge,
        cfg.flip_rate,
        noise.pool,
    )


def agreements(
    calibration: synthetic.Calibration, scores: synthetic.ByScorer, judge_scores: np.ndarray, seed: int
) -> dict[str, float]:
    """Agreement between labellers, and with the judge, on the questions that go to several labellers (Table 9).

    Scores are `[comparisons, n]`.  Numbers that cannot be computed are left out.
    """
    rows = agreement.asked_again(len(judge_scores), seed, "agreement")
    times = min(agreement.TIMES, len(calibration.pool) or agreement.TIMES)
    asked = {scorer: values[rows] for scorer, values in scores.items()}
    answers = synthetic.ask(calibration, asked, seed, "agreement", times=times)
    between = agreement.between_labellers(answers.choices)
    choices = synthetic.choose(judge_scores[rows], calibration.judge_tau, seed, "agreement", "judge")
    with_judge = agreement.with_judge(answers.choices, choices)
    metrics = {"questions_asked_again": float(between.questions), "labellers_agree": between.share}
    metrics |= {"labellers_agree_se": between.error}
    metrics |= {"judge_agrees": with_judge.share, "judge_agrees_se": with_judge.error}
    return {name: round(value, 4) for name, value in metrics.items() if np.isfinite(value)}


def correlation(scores: np.ndarray, judge_scores: np.ndarray) -> float:
    """Pearson's r of two scores of the same texts, arrays of one shape."""
    return float(np.corrcoef(scores.ravel(), judge_scores.ravel())[0, 1])
