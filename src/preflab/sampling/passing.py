"""Sampling responses for labellers: only those that pass the end-token rule (released lm_tasks.py:55)."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from preflab.corpora.query_files import load_tokens
from preflab.errors import PreflabError
from preflab.machine import runtime
from preflab.sampling import rollout
from preflab.sampling.prompt import Prompt
from preflab.settings.method import TaskSettings

SPARE = 4.0  # ours: a round draws at most this many times what it is expected to need
SAMPLES = 4  # paper §2.1: humans choose the best of four


class Passing(NamedTuple):
    """`responses` `[queries, n, response]`, truncated and padded; `share` of all sampled responses that passed."""

    responses: Tensor
    share: float


def passing(
    lm: Any,
    queries: Tensor,
    n: int,
    task: TaskSettings,
    prompt: Prompt,
    rollout_batch: int,
    max_rounds: int,
    seed: tuple[object, ...],
    label: str = "",
) -> Passing:
    """`n` responses to each of the left-padded `queries` `[queries, query]`, sampled until enough of them pass.

    The first round draws 2n for each query, later ones as many as the share that passed so far suggests, and up to
    SPARE times that if the batch is not full: a short batch takes almost as long as a full one, and fewer queries are
    left for the next round.  Raises PreflabError if a query has fewer than n after `max_rounds` rounds.
    """

    def draw(job: tuple[int, int, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        number, part, chunk, counts = job
        device = queries.device
        uniform = rollout.random_numbers(int(counts.sum()), task.response_length, device, *seed, number, part)
        inputs = prompt.inputs(queries[chunk.to(device)])
        sampled = rollout.sample(lm, inputs, uniform, task.temperature, prompt.pad_id, counts=counts.to(device))
        return prompt.ended(sampled.responses), prompt.truncate(sampled.responses)

    accepted: list[list[Tensor]] = [[] for _ in range(len(queries))]
    drawn = passed = 0
    with runtime.progress(len(queries) * n, label or "responses", unit="response") as bar:
        for number in range(max_rounds):
            missing = torch.tensor([i for i, rows in enumerate(accepted) if len(rows) < n])
            if not len(missing):
                break
            share = max(passed, 1) / drawn if drawn else 0.5
            expected = torch.tensor([n - len(accepted[i]) for i in missing.tolist()]) / share
            expected *= max(1.0, min(SPARE, rollout_batch / float(expected.sum())))
            counts = expected.ceil().long().clamp(max=rollout_batch)
            batch = (counts.cumsum(0) - 1) // rollout_batch  # about `rollout_batch` responses in each
            jobs = [(number, part, missing[batch == part], counts[batch == part]) for part in batch.unique().tolist()]
            for job, (good, cut) in zip(jobs, runtime.side_by_side(draw, jobs), strict=True):
                drawn, passed = drawn + len(good), passed + int(good.sum())
                for i, ok, response in zip(job[2].repeat_interleave(job[3]).tolist(), good.tolist(), cut, strict=True):
                    if ok and len(accepted[i]) < n:
                        accepted[i].append(response)
                        bar.update()
    short = sum(len(rows) < n for rows in accepted)
    if short:
        raise PreflabError(
            f"task.truncate_token={task.truncate_token!r}: {short} of {len(queries)} queries have fewer than {n} "
            f"responses with it at index {task.truncate_after} or later after {max_rounds} rounds "
            f"({passed} of {drawn} responses passed); "
            "raise comparisons.max_rounds or task.response_length, or lower task.truncate_after"
        )
    return Passing(torch.stack([torch.stack(rows) for rows in accepted]), passed / max(drawn, 1))


def pick_queries(folder: Path, split: str, count: int, seed: int) -> list[list[int]]:
    """`count` queries of a split, from shuffles of all in a row; a smaller count gives a prefix of a larger one."""
    rows = load_tokens(folder, split)
    order: list[int] = []
    while len(order) < count:
        shuffle = runtime.generator("cpu", seed, "queries", split, len(order) // len(rows))
        order += torch.randperm(len(rows), generator=shuffle).tolist()
    return rows[order[:count]].tolist()
