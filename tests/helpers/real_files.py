"""Real files, which are not part of the project: the folder PREFLAB_SAMPLES, or `shared/data` beside the project's."""

import os
from pathlib import Path

from helpers import PROJECT

SAMPLES = Path(os.environ.get("PREFLAB_SAMPLES") or PROJECT.parent / "shared" / "data")
