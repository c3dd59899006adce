"""Stage `prepare`: queries of a task in a model's tokens, and the sentiment classifiers.

The classifiers of the synthetic labeller and judge learn from the corpus of the queries, or from another one (in the
paper from Amazon reviews, while queries are passages of BookCorpus).
"""

from pathlib import Path

from preflab import corpora
from preflab.corpora.queries import queries
from preflab.corpora.query_files import write_queries
from preflab.errors import PreflabError
from preflab.labellers.classifiers import linear
from preflab.labellers.classifiers import transformer as transformer_classifiers
from preflab.labellers.classifiers.transformer import Shape
from preflab.machine import runtime
from preflab.models import causal_lm
from preflab.settings.data import TransformerSettings
from preflab.settings.stages import PrepareStage
from preflab.stages import Result

HALVES = ("labeller", "judge")

Metrics = dict[str, float]


def run(cfg: PrepareStage, *, corpus: Path, classifier_corpus: Path, model: Path, out: Path) -> Result:
    """Write `{train,validation,test}.parquet` and, where there are labels, `classifiers/` to `out`.

    `corpus`: the fetched corpus of the queries; `classifier_corpus`: the one that `cfg.classifier_corpus` describes, or
    unread if that is None, since the classifiers then learn from `corpus`.
    Raises PreflabError if the model's context is too short for a query, or a split has no query.
    """
    context = causal_lm.context_length(model)
    if cfg.query.query_length >= context:
        raise PreflabError(
            f"task.query_length={cfg.query.query_length}: the model in {model} has a context of {context} tokens; "
            "queries and responses must fit into it"
        )
    with runtime.progress(2 + len(corpora.SPLITS) + len(HALVES), "prepare", unit="part") as bar:
        loaded = corpora.load(cfg.corpus, corpus)
        bar.update()
        splits = corpora.splits(loaded.documents)
        bar.update()
        metrics: Metrics = {
            "documents": len(loaded.documents),
            "duplicates": loaded.duplicates,
            "shared_between_splits": loaded.shared,
            "empty_documents": loaded.empty,
        }
        out.mkdir(parents=True, exist_ok=True)
        tokenizer, pad_id = causal_lm.load_tokenizer(model), causal_lm.pad_id(model)
        sources = cfg.corpus.query_sources
        has_references = any(d.reference is not None for d in loaded.documents)
        for split, members in splits.items():
            chosen = [d for d in members if sources is None or d.source in sources]
            rows = queries(chosen, tokenizer, cfg.query, pad_id)
            if has_references:  # a summary that is missing can be neither learned nor scored
                metrics[f"without_reference_{split}"] = sum(row.reference is None for row in rows)
                rows = [row for row in rows if row.reference is not None]
            if not rows:
                raise _no_queries(cfg, corpus, split, len(chosen), len(members))
            write_queries(rows, out / f"{split}.parquet")
            metrics[f"queries_{split}"] = len(rows)
            bar.update()
        if cfg.classifier_corpus is not None:
            splits = corpora.splits(corpora.load(cfg.classifier_corpus, classifier_corpus).documents)
        labelled = any(d.label is not None for d in splits["train"])
        for half in HALVES if labelled else ():
            metrics |= train_classifier(half, splits["train"], splits["test"], out / "classifiers")
            bar.update()
        if cfg.transformer is not None:
            metrics |= train_transformer(cfg.transformer, splits["train"], splits["test"], out / "classifiers")
    return Result(metrics)


def train_transformer(
    cfg: TransformerSettings, train: list[corpora.Document], test: list[corpora.Document], out: Path
) -> Metrics:
    """Train the labeller `transformer` on the labeller's half of the labelled train documents, into `out`.

    Returns its accuracy on the labelled test documents.
    """
    documents = [d for d in train if d.label is not None and corpora.half_of(d.text) == "labeller"]
    texts, labels = [d.text for d in documents], [int(d.label or 0) for d in documents]
    shape = Shape(cfg.layers, cfg.heads, cfg.width, cfg.vocabulary, cfg.length)
    model = transformer_classifiers.train(
        texts, labels, shape, cfg.epochs, cfg.batch_size, cfg.lr, cfg.threads, cfg.seed
    )
    model.save(out, "transformer")
    held_out = [d for d in test if d.label is not None]
    accuracy = model.accuracy([d.text for d in held_out], [int(d.label or 0) for d in held_out])
    return {"transformer_accuracy": round(accuracy, 4)}


def _no_queries(cfg: PrepareStage, corpus: Path, split: str, chosen: int, members: int) -> PreflabError:
    if members and not chosen:
        return PreflabError(
            f"corpus.query_sources={cfg.corpus.query_sources}: none of the {members} {split} texts in {corpus} is "
            "from one of these; name others, or set corpus.query_sources=null"
        )
    return PreflabError(
        f"{corpus}: none of the {chosen} {split} texts has a query that starts after "
        f"{cfg.query.start_text!r} and ends with {cfg.query.end_text!r} "
        f"within {cfg.query.query_length} tokens; set task.start_text=null task.end_text=null, "
        "a longer task.query_length, or another corpus"
    )


def train_classifier(half: str, train: list[corpora.Document], test: list[corpora.Document], out: Path) -> Metrics:
    """Train `labeller` or `judge` on its half of the labelled train documents, into `out`.

    Returns the number of its documents, and its accuracy on the test documents of each source.
    """
    documents = [d for d in train if d.label is not None and corpora.half_of(d.text) == half]
    model = linear.train([d.text for d in documents], [int(d.label or 0) for d in documents])
    model.save(out, half)
    metrics = {f"{half}_documents": float(len(documents))}
    for source in sorted({d.source for d in test if d.label is not None}):
        held_out = [d for d in test if d.label is not None and d.source == source]
        accuracy = model.accuracy([d.text for d in held_out], [int(d.label or 0) for d in held_out])
        metrics[f"{half}_accuracy_{source}"] = round(accuracy, 4)
    return metrics
