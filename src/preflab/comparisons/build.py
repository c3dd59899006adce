"""The stage `comparisons`: reference samples on train and validation queries, labelled by the synthetic labeller."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from preflab import comparisons, labellers, models, prepare, reference, runtime
from preflab.comparisons import Comparison, agreement, sample, synthetic
from preflab.config import ComparisonsStage, Labeller

SAMPLES = 4  # paper §2.1: people choose the best of four
JUDGE_AGREEMENT = 0.42  # ours: the paper's 38–46 % (appendix B)


def run(cfg: ComparisonsStage, queries: Path, model: Path, out: Path) -> dict[str, float]:
    """Write `train.parquet`, `heldout.parquet` and `labeller.json`; returns the metrics."""
    ref = reference.load(cfg.runtime, cfg.task, queries, model)
    drawn: dict[str, Any] = {}
    for split, name, count in (
        ("validation", "heldout", cfg.comparisons.heldout),
        ("train", "train", cfg.comparisons.num),
    ):
        rows = pick_queries(queries, split, count, cfg.comparisons.seed)
        tokens = models.left_pad(torch.tensor(rows, device=ref.queries.device), ref.layout.pad_id)
        responses = sample.passing(
            ref.lm, tokens, SAMPLES, cfg.task, ref.layout,
            cfg.comparisons.rollout_batch, cfg.comparisons.max_rounds, (cfg.comparisons.seed, name), f"sampling {name}",
        )  # fmt: skip
        texts = tuple(
            models.decode(ref.tokenizer, part, ref.layout.pad_id)
            for part in (tokens.repeat_interleave(SAMPLES, 0), responses.responses.flatten(0, 1))
        )
        drawn[name] = rows, responses, texts
    panel = {scorer: labellers.load(scorer, queries) for scorer in synthetic.scorers(cfg.labeller)}
    judge = labellers.load(cfg.labeller.judge, queries)
    own = {name: synthetic.by_scorer(panel, texts, SAMPLES) for name, (_, _, texts) in drawn.items()}
    judged = {name: synthetic.scores(judge, texts, SAMPLES) for name, (_, _, texts) in drawn.items()}
    calibration = calibrate(cfg.labeller, own["heldout"], judged["heldout"])
    out.mkdir(parents=True, exist_ok=True)
    for name, (rows, responses, _) in drawn.items():
        answers = synthetic.ask(calibration, own[name], cfg.comparisons.seed, name, "label")
        labelled = zip(rows, responses.responses.tolist(), answers.choices, answers.names, strict=True)
        comparisons.write(
            [
                Comparison(query, samples, choice, who, cfg.comparisons.seed, "reference")
                for query, samples, (choice,), (who,) in labelled
            ],
            out / f"{name}.parquet",
        )
    calibration.save(out / "labeller.json")
    return {
        "train": len(drawn["train"][0]),
        "heldout": len(drawn["heldout"][0]),
        "passed": round(drawn["train"][1].share, 4),
        "tau": round(calibration.tau, 6),
        "agreement": round(calibration.agreement, 4),
        "judge_tau": round(calibration.judge_tau, 6),
        "labeller_judge_correlation": round(correlation(own["heldout"][cfg.labeller.scorer], judged["heldout"]), 4),
        **agreements(calibration, own["train"], judged["train"], cfg.comparisons.seed),
    }


def calibrate(cfg: Labeller, own: synthetic.ByScorer, judged: np.ndarray) -> synthetic.Calibration:
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


def pick_queries(folder: Path, split: str, count: int, seed: int) -> list[list[int]]:
    """`count` queries of a split, in one shuffle of all after another; a smaller count is a prefix of a larger one."""
    rows = prepare.load_queries(folder, split)
    order: list[int] = []
    while len(order) < count:
        shuffle = runtime.generator("cpu", seed, "queries", split, len(order) // len(rows))
        order += torch.randperm(len(rows), generator=shuffle).tolist()
    return rows[order[:count]].tolist()
