"""Stage `sft`: fine-tune a base model on reference responses or, where there are none, on the corpus' passages."""

from pipelines import _stage

if __name__ == "__main__":
    _stage.main("sft", __doc__)
