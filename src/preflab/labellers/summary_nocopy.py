"""Summary quality (summary.py) less half the share of the text that is copied in spans of five words or more."""

from pathlib import Path

from preflab.labellers import summary


def load(queries: Path) -> summary.SummaryLabeller:
    """A verbatim copy loses 0.5; raises PreflabError if a query has no reference summary."""
    return summary.SummaryLabeller(summary.references(queries), summary.COPYING)
