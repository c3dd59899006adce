"""Which of the heavy packages a command imports."""

import subprocess
import sys
from pathlib import Path

from helpers import workspace

HEAVY = ["torch", "transformers", "mlflow", "pandas", "sklearn", "matplotlib"]
PROBE = """
import runpy, sys
module, sys.argv = sys.argv[1], sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    print("IMPORTED", [name for name in {heavy} if name in sys.modules])
"""


def imported(root: Path, *arguments: str) -> list[str]:
    """The heavy packages that a module has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(heavy=HEAVY), *arguments],
        cwd=root,
        env=workspace.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    line = done.stdout.splitlines()[-1]
    assert line.startswith("IMPORTED ")
    return eval(line.removeprefix("IMPORTED "))
