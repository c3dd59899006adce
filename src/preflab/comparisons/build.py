"""The stage `comparisons`: reference samples on train and validation queries, labelled by the synthetic labeller."""

from pathlib import Path
from typing import Any

import torch

from preflab import classifier, comparisons, labellers, models, prepare, reference, runtime
from preflab.comparisons import Comparison, sample, synthetic
from preflab.config import ComparisonsStage

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
        tokens = models.left_pad(torch.tensor(rows, device=ref.queries.device), ref.pad_id)
        responses = sample.passing(
            ref.lm, tokens, SAMPLES, cfg.task, ref.end_id, ref.pad_id,
            cfg.comparisons.rollout_batch, cfg.comparisons.max_rounds, (cfg.comparisons.seed, name), f"sampling {name}",
        )  # fmt: skip
        texts = models.decode(ref.tokenizer, responses.responses.flatten(0, 1), ref.pad_id)
        drawn[name] = rows, responses, texts
    labeller = labellers.load(cfg.labeller.scorer, queries)
    judge = classifier.load(queries / "classifiers", "judge")
    calibration = calibrate(
        cfg.labeller.name, cfg.labeller.agreement, labeller, judge, drawn["heldout"][2], cfg.labeller.scorer
    )
    out.mkdir(parents=True, exist_ok=True)
    for name, (rows, responses, texts) in drawn.items():
        best = synthetic.choose(
            synthetic.scores(labeller, texts, SAMPLES), calibration.tau, cfg.comparisons.seed, name, "label"
        )
        comparisons.write(
            [
                Comparison(query, samples, choice, cfg.labeller.name, cfg.comparisons.seed, "reference")
                for query, samples, choice in zip(rows, responses.responses.tolist(), best, strict=True)
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
        "labeller_judge_correlation": round(correlation(labeller, judge, drawn["heldout"][2]), 4),
    }


def calibrate(
    name: str,
    target: float | None,
    labeller: labellers.Labeller,
    judge: labellers.Labeller,
    texts: list[str],
    scorer: str,
) -> synthetic.Calibration:
    """τ of both on the same samples. The judge's votes are as noisy as the labels (0.42 where those have no noise)."""
    own, other = synthetic.scores(labeller, texts, SAMPLES), synthetic.scores(judge, texts, SAMPLES)
    synthetic.check(own, scorer)
    tau = synthetic.calibrate(own, target)
    judge_tau = synthetic.calibrate(other, JUDGE_AGREEMENT if target is None else target)
    return synthetic.Calibration(
        name,
        tau,
        synthetic.agreement(own, tau),
        judge_tau,
        synthetic.agreement(other, judge_tau),
        float(own.mean()),
        float(own.std()),
        scorer,
    )


def correlation(labeller: labellers.Labeller, judge: labellers.Labeller, texts: list[str]) -> float:
    """Pearson's r of the two scores of the same texts."""
    import numpy as np

    return float(np.corrcoef(labeller.score(texts), judge.score(texts))[0, 1])


def pick_queries(folder: Path, split: str, count: int, seed: int) -> list[list[int]]:
    """`count` queries of a split, in one shuffle of all after another; a smaller count is a prefix of a larger one."""
    rows = prepare.load_queries(folder, split)
    order: list[int] = []
    while len(order) < count:
        shuffle = runtime.generator("cpu", seed, "queries", split, len(order) // len(rows))
        order += torch.randperm(len(rows), generator=shuffle).tolist()
    return rows[order[:count]].tolist()
