"""The order in which a training run reads its rows."""

import torch

from preflab.machine import runtime


def query_batches(count: int, batch_size: int, seed: int, update: int) -> list[int]:
    """Row numbers of the queries of one update: shuffles of all queries in a row, a batch at a time.

    `count`: queries in all.  A function of the update, so that a resumed run continues where it stopped.
    """
    rows: list[int] = []
    position = update * batch_size
    while len(rows) < batch_size:
        epoch, offset = divmod(position + len(rows), count)
        order = torch.randperm(count, generator=runtime.generator("cpu", seed, "ppo queries", epoch))
        rows += order[offset : offset + batch_size - len(rows)].tolist()
    return rows
