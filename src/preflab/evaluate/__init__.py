"""Held-out evaluation: scores of the samples, the judge's win rates, statistics."""
