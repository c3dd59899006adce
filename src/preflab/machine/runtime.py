"""What a stage needs of the machine: device, threads, precision, seeds, progress bars.  torch is imported on use."""

import ctypes
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from preflab.machine import parallel
from preflab.machine.checks import check_products, check_threads
from preflab.machine.precision import of_machine, of_process

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h


def seed_for(*parts: object) -> int:
    """A 63-bit seed that depends on every part: `seed_for(cfg.seed, "rollout", update)`.

    Seeding each step from its coordinates, instead of carrying one generator along, makes a resumed run bit-identical
    to an uninterrupted one.
    """
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(device: "torch.device | str", *parts: object) -> "torch.Generator":
    """A torch generator on `device`, seeded with `seed_for(*parts)`."""
    import torch

    return torch.Generator(device=device).manual_seed(seed_for(*parts))


def start(threads: int, precision: str = "fp32") -> "torch.device":
    """Prepare torch for one stage and return its device (cuda where there is one; PREFLAB_DEVICE overrides).

    `threads` is part of a CPU result's identity (sums are split by thread), so it is a setting, not a guess at the
    machine; the processes of torchrun on one machine share them.  `precision`: `fp32`, `bf16` (products only, see
    `products`), or `auto`, the faster one: measured on a CPU (machine/precision.py), bf16 on a GPU that has it.
    Raises PreflabError if OpenMP does not give the threads, or if products come out wrong.
    """
    import torch

    share = max(threads // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)
    torch.set_num_threads(share)
    torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms, without its import of the compiler
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing reads it
    name = os.environ.get("PREFLAB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if name == "cuda" else name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    else:
        _keep_memory()
        check_threads(share)
    if precision == "auto" and device.type == "cpu":
        precision = parallel.same_for_all(of_machine).precision
    elif precision == "auto":
        precision = "bf16" if has_bf16(device) else "fp32"
    torch.set_float32_matmul_precision("medium" if precision == "bf16" else "highest")
    check_products(precision, device)
    return device


def has_bf16(device: "torch.device") -> bool:
    """Whether a GPU multiplies bf16 in hardware, where it is always faster than fp32."""
    import torch

    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def precision() -> str:
    """What `start` chose: `bf16` or `fp32`.  torch itself remembers it."""
    import torch

    return "bf16" if torch.get_float32_matmul_precision() == "medium" else "fp32"


def measured() -> dict[str, Any] | None:
    """For the run record: what decided `precision=auto`, in the form of JSON; None where it was not asked."""
    measurement = of_process()
    return None if measurement is None else measurement._asdict()


def products(device: "torch.device") -> "torch.autocast":
    """Inside, the products of a trunk are in the chosen precision.

    With bf16 their results are too; the residual stream, the products with the vocabulary matrix, softmax, losses and
    Adam stay fp32.
    """
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=precision() == "bf16")


def _keep_memory() -> None:
    """Make glibc keep what torch frees, in one heap for all threads; nothing on other C libraries.

    Otherwise large blocks go back to the system at once and return page by page, zeroed: a quarter of a training step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_ARENA_MAX, 1)):
            mallopt(option, value)


def side_by_side(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """`function` of each item, in order; on a CPU as many at a time as torch has threads, each computing on one.

    Independent batches share a machine better than the threads within a batch of a small model, and the results do not
    depend on the number of threads.  `function` runs outside the caller's `no_grad`.
    """
    import torch

    threads = min(torch.get_num_threads(), len(items))
    if torch.cuda.is_available() or threads < 2:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(function, items)


@contextmanager
def progress(total: int, label: str, unit: str = "step", done: int = 0) -> Iterator[Any]:
    """A bar with the time left; silent where stderr is not a terminal."""
    from tqdm import tqdm

    with tqdm(
        total=total,
        initial=done,
        desc=label,
        unit=unit,
        disable=not sys.stderr.isatty(),
        leave=False,
        dynamic_ncols=True,
    ) as bar:
        yield bar
