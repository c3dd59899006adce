"""Stage `reward`: train a reward model on comparisons, or normalise the true score for direct training."""

from pipelines import _stage

if __name__ == "__main__":
    _stage.main("reward", __doc__)
