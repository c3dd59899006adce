"""Stage `pretrain`: train the small base model `tiny` and its tokenizer from scratch."""

from pipelines import _stage

if __name__ == "__main__":
    _stage.main("pretrain", __doc__)
