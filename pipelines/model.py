"""Stage `model`: put one base model (weights, config, tokenizer) into a folder and check that it is computed right."""

from pipelines import _stage

if __name__ == "__main__":
    _stage.main("model", __doc__)
