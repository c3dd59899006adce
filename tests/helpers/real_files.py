"""Real files of other people, which are not part of the project: PREFLAB_SAMPLES=FOLDER, or ../shared/data."""

import os
from pathlib import Path

SAMPLES = Path(os.environ.get("PREFLAB_SAMPLES") or Path(__file__).resolve().parents[3] / "shared" / "data")
