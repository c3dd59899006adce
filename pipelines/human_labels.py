"""Stage `human_labels`: read a file of human labels, count its rows, and write them in one schema."""

from pipelines import _stage

if __name__ == "__main__":
    _stage.main("human_labels", __doc__)
