"""The responses that people are asked about: only those that pass the end-token rule (released lm_tasks.py:55)."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from preflab import models, rollout, runtime
from preflab.config import Task
from preflab.errors import PreflabError


class Passing(NamedTuple):
    """`responses` `[queries, n, response]`, truncated and padded; `share` of all sampled responses that passed."""

    responses: Tensor
    share: float


def passing(
    lm: Any,
    queries: Tensor,
    n: int,
    task: Task,
    end_id: int,
    pad_id: int,
    rollout_batch: int,
    max_rounds: int,
    seed: tuple[object, ...],
    label: str = "",
) -> Passing:
    """`n` responses to each of the left-padded `queries` `[queries, query]`, sampled until enough of them pass.

    Raises if some query has fewer than n after `max_rounds` rounds of 2n more.
    """
    each = 2 * n  # a third to a half of the responses pass
    kept: list[list[Tensor]] = [[] for _ in range(len(queries))]
    drawn = passed = 0
    with runtime.progress(len(queries) * n, label or "responses", unit="response") as bar:
        for number in range(max_rounds):
            missing = [i for i, rows in enumerate(kept) if len(rows) < n]
            if not missing:
                break
            rows = torch.tensor(missing, device=queries.device)
            for part, chunk in enumerate(rows.split(max(rollout_batch // each, 1))):
                generator = runtime.generator(queries.device, *seed, number, part)
                sampled = rollout.sample(
                    lm, queries[chunk], task.response_length, task.temperature, pad_id, generator, each=each
                ).responses
                good = models.has_end(sampled, end_id, task.truncate_after)
                drawn, passed = drawn + len(good), passed + int(good.sum())
                cut = models.truncate(sampled, end_id, task.truncate_after, pad_id)
                for i, ok, response in zip(chunk.repeat_interleave(each).tolist(), good.tolist(), cut, strict=True):
                    if ok and len(kept[i]) < n:
                        kept[i].append(response)
                        bar.update()
    short = sum(len(rows) < n for rows in kept)
    if short:
        raise PreflabError(
            f"task.truncate_token={task.truncate_token!r}: {short} of {len(queries)} queries have fewer than {n} "
            f"responses with it at index {task.truncate_after} or later after {max_rounds} rounds "
            f"({passed} of {drawn} responses passed); "
            "raise comparisons.max_rounds or task.response_length, or lower task.truncate_after"
        )
    return Passing(torch.stack([torch.stack(rows) for rows in kept]), passed / max(drawn, 1))
