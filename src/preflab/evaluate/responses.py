"""Responses to held-out queries: sampled from a policy, the best of n of the reference, or from a text baseline."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from preflab.errors import PreflabError
from preflab.evaluate import baselines, frontier
from preflab.machine import runtime
from preflab.models import causal_lm
from preflab.models.encoding import continuing
from preflab.sampling import rollout
from preflab.sampling.reference import Reference
from preflab.settings.stages import EvaluateStage

Score = Callable[[Tensor, Tensor], Tensor]


class Responses(NamedTuple):
    """One response for each context: `texts` and `tokens` `[contexts, response]`, truncated.

    `[contexts]` each: `kl` in nats, NaN if unknown; `length` in tokens; `ended`: whether the end-token rule is met.
    """

    texts: list[str]
    tokens: Tensor
    kl: np.ndarray
    length: np.ndarray
    ended: np.ndarray


def sampled(cfg: EvaluateStage, lm: Any, ref: Reference, queries: Tensor) -> Responses:
    """A sample of `lm` for each of the left-padded queries `[contexts, query]`; KL: its Σ log π − log ρ."""
    length, temperature = cfg.task.response_length, cfg.task.temperature
    pad_id = ref.prompt.pad_id

    @torch.no_grad()
    def sample_chunk(job: tuple[int, Tensor]) -> tuple[Tensor, Tensor]:
        part, chunk = job
        uniform = rollout.random_numbers(len(chunk), length, queries.device, cfg.evaluation.seed, "evaluate", part)
        ro = rollout.sample(lm, ref.prompt.inputs(chunk), uniform, temperature, pad_id)
        base = causal_lm.response_logprobs(ref.lm, ro.tokens, length, temperature, pad_id)
        return ro.responses, (ro.logprobs - base).sum(1)

    jobs = list(enumerate(queries.split(cfg.evaluation.rollout_batch)))
    responses, kl = _side_by_side(sample_chunk, jobs)
    return _of_tokens(ref, responses, kl.double().cpu().numpy())


def best_of_n(cfg: EvaluateStage, ref: Reference, queries: Tensor, reward: Score) -> Responses:
    """The one of `cfg.n` samples of the reference with the highest reward, with the penalty of PPO.

    `queries` left-padded `[contexts, query]`.  KL: log n − (n − 1)/n.
    """
    task, prompt = cfg.task, ref.prompt

    @torch.no_grad()
    def best_chunk(job: tuple[int, Tensor]) -> tuple[Tensor, Tensor]:
        part, chunk = job
        counts = torch.full((len(chunk),), cfg.n, device=queries.device)
        seed = (cfg.evaluation.seed, "best of n", part)
        uniform = rollout.random_numbers(len(chunk) * cfg.n, task.response_length, queries.device, *seed)
        drawn = rollout.sample(
            ref.lm, prompt.inputs(chunk), uniform, task.temperature, prompt.pad_id, counts=counts
        ).responses
        scores = reward(chunk.repeat_interleave(cfg.n, 0), prompt.truncate(drawn))
        scores = torch.where(prompt.ended(drawn), scores, task.penalty).view(-1, cfg.n)
        best = scores.argmax(1)
        rows = torch.arange(len(chunk), device=queries.device)
        return drawn.view(len(chunk), cfg.n, -1)[rows, best], scores[rows, best]

    jobs = list(enumerate(queries.split(max(cfg.evaluation.rollout_batch // cfg.n, 1))))
    responses, _ = _side_by_side(best_chunk, jobs)
    return _of_tokens(ref, responses, np.full(len(queries), frontier.best_of_n_kl(cfg.n)))


def of_reference(cfg: EvaluateStage, ref: Reference, queries: Tensor, samples: int) -> list[str]:
    """`samples` texts of the reference for each left-padded query `[contexts, query]`; those of one are adjacent."""
    task, prompt, most = cfg.task, ref.prompt, cfg.evaluation.rollout_batch

    @torch.no_grad()
    def sample_part(job: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        row, part, count = job
        query = queries[row : row + 1]
        counts = torch.tensor([count], device=queries.device)
        seed = (cfg.evaluation.seed, "frontier", row, part)
        uniform = rollout.random_numbers(count, task.response_length, queries.device, *seed)
        drawn = rollout.sample(
            ref.lm, prompt.inputs(query), uniform, task.temperature, prompt.pad_id, counts=counts
        ).responses
        return prompt.truncate(drawn), counts

    parts = [min(most, samples - start) for start in range(0, samples, most)]
    responses, _ = _side_by_side(
        sample_part, [(row, part, count) for row in range(len(queries)) for part, count in enumerate(parts)]
    )
    return causal_lm.decode(ref.tokenizer, responses, prompt.pad_id)


def written(method: str, ref: Reference, source: list[tuple[str, str | None]], where: str) -> Responses:
    """The texts of a baseline (evaluate/baselines/); `source`: queries and references, from the file `where`.

    Raises PreflabError, naming `where`, if the baseline refuses them.
    """
    try:
        texts = baselines.respond(method, [query for query, _ in source], [reference for _, reference in source])
    except PreflabError as error:
        raise PreflabError(f"{where}: {error}") from error
    tokenizer = continuing(ref.tokenizer)  # a response continues its query
    rows = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
    longest = max(map(len, rows))
    padded = [row + [ref.prompt.pad_id] * (longest - len(row)) for row in rows]
    tokens = torch.tensor(padded, dtype=torch.long, device=ref.queries.device)
    length = np.array([len(row) for row in rows])
    return Responses(texts, tokens, np.full(len(texts), np.nan), length, np.ones(len(texts), bool))


def _side_by_side(function: Callable[[Any], tuple[Tensor, Tensor]], jobs: list[Any]) -> tuple[Tensor, Tensor]:
    first, second = [], []
    with runtime.progress(len(jobs), "sampling", unit="batch") as bar:
        for a, b in runtime.side_by_side(function, jobs):
            first.append(a)
            second.append(b)
            bar.update()
    return torch.cat(first), torch.cat(second)


def _of_tokens(ref: Reference, responses: Tensor, kl: np.ndarray) -> Responses:
    truncated = ref.prompt.truncate(responses)
    texts = causal_lm.decode(ref.tokenizer, truncated, ref.prompt.pad_id)
    length = (truncated != ref.prompt.pad_id).sum(1).cpu().numpy()
    return Responses(texts, truncated, kl, length, ref.prompt.ended(responses).cpu().numpy())
