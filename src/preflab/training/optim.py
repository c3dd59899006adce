"""Adam as TensorFlow 1 computes it, which the paper's code used, and the learning rates that fall linearly to 0."""

from collections.abc import Iterable
from typing import Any

import torch

BETAS = (0.9, 0.999)


class TFAdam(torch.optim.Adam):
    """θ ← θ − lr·√(1−β₂ᵗ)/(1−β₁ᵗ) · m/(√v + ε)   (TensorFlow, released utils/core.py:627).

    PyTorch divides by √v + ε·√(1−β₂ᵗ) instead, a far larger first step at ε = 1e-5.  So this is PyTorch's fused
    Adam with ε/√(1−β₂ᵗ) at step t, which is equal.
    """

    def __init__(self, params: Iterable[torch.nn.Parameter], lr: float, eps: float) -> None:
        super().__init__(params, lr=lr, betas=BETAS, eps=eps, fused=True)
        self.tf_eps = eps
        self.taken = 0

    def step(self, closure: Any = None) -> Any:
        """One update of every parameter that has a gradient."""
        self.taken += 1
        for group in self.param_groups:
            group["eps"] = self.tf_eps / (1 - BETAS[1] ** self.taken) ** 0.5
        return super().step(closure)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the moments, and the number of updates: in each of them some parameter had a gradient."""
        super().load_state_dict(state_dict)
        self.taken = max((int(entry["step"]) for entry in self.state.values()), default=0)


def build(kind: str, params: Iterable[torch.nn.Parameter], lr: float, eps: float) -> torch.optim.Adam:
    """Adam of `kind` `tf` or `torch`, without weight decay."""
    if kind == "tf":
        return TFAdam(params, lr, eps)
    return torch.optim.Adam(params, lr=lr, betas=BETAS, eps=eps, fused=True)


def set_lr(optimizer: torch.optim.Optimizer, peak: float, done: int, total: int) -> float:
    """Set and return the rate of the step after `done` finished ones: linear from `peak` to 0 over `total` steps."""
    lr = peak * (1 - done / total)
    for group in optimizer.param_groups:
        group["lr"] = lr
    return lr
