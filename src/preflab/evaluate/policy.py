"""The stages `zero_shot` and `evaluate`: one response of a policy to each held-out test query, scored by everybody."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from preflab import classifier, models, prepare, reference, rollout, runtime, scoring
from preflab.comparisons import synthetic
from preflab.config import EvaluateStage
from preflab.errors import PreflabError
from preflab.evaluate import metrics, statistics


def run(
    cfg: EvaluateStage,
    queries: Path,
    model: Path,
    comparisons: Path,
    out: Path,
    policy: Path | None = None,
    reward: Path | None = None,
    zero_shot: Path | None = None,
) -> dict[str, float]:
    """Write `samples.parquet` (a row per context) to `out`; returns the metrics. No `policy`: the reference itself."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ref = reference.load(cfg.runtime, cfg.task, queries, model, split="test")
    contexts = cfg.evaluation.contexts
    if contexts > len(ref.queries):
        raise PreflabError(
            f"{queries}/test.parquet: holds {len(ref.queries)} queries, evaluation.contexts={contexts}; lower it"
        )
    tokens = ref.queries[:contexts]
    lm = models.load_causal_lm(policy, tokens.device) if policy else ref.lm
    responses, kl = sample(cfg, lm, ref, tokens)
    truncated = models.truncate(responses, ref.end_id, cfg.task.truncate_after, ref.pad_id)
    texts = models.decode(ref.tokenizer, truncated, ref.pad_id)
    calibration = synthetic.load_calibration(comparisons)
    columns: dict[str, Any] = {
        "reward_model": np.full(contexts, np.nan),
        "labeller": scoring.true_score(queries, ref.tokenizer, calibration, ref.pad_id)(tokens, truncated)
        .double()
        .cpu()
        .numpy(),
        "judge": classifier.load(queries / "classifiers", "judge").score(texts),
        "vader": metrics.vader(texts),
        "kl": kl,
        "length": (truncated != ref.pad_id).sum(1).cpu().numpy(),
        "ended": models.has_end(responses, ref.end_id, cfg.task.truncate_after).cpu().numpy(),
    }
    if policy and reward:
        learned = policy / "reward" if (policy / "reward").exists() else reward  # an online run leaves its last one
        score = scoring.load(learned, model, ref.lm, queries, ref.tokenizer, ref.pad_id)
        columns["reward_model"] = torch.cat(
            [score(q, r) for q, r in zip(tokens.split(256), truncated.split(256), strict=True)]
        ).double().cpu().numpy()  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    source = prepare.load_texts(queries, "test")
    table = {
        "context": range(contexts),
        "query": [text for text, _ in source[:contexts]],
        "response": texts,
        **columns,
    }
    pq.write_table(pa.table({k: pa.array(v) for k, v in table.items()}), out / "samples.parquet")

    found: dict[str, float] = {
        "contexts": contexts,
        "votes": cfg.evaluation.votes,
        "votes_seed": cfg.evaluation.seed,
        "judge_tau": calibration.judge_tau,
    }
    for name in ("reward_model", "labeller", "judge", "vader", "kl"):
        if not np.isnan(columns[name]).any():
            found |= metrics.mean_and_se(name, columns[name])
    found |= {"length": float(columns["length"].mean()), "ended": float(columns["ended"].mean())}
    found |= {"distinct_1": metrics.distinct(texts, 1), "distinct_2": metrics.distinct(texts, 2)}
    found |= metrics.rouge(texts, [ref_text for _, ref_text in source[:contexts]])
    if zero_shot:
        other = pq.read_table(zero_shot / "samples.parquet")
        if other["query"].to_pylist() != table["query"]:
            raise PreflabError(
                f"{zero_shot}/samples.parquet: other contexts than {queries}/test.parquet; run `dvc repro`"
            )
        wins = statistics.majority(
            columns["judge"],
            other["judge"].to_numpy(),
            calibration.judge_tau,
            cfg.evaluation.votes,
            cfg.evaluation.seed,
        )
        rate = statistics.bootstrap(wins)
        found |= {"win_rate": rate.mean, "win_low": rate.low, "win_high": rate.high}
    return found


def sample(
    cfg: EvaluateStage, lm: Any, ref: reference.Reference, tokens: torch.Tensor
) -> tuple[torch.Tensor, np.ndarray]:
    """Responses `[contexts, response]` of `lm` and, per context, Σ log π − log ρ on them (nats)."""
    length, temperature = cfg.task.response_length, cfg.task.temperature

    @torch.no_grad()
    def sample_chunk(job: tuple[int, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        part, chunk = job
        uniform = rollout.random_numbers(len(chunk), length, tokens.device, cfg.evaluation.seed, "evaluate", part)
        ro = rollout.sample(lm, chunk, uniform, temperature, ref.pad_id)
        base = models.response_logprobs(ref.lm, ro.tokens, length, temperature, ref.pad_id)
        return ro.responses, (ro.logprobs - base).sum(1)

    responses, kl = [], []
    jobs = list(enumerate(tokens.split(cfg.evaluation.rollout_batch)))
    with runtime.progress(len(jobs), "sampling", unit="batch") as bar:
        for response, log_ratio in runtime.side_by_side(sample_chunk, jobs):
            responses.append(response)
            kl.append(log_ratio)
            bar.update()
    return torch.cat(responses), torch.cat(kl).double().cpu().numpy()
