"""Queries as the original cuts them, from disjoint documents, and the two sentiment classifiers.

The classifiers learn from the corpus of the queries, or from another one (in the paper: Amazon reviews, where queries
are passages of BookCorpus).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from preflab import classifier, corpora, models, runtime, sentiment_transformer
from preflab.config import PrepareStage, Query, Transformer
from preflab.errors import PreflabError

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer

HALVES = ("labeller", "judge")
PREFIX = 400  # ours: characters that hold the window of 9 reviews in 10; 256 or 640 take a third longer in all


Metrics = dict[str, float]


def window(tokens: list[int], length: int, start: int | None, end: int | None) -> list[int] | None:
    """The query in one text: from behind the first `start`, at most `length` tokens, through the last `end` in there.

    None if the text has no such window (released language/datasets.py:49-64).

        It | was | . | I | saw | it | . | We | left | .          length 5, start = end = "."
                       └──── query ────┘
    """
    if start is not None:
        if start not in tokens[:-1]:
            return None
        tokens = tokens[tokens.index(start) + 1 :]
    tokens = tokens[:length]
    if end is not None:
        if end not in tokens:
            return None
        tokens = tokens[: len(tokens) - tokens[::-1].index(end)]
    return tokens or None


def first_tokens(texts: list[str], tokenizer: "Tokenizer", length: int, start: int | None) -> list[list[int]]:
    """The tokens of each text, at least as far as its `window` reaches.

    Most windows lie in the first `PREFIX` characters, and tokenizers read word by word from the left: but for the last
    word of a prefix that ends before a space, its tokens are those of the whole text.  A text that is one long word to
    its tokenizer, or whose window ends later, is encoded whole.
    """

    def encode(texts: list[str]) -> list[Any]:
        return tokenizer.encode_batch(texts, add_special_tokens=False)

    prefixes = [text if len(text) <= PREFIX else text[:PREFIX].rpartition(" ")[0] for text in texts]
    found: list[list[int]] = []
    undecided = []
    for text, prefix, encoding in zip(texts, prefixes, encode(prefixes), strict=True):
        tokens = encoding.ids
        if len(prefix) < len(text):
            words = encoding.word_ids
            tokens = tokens[: words.index(words[-1])] if words else []
            begin = 0 if start is None else tokens.index(start) + 1 if start in tokens else len(tokens)
            if begin + length > len(tokens):
                undecided.append(len(found))
        found.append(tokens)
    for i, encoding in zip(undecided, encode([texts[i] for i in undecided]), strict=True):
        found[i] = encoding.ids
    return found


class Row(NamedTuple):
    """A query: its text, its tokens, padded on the right to `query_length`, and the summary of its document."""

    text: str
    tokens: list[int]
    reference: str | None


def queries(documents: list[corpora.Document], tokenizer: "Tokenizer", query: Query, pad_id: int) -> list[Row]:
    """One for every document with a window."""
    start = models.token_id(tokenizer, query.start_text) if query.start_text else None
    end = models.token_id(tokenizer, query.end_text) if query.end_text else None
    found = []
    encoded = first_tokens([document.text for document in documents], tokenizer, query.query_length, start)
    for document, row in zip(documents, encoded, strict=True):
        tokens = window(row, query.query_length, start, end)
        if tokens is not None:
            padded = tokens + [pad_id] * (query.query_length - len(tokens))
            found.append(Row(tokenizer.decode(tokens), padded, document.reference))
    return found


def run(cfg: PrepareStage, corpus: Path, model: Path, out: Path, classifier_corpus: Path | None = None) -> Metrics:
    """Write `{train,validation,test}.parquet` and, where there are labels, `classifiers/`; returns the metrics.

    `classifier_corpus`: the fetched corpus that `cfg.classifier_corpus` describes; None: the classifiers learn from
    `corpus`.
    """
    context = models.context_length(model)
    if cfg.query.query_length >= context:
        raise PreflabError(
            f"task.query_length={cfg.query.query_length}: the model in {model} has a context of {context} tokens; "
            "queries and responses must fit into it"
        )
    if (cfg.classifier_corpus is None) != (classifier_corpus is None):
        raise PreflabError("classifier_corpus: settings and folder of the corpus go together; give both, or none")
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
        tokenizer, pad_id = models.load_tokenizer(model), models.pad_id(model)
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
        if cfg.classifier_corpus is not None and classifier_corpus is not None:
            splits = corpora.splits(corpora.load(cfg.classifier_corpus, classifier_corpus).documents)
        labelled = any(d.label is not None for d in splits["train"])
        for half in HALVES if labelled else ():
            metrics |= train_classifier(half, splits["train"], splits["test"], out / "classifiers")
            bar.update()
        if cfg.transformer is not None:
            metrics |= train_transformer(cfg.transformer, splits["train"], splits["test"], out / "classifiers")
    return metrics


def train_transformer(
    cfg: Transformer, train: list[corpora.Document], test: list[corpora.Document], out: Path
) -> Metrics:
    """The labeller `transformer`, on the labeller's half of the labelled train documents."""
    own = [d for d in train if d.label is not None and corpora.half_of(d.text) == "labeller"]
    texts, labels = [d.text for d in own], [int(d.label or 0) for d in own]
    shape = sentiment_transformer.Shape(cfg.layers, cfg.heads, cfg.width, cfg.vocabulary, cfg.length)
    model = sentiment_transformer.train(texts, labels, shape, cfg.epochs, cfg.batch_size, cfg.lr, cfg.threads, cfg.seed)
    model.save(out, "transformer")
    held_out = [d for d in test if d.label is not None]
    accuracy = model.accuracy([d.text for d in held_out], [int(d.label or 0) for d in held_out])
    return {"transformer_accuracy": round(accuracy, 4)}


def write_queries(rows: list[Row], path: Path) -> None:
    """A parquet file with the columns text, tokens, reference."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = {
        "text": [row.text for row in rows],
        "tokens": [row.tokens for row in rows],
        "reference": pa.array([row.reference for row in rows], pa.string()),
    }
    pq.write_table(pa.table(table), path)


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
    """`labeller` or `judge`, on its half of the labelled train documents; accuracies on the test documents."""
    own = [d for d in train if d.label is not None and corpora.half_of(d.text) == half]
    model = classifier.train([d.text for d in own], [int(d.label or 0) for d in own])
    model.save(out, half)
    metrics = {f"{half}_documents": float(len(own))}
    for source in sorted({d.source for d in test if d.label is not None}):
        of = [d for d in test if d.label is not None and d.source == source]
        accuracy = model.accuracy([d.text for d in of], [int(d.label or 0) for d in of])
        metrics[f"{half}_accuracy_{source}"] = round(accuracy, 4)
    return metrics


def load_queries(folder: Path, split: str) -> "np.ndarray":
    """The token rows of one split, `[queries, query_length]`, padded on the right."""
    import pyarrow.parquet as pq

    column = pq.read_table(folder / f"{split}.parquet", columns=["tokens"])["tokens"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), -1)


def load_texts(folder: Path, split: str) -> list[tuple[str, str | None]]:
    """`(query text, reference response or None)` of one split, in its order."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / f"{split}.parquet", columns=["text", "reference"])
    return list(zip(table["text"].to_pylist(), table["reference"].to_pylist(), strict=True))
