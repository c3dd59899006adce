"""The stages that evaluate: one response to each held-out test query, scored by everybody."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from preflab import comparisons, labellers
from preflab.comparisons import synthetic
from preflab.corpora.query_files import load_texts
from preflab.errors import PreflabError
from preflab.evaluate import metrics, responses, statistics
from preflab.models import causal_lm
from preflab.sampling import reference
from preflab.settings.method import FrontierSettings
from preflab.settings.stages import EvaluateStage
from preflab.text import copying
from preflab.training import scoring
from preflab.training.reward import evaluate


def run(
    cfg: EvaluateStage,
    queries: Path,
    model: Path,
    labeller: Path,
    out: Path,
    policy: Path | None = None,
    reward: Path | None = None,
    zero_shot: Path | None = None,
) -> dict[str, float]:
    """Write `samples.parquet` (a row per context) to `out`; returns the metrics. No `policy`: the reference itself.

    `labeller`: the folder of the comparisons or, with their labeller.json and heldout.parquet, of zero_shot's samples.
    The metadata of samples.parquet say which held-out comparisons the reward model gets right (`heldout_right`, a 1 or
    0 for each); the reference's column `reference_scores` has the labeller's scores of more samples, if asked for.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    ref = reference.load(cfg.runtime, cfg.task, queries, model, split="test")
    contexts, file = cfg.evaluation.contexts, f"{queries}/test.parquet"
    if contexts > len(ref.queries):
        raise PreflabError(f"{file}: holds {len(ref.queries)} queries, evaluation.contexts={contexts}; lower it")
    tokens = ref.queries[:contexts]
    source = load_texts(queries, "test")[:contexts]
    score = None
    if reward:
        learned = policy / "reward" if policy and (policy / "reward").exists() else reward  # of an online run, its last
        score = scoring.load(learned, model, ref.lm, queries, ref.tokenizer, ref.layout.pad_id)
    if cfg.method == "sample":
        lm = causal_lm.load_causal_lm(policy, tokens.device) if policy else ref.lm
        found = responses.sampled(cfg, lm, ref, tokens)
    elif cfg.method == "best_of_n":
        assert score is not None  # kinds.KINDS: it reads a reward
        found = responses.best_of_n(cfg, ref, tokens, score)
    else:
        found = responses.written(cfg.method, ref, source, file)
    calibration = synthetic.load_calibration(labeller)
    asked, given = [query for query, _ in source], [response for _, response in source]
    scores = labellers.load(calibration.scorer, queries).score(asked, found.texts)
    columns: dict[str, Any] = {
        "reward_model": np.full(contexts, np.nan),
        "true_score": (scores - calibration.mean) / calibration.std,
        "judge": labellers.load(calibration.judge, queries).score(asked, found.texts),
        "vader": metrics.vader(found.texts),
        "kl": found.kl,
        "length": found.length,
        "ended": found.ended,
    }
    if score is not None:
        parts = zip(tokens.split(256), found.tokens.split(256), strict=True)
        columns["reward_model"] = torch.cat([score(q, r) for q, r in parts]).double().cpu().numpy()
    if all(response is not None for response in given):
        columns |= metrics.of_summaries(found.texts, asked, [str(response) for response in given])
    if has_preamble := copying.PREAMBLES.get(cfg.task.name):
        columns["preamble"] = np.array([has_preamble(query) for query in asked], float)
    out.mkdir(parents=True, exist_ok=True)
    calibration.save(out / "labeller.json")
    table: dict[str, Any] = {"context": range(contexts), "query": asked, "reference": given, "response": found.texts}
    about, right = {}, {}
    if isinstance(score, scoring.NetworkScore):
        held_out = comparisons.read(labeller / "heldout.parquet")
        figures = evaluate(score.model, held_out, ref.layout.pad_id, tokens.device)
        right = {"heldout_accuracy": figures.accuracy, "heldout_accuracy_se": figures.accuracy_se}
        about["heldout_right"] = "".join("01"[one] for one in figures.right)
    if not zero_shot:
        shutil.copyfile(labeller / "heldout.parquet", out / "heldout.parquet")
    if cfg.frontier:
        scored = frontier_scores(cfg, cfg.frontier, ref, queries, tokens, asked, calibration)
        table["reference_scores"] = scored + [None] * (contexts - len(scored))
    arrays = pa.table({k: pa.array(v) for k, v in (table | columns).items()})
    pq.write_table(arrays.replace_schema_metadata(about), out / "samples.parquet")

    numbers: dict[str, float] = {
        "contexts": contexts,
        "votes": cfg.evaluation.votes,
        "votes_seed": cfg.evaluation.seed,
        "judge_tau": calibration.judge_tau,
        **right,
    }
    for name, values in columns.items():
        known = values[~np.isnan(values)]
        if name not in ("length", "ended") and len(known) > 1:
            numbers |= metrics.mean_and_se(name, known)
    numbers |= {"length": float(found.length.mean()), "ended": float(found.ended.mean())}
    numbers |= {"distinct_1": metrics.distinct(found.texts, 1), "distinct_2": metrics.distinct(found.texts, 2)}
    if zero_shot:
        other = pq.read_table(zero_shot / "samples.parquet")
        if other["query"].to_pylist() != asked:
            raise PreflabError(f"{zero_shot}/samples.parquet: other contexts than {file}; run `dvc repro`")
        wins = statistics.majority(
            columns["judge"],
            other["judge"].to_numpy(),
            calibration.judge_tau,
            cfg.evaluation.votes,
            cfg.evaluation.seed,
        )
        rate = statistics.bootstrap(wins)
        numbers |= {"win_rate": rate.mean, "win_low": rate.low, "win_high": rate.high}
    return numbers


def frontier_scores(
    cfg: EvaluateStage,
    wanted: FrontierSettings,
    ref: reference.Reference,
    queries: Path,
    tokens: torch.Tensor,
    asked: list[str],
    calibration: synthetic.Calibration,
) -> list[list[float]]:
    """The labeller's scores `[contexts][samples]` of many samples of the reference, in its standard deviations."""
    texts = responses.of_reference(cfg, ref, tokens[: wanted.contexts], wanted.samples)
    repeated = [query for query in asked[: wanted.contexts] for _ in range(wanted.samples)]
    scores = labellers.load(calibration.scorer, queries).score(repeated, texts)
    standard = ((scores - calibration.mean) / calibration.std).reshape(wanted.contexts, wanted.samples)
    return [[float(score) for score in row] for row in standard]
