"""Where a result comes from: commit, machine, versions, settings, and the md5 of its inputs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from preflab.machine import parallel, runtime

CODE = ["conf", "src", "pipelines", "dvc.yaml"]  # what makes a result's commit "dirty"
PACKAGES = [
    "torch",
    "transformers",
    "tokenizers",
    "numpy",
    "scikit-learn",
    "pandas",
    "mlflow",
    "dvc",
    "hydra-core",
]


def settings(params: Path) -> dict[str, Any]:
    """The values of a params file by dotted name: {"policy.lr": 1.41e-05, …}."""
    from omegaconf import OmegaConf

    def flat(node: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        for key, value in node.items():
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    return dict(flat(OmegaConf.to_container(OmegaConf.load(params)), ""))


def commit(root: Path) -> dict[str, Any]:
    """`git_commit` (None outside a repository), and `dirty`: whether conf/, code or dvc.yaml differ from it."""

    def git(*args: str) -> str:
        return subprocess.run(["git", *args], cwd=root, capture_output=True, text=True, check=False).stdout.strip()

    return {
        "git_commit": git("rev-parse", "--verify", "-q", "HEAD") or None,
        "dirty": bool(git("status", "--porcelain", "--", *CODE)),
    }


def machine() -> dict[str, Any]:
    """Device, threads, precision and versions of this process; from torch only if the stage has imported it."""
    import platform

    device, threads, precision, measured = "cpu", os.cpu_count(), "fp32", None
    if torch := sys.modules.get("torch"):
        precision, measured = runtime.precision(), runtime.measured()
        threads = torch.get_num_threads()
        chosen = os.environ.get("PREFLAB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
        device = torch.cuda.get_device_name() if chosen.startswith("cuda") else chosen
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "device": device,
        "cpu_threads": threads,
        "precision": precision,
        "precision_measured": measured,
        "processes": parallel.size(),
        "versions": versions,
    }


def recorded_md5s(root: Path) -> dict[str, str]:
    """The md5 of every output in dvc.lock and in the dvc.lock of every sweep, by path."""
    import yaml

    md5s: dict[str, str] = {}
    for lock in [*sorted(root.glob("sweeps/*/dvc.lock")), root / "dvc.lock"]:
        content = yaml.load(lock.read_text(), yaml.CSafeLoader) if lock.exists() else None
        for entry in (content or {}).get("stages", {}).values():
            md5s |= {out["path"]: out["md5"] for out in entry.get("outs", []) if "md5" in out}
    return md5s
