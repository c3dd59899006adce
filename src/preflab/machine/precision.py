"""The precision of matrix products by measurement.

Whether bf16 pays depends on more than the processor's instructions: an Intel Xeon with avx512_bf16 and without AMX is
slower in it than in fp32, an AMD EPYC with the same instructions twice as fast.  So both are timed, once per machine,
and the answer is kept in `.preflab/precision.json`: the same machine always computes the same numbers.
"""

import contextlib
import fcntl
import json
import logging
import math
import platform
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from preflab import files
from preflab.errors import PreflabError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

FILE = Path(".preflab") / "precision.json"
MARGIN = 1.1  # ours: bf16 must be this much faster, because it is less exact
ROUNDS, SECONDS = 3, 0.8  # ours: no further product is timed after that many seconds
PRECISIONS = ("fp32", "bf16")


class Product(NamedTuple):
    """A linear layer of `inner` → `columns` on `rows` tokens."""

    rows: int
    inner: int
    columns: int

    def gflop(self) -> float:
        """Operations forward and backward."""
        return 3 * 2e-9 * self.rows * self.inner * self.columns


PRODUCTS = [  # ours: layers of the models that conf/model offers, on the tokens of a small minibatch; smallest first
    Product(512, 192, 768),  # `tiny`, the first matrix of a feed-forward layer
    Product(512, 192, 4096),  # `tiny`, vocabulary
    Product(512, 576, 1536),  # SmolLM2 135M
    Product(512, 768, 3072),  # GPT-2 124M
]


class Measurement(NamedTuple):
    """`precision`: the answer, fp32 or bf16; `speedup` of bf16, the geometric mean over the products timed.

    `gflops`: GFLOP/s on one thread, forward and backward, by product (`512 × 192 × 768`: rows × inner × columns) and
    precision.
    """

    precision: str
    speedup: float
    gflops: dict[str, dict[str, float]]


_answers: dict[str, Measurement] = {}  # of this process


def of_machine() -> Measurement:
    """The answer for this processor, torch and number of threads: from `.preflab/precision.json`, or measured now.

    Processes that ask at the same time wait for the first.  Where the file cannot be written, a warning says so and the
    answer holds for this process only.  Raises PreflabError if the file is damaged.
    """
    machine = _machine()
    if machine not in _answers:
        answer = _read(machine)
        try:
            _answers[machine] = answer or _measure_once(machine)
        except OSError as error:
            _answers[machine] = measure()
            log.warning(
                "%s: cannot be written (%s): runtime.precision=auto is %s here, and the next process measures again; "
                "make the folder writable, or set runtime.precision to fp32 or bf16",
                FILE, error.strerror, _answers[machine].precision,
            )  # fmt: skip
    return _answers[machine]


def of_process() -> Measurement | None:
    """What `of_machine` answered in this process; None if it was not asked."""
    return _answers.get(_machine())


def _machine() -> str:
    import torch

    return f"{processor()}; torch {torch.__version__}; {torch.get_num_threads()} threads"


def _measure_once(machine: str) -> Measurement:
    """Measure and write the file, unless another process has done so by the time that the lock is free."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    with FILE.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = _read(machine)
        if answer is None:
            answer = measure()
            answers = _read_all() | {machine: answer._asdict()}
            files.replace(FILE, json.dumps(answers, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    return answer


def _read(machine: str) -> Measurement | None:
    entry = _read_all().get(machine)
    try:
        return None if entry is None else Measurement(**entry)
    except TypeError as error:
        raise _damaged() from error


def _read_all() -> dict[str, Any]:
    try:
        answers = json.loads(FILE.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise _damaged() from error
    if not isinstance(answers, dict):
        raise _damaged()
    return answers


def _damaged() -> PreflabError:
    return PreflabError(f"{FILE}: damaged; delete it, and runtime.precision=auto is measured again")


def processor() -> str:
    """The processor's name, family, model and stepping as Linux gives them; elsewhere what Python knows."""
    info = Path("/proc/cpuinfo")
    fields = dict(re.findall(r"^([^\t\n]+)\t*: (.*)$", info.read_text(), re.MULTILINE)) if info.exists() else {}
    names = ("model name", "cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU revision")
    parts = [fields["model name"]] if "model name" in fields else []
    parts += [f"{name.removeprefix('cpu ')} {fields[name]}" for name in names[1:] if name in fields]
    return ", ".join(parts) or platform.processor() or platform.machine()


def measure() -> Measurement:
    """Time every product in both precisions in turn, forward and backward, on one thread; the best of `ROUNDS` counts.

    Takes less than a second of computing; a processor too slow for all products is judged by those that it finished.
    One thread, and the time that it computed, because neither depends on what else the machine is doing: beside three
    busy processes bf16 was 1.9 times as fast on two cores of an AMD EPYC, as on the idle machine, where two threads by
    the clock gave 0.8 to 2.0.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        best = _best_times()
    finally:
        torch.set_num_threads(threads)
    speedup = math.exp(sum(math.log(row["fp32"] / row["bf16"]) for row in best.values()) / len(best))
    gflops = {
        " × ".join(map(str, product)): {p: round(product.gflop() / row[p], 1) for p in PRECISIONS}
        for product, row in best.items()
    }
    return Measurement("bf16" if speedup >= MARGIN else "fp32", round(speedup, 3), gflops)


def _best_times() -> dict[Product, dict[str, float]]:
    """Seconds by product and precision, of at least one product."""
    for precision in PRECISIONS:  # the first product sets up torch's libraries
        seconds(PRODUCTS[0], precision)
    best: dict[Product, dict[str, float]] = {}
    deadline = time.thread_time() + SECONDS
    for product in PRODUCTS * ROUNDS:
        if best and time.thread_time() > deadline:
            break
        row = best.setdefault(product, dict.fromkeys(PRECISIONS, math.inf))
        for precision in PRECISIONS:
            row[precision] = min(row[precision], seconds(product, precision))
    return best


def seconds(product: Product, precision: str) -> float:
    """CPU time of one product and its two backward products, with the conversions that training makes."""
    import torch

    x, weight, gradient = matrices(product)
    x.requires_grad_(True)
    weight.requires_grad_(True)
    with matmul_precision(precision):
        start = time.thread_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            y = torch.nn.functional.linear(x, weight)
        y.backward(gradient.to(y.dtype))
        return time.thread_time() - start


@contextlib.contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """torch's setting for fp32 products inside: as a stage in fp32 or bf16 has it."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if precision == "bf16" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def matrices(product: Product) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """Input `[rows, inner]`, weight `[columns, inner]` and gradient `[rows, columns]`, always the same numbers."""
    import torch

    generator = torch.Generator().manual_seed(0)
    rows, inner, columns = product
    shapes = ((rows, inner), (columns, inner), (rows, columns))
    x, weight, gradient = (torch.randn(shape, generator=generator) for shape in shapes)
    return x, weight, gradient
