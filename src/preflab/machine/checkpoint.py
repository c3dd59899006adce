"""Atomic, verified checkpoints of tensors (safetensors, never pickle) and a small JSON state.

A checkpoint is a folder `step-N` with `state.json` and `tensors.safetensors`; it is written under another name and
renamed, so that a killed run leaves the old one, the new one, or both.  Only the newest is kept.
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
    """The number of finished steps, the tensors by name, and the loop's other state as JSON."""

    step: int
    tensors: Tensors
    state: dict[str, Any]


def save(folder: Path, step: int, tensors: Tensors, state: dict[str, Any]) -> None:
    """Write the checkpoint after `step` finished steps and remove the older ones; `state` must be JSON."""
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
            os.fsync(file.fileno())  # after a power failure the new name must not stand on half a file
    target = folder / f"step-{step}"
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    for old in _steps(folder):
        if old != target:
            shutil.rmtree(old)


def load(folder: Path) -> Checkpoint | None:
    """The newest undamaged checkpoint, or None where there is none.

    Raises PreflabError where there are checkpoints and all of them are damaged.
    """
    damage = ""
    for path in reversed(_steps(folder)):
        try:
            newest = _read(path)
        except PreflabError as error:
            damage = damage or str(error)
        else:
            if damage:
                log.warning("%s; continuing from %s", damage, path)
            return newest
    if damage:
        raise PreflabError(f"{damage}; delete {folder} to start the stage over")
    return None


def _read(path: Path) -> Checkpoint:
    from safetensors.torch import load as from_bytes

    try:
        record = json.loads((path / "state.json").read_bytes())
        step, state, sha256 = record["step"], record["state"], record["sha256"]
    except (FileNotFoundError, ValueError, TypeError, KeyError) as error:
        raise PreflabError(f"{path / 'state.json'}: damaged or missing") from error
    tensors = path / "tensors.safetensors"
    blob = tensors.read_bytes() if tensors.exists() else b""
    if hashlib.sha256(blob).hexdigest() != sha256:
        raise PreflabError(f"{tensors}: damaged, its sha256 is not the one in state.json")
    return Checkpoint(step, from_bytes(blob), state)


def folder_for(stage: str, *inputs: Path) -> Path:
    """`.checkpoints/<stage>-<hash of the content of all inputs>`, created and locked until this process ends.

    It lies outside DVC's outputs, which DVC deletes before a retry.  One of the inputs must name the code of the stage
    (its file of digests), so that a run is never continued by other code than began it.  Folders of the same stage with
    other inputs are removed, unless another process has them locked.
    """
    digest = hashlib.sha256()
    for path in inputs:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(
                    file.relative_to(path).as_posix().encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest()
                )
    name = stage.replace("@", "-")
    folder = Path(".checkpoints") / f"{name}-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    _lock(folder)
    for other in folder.parent.iterdir():
        if other != folder and re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{16}}", other.name):
            descriptor = _lock(other)
            if descriptor is not None:
                shutil.rmtree(other, ignore_errors=True)
                os.close(descriptor)
    return folder


def _lock(folder: Path) -> int | None:
    """Lock `folder/lock` until the descriptor is closed or the process ends; None if another process has the lock.

    A file opened for writing, because NFS locks nothing else.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def remove(folder: Path) -> None:
    """Delete the checkpoints of a stage whose outputs are written."""
    shutil.rmtree(folder, ignore_errors=True)


def tensors_of(prefix: str, module: "torch.nn.Module") -> Tensors:
    """Weights and persistent buffers of a module as `prefix.name`; a tied weight once, under its first name."""
    return {f"{prefix}.{name}": tensor for name, tensor in _state(module).items()}


def restore_module(prefix: str, module: "torch.nn.Module", tensors: Tensors) -> None:
    """Copy what `tensors_of` returned into a module of the same architecture.

    Raises PreflabError if a weight is missing, unexpected, or of another shape.
    """
    import torch

    weights, state = _part(prefix, tensors), _state(module)
    problems = [f"{prefix}.{name} is missing" for name in state if name not in weights]
    problems += [f"{prefix}.{name} is unexpected" for name in weights if name not in state]
    problems += [
        f"{prefix}.{name} has shape {list(weights[name].shape)}, expected {list(tensor.shape)}"
        for name, tensor in state.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    _refuse(problems)
    with torch.no_grad():
        for name, tensor in state.items():
            tensor.copy_(weights[name])


def pack(prefix: str, optimizer: "torch.optim.Optimizer") -> Tensors:
    """An optimizer's state as `prefix.NUMBER OF PARAMETER.key`, numbered through all groups."""
    import torch

    state = optimizer.state_dict()["state"]
    return {f"{prefix}.{i}.{k}": torch.as_tensor(v) for i, entry in state.items() for k, v in entry.items()}


def unpack(prefix: str, optimizer: "torch.optim.Optimizer", tensors: Tensors) -> None:
    """Restore what `pack` returned into a new optimizer of the same parameters, which keeps its own hyperparameters.

    Raises PreflabError if a tensor is not the state of a parameter.
    """
    state: dict[int, dict[str, Any]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    problems = []
    for name, tensor in _part(prefix, tensors).items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = tensor
        if int(number) >= len(parameters):
            problems.append(f"{prefix}.{name} is unexpected, there are {len(parameters)} parameters")
        elif tensor.ndim and tensor.shape != parameters[int(number)].shape:
            shape = list(parameters[int(number)].shape)
            problems.append(f"{prefix}.{name} has shape {list(tensor.shape)}, expected {shape}")
    _refuse(problems)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _state(module: "torch.nn.Module") -> Tensors:
    """The module's own tensors (not copies) by name, each once."""
    unique: dict[int, tuple[str, torch.Tensor]] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        unique.setdefault(id(tensor), (name, tensor))
    return dict(unique.values())


def _part(prefix: str, tensors: Tensors) -> Tensors:
    """The tensors whose names begin with `prefix.`, without it."""
    return {
        name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")
    }


def _refuse(problems: list[str]) -> None:
    if problems:
        rest = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise PreflabError(
            f"the checkpoint does not fit: {', '.join(problems[:3])}{rest}; "
            "delete the stage's folder in .checkpoints to start it over"
        )


def _steps(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"), key=lambda path: int(path.name.split("-")[1]))


class Every:
    """`due()` is true once per `seconds`.  The clock decides when a checkpoint is written, never a result."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.last = time.monotonic()

    def due(self) -> bool:
        """Whether `seconds` have passed since it was last true, or since the start."""
        if time.monotonic() - self.last < self.seconds:
            return False
        self.last = time.monotonic()
        return True
