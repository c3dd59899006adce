"""What is measured: the works W1–W3, their sizes on each device, and who does them.  torch is imported on use.

A workload is a function `setup(size, device)` that returns a callable; each call of that does one iteration and returns
its seconds by phase, which add up to the whole iteration.  worker.py finds it by name: `benchmarks.engine:sampling`.
"""

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

PPO_EPOCHS = 4  # paper (noptepochs)
SAMPLES = 4  # paper §2.1: people choose the best of four
TEMPERATURE = 0.7  # paper §2.2, sentiment
UNITS = {"W1": "episodes", "W2": "comparisons", "W3": "sequences"}
TITLES = {
    "W1": f"PPO iteration, {PPO_EPOCHS} epochs × 1 minibatch",
    "W2": "reward-model step on four-way comparisons",
    "W3": "sampling",
}


@dataclass(frozen=True, slots=True)
class Size:
    """A GPT-2 and how much it does in an iteration: `batch` in units of the work; lengths in tokens."""

    name: str
    layers: int
    width: int
    heads: int
    batch: int
    query: int = 64
    response: int = 24
    vocab: int = 50257


TINY = Size("tiny", 4, 192, 3, batch=64, query=24, response=24, vocab=4096)  # model and batch of the grid `quick`


class Contender(NamedTuple):
    """`who` in the tables; `target`: the workload as `module:function`."""

    who: str
    target: str


OURS = {
    "W1": Contender("preflab", "benchmarks.engine:ppo_iteration"),
    "W2": Contender("preflab", "benchmarks.engine:reward_step"),
    "W3": Contender("preflab", "benchmarks.engine:sampling"),
}


def peer(work: str) -> Contender | None:
    """Who else does `work`; None where that takes TRL and TRL is not installed (`pip install '.[bench]'`)."""
    from importlib.metadata import PackageNotFoundError, version

    package, function = {
        "W1": ("trl", "ppo_iteration"),
        "W2": ("trl", "reward_step"),
        "W3": ("transformers", "sampling"),
    }[work]
    try:
        who = {"trl": "TRL", "transformers": "transformers generate"}[package]
        return Contender(f"{who} {version(package)}", f"benchmarks.peers:{function}")
    except PackageNotFoundError:
        return None


def sizes(work: str, device: str) -> list[Size]:
    """The sizes of `work` that are measured on `cpu` or `cuda`."""
    gpu = device == "cuda"
    small, medium, large = {
        "W1": (64, 512 if gpu else 16, 64),
        "W2": (32, 32, 32) if gpu else (8, 8, 8),
        "W3": (64, 64, 64),
    }[work]
    measured = [Size("S", 4, 256, 4, small), Size("M", 12, 768, 12, medium)]
    return [*measured, Size("L", 36, 1280, 20, large)] if gpu else measured


# --- what the workloads share -----------------------------------------------------------------------------------------


def pick_device() -> "torch.device":
    """cuda where there is one, torchrun's ranks one each; PREFLAB_DEVICE overrides, as in preflab.machine.runtime."""
    import torch

    name = os.environ.get("PREFLAB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if name == "cuda" else name)


class Stopwatch:
    """Seconds by phase; a lap ends when the device has done what it was told."""

    def __init__(self, device: "torch.device") -> None:
        self.device = device
        self.restart()

    def restart(self) -> None:
        """Start an iteration: nothing is booked yet."""
        self.seconds: dict[str, float] = {}
        self.last = self._now()

    def lap(self, phase: str) -> None:
        """Book the time since the last lap to `phase`."""
        now = self._now()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self.last
        self.last = now

    def _now(self) -> float:
        if self.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def gpt2_config(size: Size) -> Any:
    """The configuration of a GPT-2 without dropout, with 1,024 positions."""
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=size.vocab, n_positions=1024, n_embd=size.width, n_layer=size.layers, n_head=size.heads,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=size.vocab - 1, eos_token_id=size.vocab - 1,
    )  # fmt: skip


def tokens(size: Size, rows: int, length: int) -> "torch.Tensor":
    """Random tokens `[rows, length]` of the vocabulary, always the same, on the CPU; queries without a pad."""
    import torch

    return torch.randint(size.vocab, (rows, length), generator=torch.Generator().manual_seed(rows * length))
