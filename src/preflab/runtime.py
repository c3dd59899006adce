"""What a stage needs of the machine: device, threads, precision, seeds, progress bars.  torch is imported on use."""

import ctypes
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

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


def start(threads: int, matmul: str = "highest") -> "torch.device":
    """Prepare torch for one stage and return its device (cuda where there is one; PREFLAB_DEVICE overrides).

    `threads` is part of a CPU result's identity (sums are split by thread), so it is a setting, not a guess at the
    machine.  `matmul` is torch's float32_matmul_precision: `highest`, or `medium` (bf16 products where the CPU has
    them).
    """
    import torch

    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(matmul)
    torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms, without its import of the compiler
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing reads it
    device = torch.device(os.environ.get("PREFLAB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    else:
        _keep_memory()
    return device


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
