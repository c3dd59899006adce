"""Atomic, verified checkpoints of tensors (safetensors, never pickle) and a small JSON state.

A checkpoint is a folder `step-N` with `state.json` and `tensors.safetensors`; it is written beside and renamed, so that
a killed run leaves the old one, the new one, or both.  Only the newest is kept.
"""

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from preflab.errors import PreflabError

if TYPE_CHECKING:
    import torch

Tensors = dict[str, "torch.Tensor"]

log = logging.getLogger(__name__)


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
    record = {"step": step, "sha256": hashlib.sha256(blob).hexdigest(), "state": state}
    for name, content in (("tensors.safetensors", blob), ("state.json", json.dumps(record).encode())):
        with (temporary / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a machine that goes down must not leave a new name on half a file
    target = folder / f"step-{step}"
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    for old in _steps(folder):
        if old != target:
            shutil.rmtree(old)


def load(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole; None where there is none at all, an error where all are damaged."""
    damaged = ""
    for path in reversed(_steps(folder)):
        try:
            found = _read(path)
        except PreflabError as error:
            damaged = damaged or str(error)
        else:
            if damaged:
                log.warning("%s; going on from %s", damaged, path)
            return found
    if damaged:
        raise PreflabError(f"{damaged}; delete {folder} to start the stage over")
    return None


def _read(path: Path) -> Checkpoint:
    from safetensors.torch import load as from_bytes

    try:
        record = json.loads((path / "state.json").read_bytes())
        step, state, sha256 = record["step"], record["state"], record["sha256"]
    except (FileNotFoundError, ValueError, TypeError, KeyError) as error:
        raise PreflabError(f"{path / 'state.json'}: damaged or not there") from error
    tensors = path / "tensors.safetensors"
    blob = tensors.read_bytes() if tensors.exists() else b""
    if hashlib.sha256(blob).hexdigest() != sha256:
        raise PreflabError(f"{tensors}: damaged, it does not have the sha256 that state.json says")
    return Checkpoint(step, from_bytes(blob), state)


def folder_for(stage: str, *inputs: Path) -> Path:
    """`.checkpoints/<stage>-<hash>`: outside DVC's outs (which it deletes before a retry), one per set of inputs.

    The library's own modules count as inputs: a run is never continued by other code than began it.  What runs of the
    same stage with other inputs have left behind is removed; a run in progress holds its folder until its process ends.
    """
    digest = hashlib.sha256()
    for path in (*inputs, *sorted(Path(__file__).parent.glob("*.py"))):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(
                    file.relative_to(path).as_posix().encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest()
                )
    name = stage.replace("@", "-")
    folder = Path(".checkpoints") / f"{name}-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    _hold(folder)
    for other in folder.parent.iterdir():
        if other != folder and re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{16}}", other.name):
            held = _hold(other)
            if held is not None:
                shutil.rmtree(other, ignore_errors=True)
                os.close(held)
    return folder


def _hold(folder: Path) -> int | None:
    """Lock the folder until the file descriptor is closed or the process ends; None if another run holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


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
