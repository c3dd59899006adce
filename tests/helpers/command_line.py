"""Commands of the project in another folder, and the errors that they print."""

import os
import subprocess
import sys
from pathlib import Path

from helpers import PROJECT


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m …` in `folder`, with our pipelines and library."""
    env = os.environ | {"PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'src'}"}
    line = [sys.executable, "-m", *arguments]
    return subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, check=False)


def error_of(run: subprocess.CompletedProcess[str]) -> str:
    """The error of a command that failed as it should."""
    assert run.returncode == 2, run.stderr
    assert run.stderr.startswith("error: ")
    assert "Traceback" not in run.stderr
    return run.stderr
