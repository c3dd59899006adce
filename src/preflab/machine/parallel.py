"""Several processes, one result: torchrun's ranks share every batch, and their gradients are summed.

Each rank holds the whole policy.  It samples and scores its part of the episodes, all parts are then gathered, so that
whitening sees the whole minibatch, and each rank trains on its part of it.  `PREFLAB_PROCESSES=2 dvc repro` starts the
stages reward and ppo so; the number of processes changes a result in its last digits only, and is no setting.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar, cast

from preflab.errors import PreflabError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Result = TypeVar("Result")


def rank() -> int:
    """This process's number, 0 without torchrun."""
    return int(os.environ.get("RANK", "0"))


def size() -> int:
    """The number of processes, 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def launch(module: str) -> None:
    """Become `torchrun … -m module` with the same arguments, if PREFLAB_PROCESSES asks for more than one process."""
    processes = os.environ.get("PREFLAB_PROCESSES", "1")
    if not processes.isdigit() or int(processes) < 1:
        raise PreflabError(f"PREFLAB_PROCESSES={processes}: expected a whole number of processes, 1 or more")
    if int(processes) > 1 and "RANK" not in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # until runtime.start; torchrun sets it too, with a warning
        runner = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes, "-m"]
        os.execv(sys.executable, [sys.executable, *runner, "--", module, *sys.argv[1:]])  # --run is not torchrun's


@contextmanager
def joined() -> Iterator[None]:
    """All ranks are connected inside; nothing without torchrun."""
    if size() == 1:
        yield
        return
    import torch
    from torch import distributed

    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def require_equal_shares(count: int, name: str) -> None:
    """`count` of something must divide among the processes: unequal shares would weigh episodes unequally."""
    if count % size():
        raise PreflabError(f"{name}: {count} does not divide among {size()} processes; take another number of either")


def share(rows: "Tensor") -> "Tensor":
    """This rank's part of the first dimension, consecutive rows (all of them without torchrun)."""
    return rows.tensor_split(size())[rank()]


def gather(part: "Tensor") -> "Tensor":
    """The equal parts of all ranks, put together in order: the inverse of `share`."""
    if size() == 1:
        return part
    import torch
    from torch import distributed

    parts = [torch.empty_like(part) for _ in range(size())]
    distributed.all_gather(parts, part.contiguous())
    return torch.cat(parts)


def sum_gradients(parameters: "Iterable[torch.nn.Parameter]") -> None:
    """Every gradient becomes its sum over the ranks; a rank that had nothing to train on counts as zero."""
    if size() == 1:
        return
    import torch
    from torch import distributed

    waiting = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        waiting.append(distributed.all_reduce(parameter.grad, async_op=True))
    for work in waiting:
        work.wait()


def same_for_all(function: Callable[[], Result]) -> Result:
    """The result of `function` on rank 0, on all ranks."""
    if size() == 1:
        return function()
    from torch import distributed

    result = [function() if rank() == 0 else None]
    distributed.broadcast_object_list(result)
    return cast("Result", result[0])


def total(x: "Tensor") -> "Tensor":
    """The sum over the ranks."""
    if size() == 1:
        return x
    from torch import distributed

    distributed.all_reduce(x)
    return x
