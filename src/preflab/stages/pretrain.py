"""Stage `pretrain`: train the small base model `tiny` and its tokenizer from scratch."""

from pathlib import Path

from preflab import corpora
from preflab.settings.stages import PretrainStage
from preflab.stages import Result
from preflab.training import pretrain


def run(cfg: PretrainStage, *, corpus: Path, out: Path, work: Path) -> Result:
    """Train on the documents of `cfg.pretrain.source` in the fetched `corpus` and write the model to `out`.

    Raises PreflabError if a split is too short, or the loss is not finite (training/pretrain.py).
    """
    documents = corpora.load(cfg.corpus, corpus).documents
    chosen = [document for document in documents if document.source == cfg.pretrain.source]
    result = pretrain.train(cfg.pretrain, chosen, work)
    pretrain.write(result, out)
    return Result(result.metrics)
