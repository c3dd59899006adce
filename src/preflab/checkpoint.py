"""Atomic, verified checkpoints of tensors (safetensors, never pickle) and a small JSON state.

A checkpoint is a folder `step-N` with `state.json` and `tensors.safetensors`; it is written beside and renamed, so that
a killed run leaves either the old one or the new one.  Only the newest is kept.
"""

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from preflab.errors import PreflabError

if TYPE_CHECKING:
    import torch

Tensors = dict[str, "torch.Tensor"]


class Checkpoint(NamedTuple):
    """`step` finished steps, the tensors, and whatever JSON the loop put beside them."""

    step: int
    tensors: Tensors
    state: dict[str, Any]


def save(folder: Path, step: int, tensors: Tensors, state: dict[str, Any]) -> None:
    """Write checkpoint `step` and remove the older ones."""
    from safetensors.torch import save as to_bytes

    blob = to_bytes({name: tensor.detach().contiguous() for name, tensor in tensors.items()})
    temporary = folder / f".writing-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    (temporary / "tensors.safetensors").write_bytes(blob)
    record = {"step": step, "sha256": hashlib.sha256(blob).hexdigest(), "state": state}
    (temporary / "state.json").write_text(json.dumps(record))
    target = folder / f"step-{step}"
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    for old in _steps(folder):
        if old != target:
            shutil.rmtree(old)


def load(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole, or None. One that fails its digest is an error, not a silent restart."""
    from safetensors.torch import load as from_bytes

    found = _steps(folder)
    if not found:
        return None
    record = json.loads((found[-1] / "state.json").read_text())
    blob = (found[-1] / "tensors.safetensors").read_bytes()
    if hashlib.sha256(blob).hexdigest() != record["sha256"]:
        raise PreflabError(
            f"{found[-1]}: the tensors do not match their sha256; delete this folder to start the stage over"
        )
    return Checkpoint(record["step"], from_bytes(blob), record["state"])


def folder_for(stage: str, *inputs: Path) -> Path:
    """`.checkpoints/<stage>-<hash>`: outside DVC's outs (which it deletes before a retry), one per set of inputs.

    The library's own modules count as inputs: a run is never continued by other code than began it.
    """
    digest = hashlib.sha256()
    for path in (*inputs, *sorted(Path(__file__).parent.glob("*.py"))):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(
                    file.relative_to(path).as_posix().encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest()
                )
    return Path(".checkpoints") / f"{stage.replace('@', '-')}-{digest.hexdigest()[:16]}"


def remove(folder: Path) -> None:
    """Called once the stage's outputs are written."""
    shutil.rmtree(folder, ignore_errors=True)


def pack(prefix: str, optimizer: "torch.optim.Optimizer") -> Tensors:
    """An optimizer's state as named tensors."""
    import torch

    state = optimizer.state_dict()["state"]
    return {f"{prefix}.{i}.{k}": torch.as_tensor(v) for i, entry in state.items() for k, v in entry.items()}


def unpack(prefix: str, optimizer: "torch.optim.Optimizer", tensors: Tensors) -> None:
    """Restore what `pack` made into a freshly built optimizer."""
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix + "."):
            index, key = name[len(prefix) + 1 :].split(".", 1)
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _steps(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"), key=lambda path: int(path.name.split("-")[1]))


class Every:
    """`due()` is true once per `seconds`: checkpoints are for the clock, and never change a result."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.last = time.monotonic()

    def due(self) -> bool:
        """Whether the time has passed since the last true answer."""
        if time.monotonic() - self.last < self.seconds:
            return False
        self.last = time.monotonic()
        return True
