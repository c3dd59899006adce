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


def start(threads: int, precision: str = "fp32") -> "torch.device":
    """Prepare torch for one stage and return its device (cuda where there is one; PREFLAB_DEVICE overrides).

    `threads` is part of a CPU result's identity (sums are split by thread), so it is a setting, not a guess at the
    machine; the processes of torchrun on one machine share them.  `precision`: `fp32`, `bf16` (products only, see
    `products`), or `auto`, which is bf16 on a machine with instructions for it.
    """
    import torch

    torch.set_num_threads(max(threads // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1))
    torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms, without its import of the compiler
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing reads it
    name = os.environ.get("PREFLAB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if name == "cuda" else name)
    use_bf16 = precision == "bf16" or (precision == "auto" and has_bf16(device))
    torch.set_float32_matmul_precision("medium" if use_bf16 else "highest")
    if device.type == "cuda":
        torch.cuda.set_device(device)
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    else:
        _keep_memory()
    return device


def has_bf16(device: "torch.device") -> bool:
    """Whether the device multiplies bf16 in hardware; emulated it would be slower than fp32."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def precision() -> str:
    """What `start` chose: `bf16` or `fp32`.  torch itself remembers it."""
    import torch

    return "bf16" if torch.get_float32_matmul_precision() == "medium" else "fp32"


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
