"""A classifier like the paper's (labellers/classifiers/transformer.py), trained by the stage `prepare`."""

import os
from pathlib import Path

from preflab.labellers._responses import ResponseLabeller
from preflab.labellers.classifiers import transformer


def load(queries: Path) -> ResponseLabeller:
    """Scores are log-odds that the text is positive; on a GPU where there is one (PREFLAB_DEVICE overrides).

    Raises PreflabError if the stage `prepare` trained none.
    """
    import torch

    device = os.environ.get("PREFLAB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    return ResponseLabeller(transformer.load(queries / "classifiers", "transformer", device).score)
