"""Stage `model`: put one base model (weights, config, tokenizer) into a folder and check its log-probabilities."""

from pipelines import _stage

if __name__ == "__main__":
    _stage.main("model", __doc__)
