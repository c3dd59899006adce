"""Stage `sft`: fine-tune a base model on reference responses or, if there are none, on passages of the corpus."""

from pipelines import _stage

if __name__ == "__main__":
    _stage.main("sft", __doc__)
