"""The machine's own peak: matrix products of the sizes that occur, as JSON: `python -m benchmarks.peak`.

In a process of its own, before the works.  Squares, and the products of the trunk (its widest, to 4 · width) and of the
head (to the vocabulary) at sizes S and M.  A fraction of peak refers to the best of all of them in that precision.
"""

import contextlib
import json
import os
import statistics
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import machine
from benchmarks.workloads import Size, pick_device, sizes

if TYPE_CHECKING:
    import torch

REPEATS = 7
PRECISIONS = ["fp32", "fp32 medium", "bf16"]  # medium: torch's float32_matmul_precision, bf16 inside where it pays


class Product(NamedTuple):
    """`[rows, inner] @ [inner, columns]`."""

    name: str
    rows: int
    inner: int
    columns: int


def products(device: str) -> list[Product]:
    """The squares, and the shapes of PPO at S and M."""
    squares_and_shapes = [Product(f"{n}³", n, n, n) for n in [1024, 2048, 4096, *([8192] if device == "cuda" else [])]]
    for size in sizes("W1", device)[:2]:
        squares_and_shapes += shapes(size)
    return squares_and_shapes


def shapes(size: Size) -> list[Product]:
    """The widest product of the trunk and the head's, for one minibatch of PPO."""
    return [
        Product(f"trunk {size.name}", size.batch * (size.query + size.response), size.width, 4 * size.width),
        Product(f"head {size.name}", size.batch * size.response, size.width, size.vocab),
    ]


def best(peaks: list[dict[str, Any]], precision: str) -> float | None:
    """The peak in GFLOP/s; None for a bf16 that is not faster than fp32: the machine only imitates it."""
    fastest = {p: max(row["best"] for row in peaks if row["precision"] == p) for p in PRECISIONS}
    return None if precision == "bf16" and fastest["bf16"] <= fastest["fp32"] else fastest[precision]


def main() -> None:
    """Print {"machine": …, "peak": [{"precision", "shape", "best", "median" in GFLOP/s}, …]}."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    device = pick_device()
    peaks = [measure(product, precision, device) for precision in PRECISIONS for product in products(device.type)]
    json.dump({"machine": machine.describe(), "peak": peaks}, answers)


def measure(product: Product, precision: str, device: "torch.device") -> dict[str, Any]:
    """One product, `REPEATS` times after a warm-up, into a buffer that is kept."""
    import torch

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.randn(product.rows, product.inner, dtype=dtype, device=device)
    b = torch.randn(product.columns, product.inner, dtype=dtype, device=device)  # as a linear layer keeps its weights
    out = torch.empty(product.rows, product.columns, dtype=dtype, device=device)
    speeds = []
    with _matmul_precision("medium" if precision == "fp32 medium" else "highest"):
        for _ in range(1 + REPEATS):
            _synchronize(device)
            start = time.perf_counter()
            torch.mm(a, b.T, out=out)
            _synchronize(device)
            speeds.append(2e-9 * product.rows * product.inner * product.columns / (time.perf_counter() - start))
    speeds = speeds[1:]
    return {
        "precision": precision, "shape": product.name, "dimensions": list(product[1:]), "best": max(speeds),
        "median": statistics.median(speeds),
    }  # fmt: skip


@contextlib.contextmanager
def _matmul_precision(precision: str) -> Iterator[None]:
    import torch

    torch.set_float32_matmul_precision(precision)
    yield
    torch.set_float32_matmul_precision("highest")


def _synchronize(device: "torch.device") -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
