"""The default: the sentiment classifier that the stage `prepare` trains on the labeller's half of the reviews."""

from pathlib import Path

from preflab import classifier


def load(queries: Path) -> classifier.Classifier:
    """Scores are log-odds that the text is positive."""
    return classifier.load(queries / "classifiers", "labeller")
