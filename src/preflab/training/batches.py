"""training.batches"""

import torch

from preflab.machine import runtime


def query_batches(count: int, batch_size: int, seed: int, update: int) -> list[int]:
    """Row numbers of the queries of one update: one shuffle of all queries after another, forever, a batch at a time.

    A function of the update, so that a resumed run reads on where it stopped.
    """
    rows: list[int] = []
    position = update * batch_size
    while len(rows) < batch_size:
        epoch, offset = divmod(position + len(rows), count)
        order = torch.randperm(count, generator=runtime.generator("cpu", seed, "ppo queries", epoch))
        rows += order[offset : offset + batch_size - len(rows)].tolist()
    return rows
