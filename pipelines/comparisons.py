"""Stage `comparisons`: four reference samples to each query, and the labeller's choice among them."""

from pipelines import _stage

if __name__ == "__main__":
    _stage.main("comparisons", __doc__)
