"""The stages that evaluate: a response to each held-out test query, scored by reward model, labeller and judge.

They serve the kinds zero_shot, evaluate, supervised, best_of_n and text, which differ in where responses come from.
"""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from preflab import labellers
from preflab.comparisons import read, synthetic
from preflab.corpora.query_files import load_texts
from preflab.errors import PreflabError
from preflab.evaluate import metrics, responses, statistics
from preflab.models import causal_lm
from preflab.sampling.reference import Reference
from preflab.sampling.reference import load as load_reference
from preflab.settings.method import FrontierSettings
from preflab.settings.stages import EvaluateStage
from preflab.stages import Result
from preflab.text import copying
from preflab.training import scoring
from preflab.training.reward import HeldOut, evaluate


class Contexts(NamedTuple):
    """Held-out queries: left-padded `tokens` `[contexts, query]`, texts, and reference responses (or None)."""

    tokens: torch.Tensor
    queries: list[str]
    references: list[str | None]
    file: str


def run(
    cfg: EvaluateStage,
    *,
    queries: Path,
    model: Path,
    out: Path,
    comparisons: Path | None = None,
    reference: Path | None = None,
    policy: Path | None = None,
    reward: Path | None = None,
) -> Result:
    """Write `samples.parquet` (a row for each context) and the labeller's record to `out`.

    `comparisons`: the folder of the labels, for zero_shot; `reference`: the folder of zero_shot, to compare with;
    `policy`: without it the reference responds; `reward`: the reward that trained the policy, or picks the best of n.
    The metadata of samples.parquet tell which held-out comparisons the reward model predicts (`heldout_right`, a 1 or 0
    for each); with `cfg.frontier` the column `reference_scores` has the labeller's scores of further reference samples.
    Raises PreflabError without `comparisons` and `reference`, if there are fewer test queries than
    `evaluation.contexts`, or if `reference` has other contexts.
    """
    labelled = reference or comparisons
    if labelled is None:
        raise PreflabError("--comparisons or --reference: one of them is needed for the scale of the true score")
    ref = load_reference(cfg.runtime, cfg.task, queries, model, split="test")
    contexts = _contexts(cfg, ref, queries)
    calibration = synthetic.load_calibration(labelled)
    score = _score(ref, queries, model, policy, reward)
    answers = _answers(cfg, ref, contexts, score, policy)
    columns = _columns(cfg, contexts, answers, calibration, queries, score)
    heldout = _heldout(score, labelled / "heldout.parquet", ref)
    samples = None
    if cfg.frontier:
        samples = frontier_scores(cfg, cfg.frontier, ref, queries, contexts.tokens, contexts.queries, calibration)
    out.mkdir(parents=True, exist_ok=True)
    calibration.save(out / "labeller.json")
    if reference is None:
        shutil.copyfile(labelled / "heldout.parquet", out / "heldout.parquet")
    _write_samples(out / "samples.parquet", contexts, answers, columns, heldout, samples)
    metrics = _metrics(cfg, answers, columns, calibration, heldout)
    return Result(metrics | (_win_rate(cfg, columns, contexts, calibration, reference) if reference else {}))


def _contexts(cfg: EvaluateStage, ref: Reference, queries: Path) -> Contexts:
    count, file = cfg.evaluation.contexts, f"{queries}/test.parquet"
    if count > len(ref.queries):
        raise PreflabError(f"{file}: holds {len(ref.queries)} queries, evaluation.contexts={count}; lower it")
    texts = load_texts(queries, "test")[:count]
    return Contexts(ref.queries[:count], [query for query, _ in texts], [response for _, response in texts], file)


def _score(
    ref: Reference, queries: Path, model: Path, policy: Path | None, reward: Path | None
) -> scoring.Score | None:
    """The reward at the end of training: an online run has written its last reward model to the policy's folder."""
    if reward is None:
        return None
    last = policy / "reward" if policy else None
    folder = last if last and last.exists() else reward
    return scoring.load(folder, model, ref.lm, queries, ref.tokenizer, ref.prompt.pad_id)


def _answers(
    cfg: EvaluateStage, ref: Reference, contexts: Contexts, score: scoring.Score | None, policy: Path | None
) -> responses.Responses:
    """A response to each context, by the stage's method."""
    if cfg.method == "sample":
        lm = causal_lm.load_causal_lm(policy, contexts.tokens.device) if policy else ref.lm
        return responses.sampled(cfg, lm, ref, contexts.tokens)
    if cfg.method == "best_of_n":
        assert score is not None  # the kind best_of_n reads a reward
        return responses.best_of_n(cfg, ref, contexts.tokens, score)
    source = list(zip(contexts.queries, contexts.references, strict=True))
    return responses.written(cfg.method, ref, source, contexts.file)


def _columns(
    cfg: EvaluateStage,
    contexts: Contexts,
    answers: responses.Responses,
    calibration: synthetic.Calibration,
    queries: Path,
    score: scoring.Score | None,
) -> dict[str, np.ndarray]:
    """The measurements of each response, `[contexts]` by name; NaN where a score does not exist."""
    true_scores = labellers.load(calibration.scorer, queries).score(contexts.queries, answers.texts)
    columns = {
        "reward_model": np.full(len(contexts.tokens), np.nan),
        "true_score": (true_scores - calibration.mean) / calibration.std,
        "judge": labellers.load(calibration.judge, queries).score(contexts.queries, answers.texts),
        "vader": metrics.vader(answers.texts),
        "kl": answers.kl,
        "length": answers.length,
        "ended": answers.ended,
    }
    if score is not None:
        parts = zip(contexts.tokens.split(256), answers.tokens.split(256), strict=True)
        columns["reward_model"] = torch.cat([score(query, text) for query, text in parts]).double().cpu().numpy()
    if all(response is not None for response in contexts.references):
        columns |= metrics.of_summaries(answers.texts, contexts.queries, [str(text) for text in contexts.references])
    if has_preamble := copying.PREAMBLES.get(cfg.task.name):
        columns["preamble"] = np.array([has_preamble(query) for query in contexts.queries], float)
    return columns


def _heldout(score: scoring.Score | None, file: Path, ref: Reference) -> HeldOut | None:
    """How well that reward model predicts the held-out comparisons; None for a true score."""
    if not isinstance(score, scoring.NetworkScore):
        return None
    return evaluate(score.model, read(file), ref.prompt.pad_id, ref.queries.device)


def _write_samples(
    file: Path,
    contexts: Contexts,
    answers: responses.Responses,
    columns: dict[str, np.ndarray],
    heldout: HeldOut | None,
    samples: list[list[float]] | None,
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = len(contexts.tokens)
    table: dict[str, Any] = {
        "context": range(count),
        "query": contexts.queries,
        "reference": contexts.references,
        "response": answers.texts,
    }
    if samples is not None:
        table["reference_scores"] = samples + [None] * (count - len(samples))
    metadata = {"heldout_right": "".join("01"[right] for right in heldout.right)} if heldout else {}
    arrays = pa.table({name: pa.array(values) for name, values in (table | columns).items()})
    pq.write_table(arrays.replace_schema_metadata(metadata), file)


def _metrics(
    cfg: EvaluateStage,
    answers: responses.Responses,
    columns: dict[str, np.ndarray],
    calibration: synthetic.Calibration,
    heldout: HeldOut | None,
) -> dict[str, float]:
    """Means over contexts with their standard errors."""
    numbers: dict[str, float] = {
        "contexts": cfg.evaluation.contexts,
        "votes": cfg.evaluation.votes,
        "votes_seed": cfg.evaluation.seed,
        "judge_tau": calibration.judge_tau,
    }
    if heldout:
        numbers |= {"heldout_accuracy": heldout.accuracy, "heldout_accuracy_se": heldout.accuracy_se}
    for name, values in columns.items():
        measured = values[~np.isnan(values)]
        if name not in ("length", "ended") and len(measured) > 1:
            numbers |= metrics.mean_and_se(name, measured)
    numbers |= {"length": float(answers.length.mean()), "ended": float(answers.ended.mean())}
    return numbers | {f"distinct_{n}": metrics.distinct(answers.texts, n) for n in (1, 2)}


def _win_rate(
    cfg: EvaluateStage,
    columns: dict[str, np.ndarray],
    contexts: Contexts,
    calibration: synthetic.Calibration,
    reference: Path,
) -> dict[str, float]:
    """Share of contexts on which most votes of the judge prefer the response to zero-shot's, with its interval."""
    import pyarrow.parquet as pq

    zero_shot = pq.read_table(reference / "samples.parquet")
    if zero_shot["query"].to_pylist() != contexts.queries:
        raise PreflabError(f"{reference}/samples.parquet: other contexts than {contexts.file}; run `dvc repro`")
    votes = cfg.evaluation
    zero_shot_scores = zero_shot["judge"].to_numpy()
    wins = statistics.majority(columns["judge"], zero_shot_scores, calibration.judge_tau, votes.votes, votes.seed)
    rate = statistics.bootstrap(wins)
    return {"win_rate": rate.mean, "win_low": rate.low, "win_high": rate.high}


def frontier_scores(
    cfg: EvaluateStage,
    frontier: FrontierSettings,
    ref: Reference,
    queries: Path,
    tokens: torch.Tensor,
    texts: list[str],
    calibration: synthetic.Calibration,
) -> list[list[float]]:
    """The labeller's scores `[contexts][samples]` of samples of the reference, in standard deviations.

    `tokens` and `texts`: the test queries, left-padded `[contexts, query]` and as texts.
    """
    samples = responses.of_reference(cfg, ref, tokens[: frontier.contexts], frontier.samples)
    repeated = [query for query in texts[: frontier.contexts] for _ in range(frontier.samples)]
    scores = labellers.load(calibration.scorer, queries).score(repeated, samples)
    standard = ((scores - calibration.mean) / calibration.std).reshape(frontier.contexts, frontier.samples)
    return [[float(score) for score in row] for row in standard]
