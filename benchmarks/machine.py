"""What the benchmark ran on: device, processor, threads, versions, and a short name for the file of its results."""

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ["preflab", "torch", "transformers", "trl", "accelerate", "datasets", "numpy", "scikit-learn", "dvc"]


def describe() -> dict[str, Any]:
    """Device, name, processor, GPUs, cores, threads, memory in GB, system and versions; imports torch."""
    import torch

    from benchmarks.workloads import pick_device

    device = pick_device().type
    return {
        "device": device,
        "name": torch.cuda.get_device_name() if device == "cuda" else processor(),
        "processor": processor(),
        "gpus": torch.cuda.device_count() if device == "cuda" else 0,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "versions": {"python": platform.python_version()} | {p: v for p in PACKAGES if (v := version(p))},
    }


def slug(machine: dict[str, Any]) -> str:
    """`nvidia-h100-80gb-hbm3`, `cpu-amd-epyc-2-cores`: the name of the results' file."""
    words = machine["name"] if machine["device"] == "cuda" else f"cpu {machine['name']} {machine['cores']} cores"
    return "-".join(re.findall(r"[a-z0-9]+", re.sub(r"\((r|tm)\)", "", words.lower())))


def processor() -> str:
    """The processor's name as Linux gives it; elsewhere what Python knows."""
    info = Path("/proc/cpuinfo")
    fields = dict(re.findall(r"^([^\t\n]+)\t*: (.*)$", info.read_text(), re.M)) if info.exists() else {}
    return fields.get("model name") or platform.processor() or platform.machine()


def version(package: str) -> str | None:
    """The installed version; None if there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
