"""Stage `prepare`: queries of a task in a model's tokens, and the classifiers of the synthetic labeller and judge."""

from pipelines import _stage

if __name__ == "__main__":
    _stage.main("prepare", __doc__)
