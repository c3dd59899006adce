"""Stage `fetch`: fetch one corpus (a package, a data set of the Hugging Face hub, your own files)."""

from pipelines import _stage

if __name__ == "__main__":
    _stage.main("fetch", __doc__)
