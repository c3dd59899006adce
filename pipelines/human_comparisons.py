"""Stage `human_comparisons`, in place of `comparisons`: human labels in the tokens of a cell's model."""

from pipelines import _stage

if __name__ == "__main__":
    _stage.main("human_comparisons", __doc__)
