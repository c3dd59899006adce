"""The default: the sentiment classifier that the stage `prepare` trains on the labeller's half of the reviews."""

from pathlib import Path

from preflab.labellers._responses import ResponseLabeller
from preflab.labellers.classifiers import linear


def load(queries: Path) -> ResponseLabeller:
    """Scores are log-odds that the text is positive; raises PreflabError if the stage `prepare` trained none."""
    return ResponseLabeller(linear.load(queries / "classifiers", "labeller").score)
