"""Real files of other people, which are not part of the project: the folder PREFLAB_SAMPLES, if it is set."""

import os
from pathlib import Path

SAMPLES = Path(os.environ.get("PREFLAB_SAMPLES") or "PREFLAB_SAMPLES-is-not-set").resolve()
