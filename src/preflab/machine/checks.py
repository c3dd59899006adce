"""Whether torch computes what it is asked for: checked at the start of every stage, in milliseconds."""

import ctypes
import math
import os
from typing import TYPE_CHECKING

from preflab.errors import PreflabError
from preflab.machine.precision import Product, matrices

if TYPE_CHECKING:
    import torch

PRODUCTS = [Product(64, 192, 576), Product(24, 192, 4096)]  # ours: attention and vocabulary of `tiny`, few rows
TOLERANCE = {"fp32": 1e-4, "bf16": 3e-2}  # ours, relative to the largest entry; bf16 rounds to 2⁻⁹ = 0.2 %


def check_threads(threads: int) -> None:
    """Start a parallel region of OpenMP and count its threads; where torch has no OpenMP, nothing is checked.

    With fewer threads than torch counts on, it leaves products in bf16 half written (torch 2.13).  Raises PreflabError
    then.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "GOMP_parallel"):
        return
    numbers: list[int] = []
    body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: numbers.append(library.omp_get_thread_num()))
    library.GOMP_parallel(body, None, 0, 0)  # 0: as many threads as torch.set_num_threads has asked for
    if len(numbers) < threads:
        limits = [f"{name}={os.environ[name]}" for name in ("OMP_THREAD_LIMIT", "OMP_DYNAMIC") if name in os.environ]
        cause = f" ({', '.join(limits)})" if limits else ""
        remedy = f"unset {limits[0].partition('=')[0]} or " if limits else ""
        raise PreflabError(
            f"runtime.threads: this process needs {threads} threads, but OpenMP starts {len(numbers)}{cause}; "
            f"{remedy}set runtime.threads={len(numbers)}"
        )


def check_products(precision: str, device: "torch.device") -> None:
    """Compare products in `precision` (fp32 or bf16) on `device` with fp64 on the CPU.

    Raises PreflabError if they differ by more than rounding explains.
    """
    import torch

    for product in PRODUCTS:
        x, weight, _ = matrices(product)
        exact = x.double() @ weight.double().T
        torch.full(exact.shape, math.nan, device=device)  # freed at once: what a product leaves unwritten is then nan
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            result = torch.nn.functional.linear(x.to(device), weight.to(device))
        error = float((result.cpu().double() - exact).abs().max() / exact.abs().max())
        if not error <= TOLERANCE[precision]:  # true for nan
            raise PreflabError(
                f"matrix products are wrong: [{product.rows}, {product.inner}] × [{product.inner}, {product.columns}] "
                f"in {precision} with {torch.get_num_threads()} threads on {device.type} differs from fp64 by "
                f"{error:.2g} of its largest entry, expected at most {TOLERANCE[precision]:g}; unset variables that "
                "begin with OMP_ or MKL_, set runtime.precision=fp32, or install another version of torch"
            )
