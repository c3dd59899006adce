"""Stage `comparisons`: four reference samples for each query, and the labeller's choice among them (paper §2.1)."""

from pathlib import Path
from typing import Any

import torch

from preflab import comparisons, labellers
from preflab.comparisons import Comparison, synthetic
from preflab.comparisons.calibration import agreements, calibrate, correlation
from preflab.models import causal_lm
from preflab.sampling import passing, reference
from preflab.sampling.passing import SAMPLES, pick_queries
from preflab.settings.stages import ComparisonsStage
from preflab.stages import Result


def run(cfg: ComparisonsStage, *, queries: Path, model: Path, out: Path) -> Result:
    """Write `train.parquet`, `heldout.parquet` and `labeller.json` to `out`.

    Raises PreflabError if too few responses pass the end-token rule (sampling/passing.py), or the labeller cannot be
    calibrated (comparisons/calibration.py).
    """
    ref = reference.load(cfg.runtime, cfg.task, queries, model)
    drawn: dict[str, Any] = {}
    for split, name, count in (
        ("validation", "heldout", cfg.comparisons.heldout),
        ("train", "train", cfg.comparisons.num),
    ):
        rows = pick_queries(queries, split, count, cfg.comparisons.seed)
        tokens = causal_lm.left_pad(torch.tensor(rows, device=ref.queries.device), ref.prompt.pad_id)
        responses = passing.passing(
            ref.lm, tokens, SAMPLES, cfg.task, ref.prompt,
            cfg.comparisons.rollout_batch, cfg.comparisons.max_rounds, (cfg.comparisons.seed, name), f"sampling {name}",
        )  # fmt: skip
        texts = tuple(
            causal_lm.decode(ref.tokenizer, part, ref.prompt.pad_id)
            for part in (tokens.repeat_interleave(SAMPLES, 0), responses.responses.flatten(0, 1))
        )
        drawn[name] = rows, responses, texts
    panel = {scorer: labellers.load(scorer, queries) for scorer in synthetic.scorers(cfg.labeller)}
    judge = labellers.load(cfg.labeller.judge, queries)
    scores = {name: synthetic.by_scorer(panel, texts, SAMPLES) for name, (_, _, texts) in drawn.items()}
    judge_scores = {name: synthetic.scores(judge, texts, SAMPLES) for name, (_, _, texts) in drawn.items()}
    calibration = calibrate(cfg.labeller, scores["heldout"], judge_scores["heldout"])
    out.mkdir(parents=True, exist_ok=True)
    for name, (rows, responses, _) in drawn.items():
        answers = synthetic.ask(calibration, scores[name], cfg.comparisons.seed, name, "label")
        labelled = zip(rows, responses.responses.tolist(), answers.choices, answers.names, strict=True)
        comparisons.write(
            [
                Comparison(query, samples, choice, labeller, cfg.comparisons.seed, "reference")
                for query, samples, (choice,), (labeller,) in labelled
            ],
            out / f"{name}.parquet",
        )
    calibration.save(out / "labeller.json")
    correlated = correlation(scores["heldout"][cfg.labeller.scorer], judge_scores["heldout"])
    metrics = {
        "train": len(drawn["train"][0]),
        "heldout": len(drawn["heldout"][0]),
        "passed": round(drawn["train"][1].share, 4),
        "tau": round(calibration.tau, 6),
        "agreement": round(calibration.agreement, 4),
        "judge_tau": round(calibration.judge_tau, 6),
        "labeller_judge_correlation": round(correlated, 4),
        **agreements(calibration, scores["train"], judge_scores["train"], cfg.comparisons.seed),
    }
    return Result(metrics)
