"""Stage `comparisons`: four samples of the reference for each query, and the labeller's choice among them."""

from pipelines import _stage

if __name__ == "__main__":
    _stage.main("comparisons", __doc__)
