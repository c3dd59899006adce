"""Stage `human_labels`: read a file of human labels, count what it holds, and write it down in one schema."""

from pipelines import _stage

if __name__ == "__main__":
    _stage.main("human_labels", __doc__)
