"""Bad files of human labels: refused with file, row and reason, whatever is in them; never a traceback."""

import gzip
import io
import json
import stat
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from helpers import label_files
from helpers.command_line import command, error_of
from helpers.label_files import CONTAINERS, FLAT, FORMATS, Answer, json_array, json_lines
from preflab.errors import PreflabError
from preflab.human_labels import readers, report_text, table
from preflab.human_labels.ingest import IngestReport, ingest
from preflab.human_labels.readers import LabelRow
from preflab.human_labels.records import LIMIT

GOOD = [
    Answer("Why?", ("ab", "cd"), 0, "ann"),
    Answer("How?", ("ef", "gh"), 0, "bob"),
    Answer("Who?", ("i", "j"), 0, "c"),
]
LM = FORMATS["openai_lm_human_preferences"]
PLAIN = FORMATS["plain"]


def put(folder: Path, data: bytes, name: str = "labels.json") -> Path:
    return label_files.write(folder / name, data)


def stopped(path: Path, match: str) -> None:
    """The file is refused as a whole."""
    with pytest.raises(PreflabError, match=match) as error:
        ingest(path)
    assert str(error.value).startswith(str(path.parent))


def rejected(path: Path, **options: Any) -> dict[int, str]:
    """The rows that are rejected, each once, with their reasons; the file is refused, and says which is the first."""
    report = ingest(path, **options)
    assert str(path) in report.refused
    assert f"row {report.rejected[0].row}: {report.rejected[0].reason}" in report.refused
    assert all(str(path) in one.file for one in report.rejected)
    return {one.row: one.reason for one in report.rejected}


def changed(record: dict[str, Any], **values: Any) -> dict[str, Any]:
    return record | values


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"best": 2}, "best is 2, expected 0 to 1"),
        ({"best": -1}, "best is -1, expected 0 to 1"),
        ({"best": 1.0}, "best is 1.0, expected a whole number"),
        ({"best": True}, "best is True, expected a whole number"),
        ({"best": None}, "best is nothing, expected a whole number"),
        ({"score": 1}, "best and score in it, expected one of best, score, difference"),
        ({"query": [1, 2]}, "query has 2 tokens, expected 8 as in row 1"),
        ({"sample1": [1, 2, 3]}, "sample1 has 3 tokens, expected 4 as in row 1"),
        ({"sample1": None}, "sample1 is nothing, expected a list"),
        ({"sample1": "ab"}, "sample1 is 'ab', expected a list"),
        ({"sample1": [1, 2, "3", 4]}, "sample1 has a str in it, expected token ids"),
        ({"sample1": [1, 2, 3.0, 4]}, "sample1 has a float in it, expected token ids"),
        ({"sample1": [1, 2, True, 4]}, "sample1 has a bool in it, expected token ids"),
        ({"sample1": [1, 50257, 3, 4]}, "sample1 has the id 50257 at index 1, expected 0 to 50256 or the pad 50259"),
        ({"sample0": [1, 2, 3, -1]}, "sample0 has the id -1 at index 3, expected 0 to 50256 or the pad 50259"),
        ({"sample0": [1, 2, 3, 10**30]}, "expected 0 to 50256 or the pad 50259"),
        ({"sample0": [1, 50259, 3, 4]}, "sample0 has tokens after the pad 50259 at index 1, expected pads at its end"),
        ({"sample2": [1, 2, 3, 4]}, "3 samples, expected 2 as in row 1"),
        ({"sample3": [1, 2, 3, 4]}, "sample2 is nothing, expected a list"),
    ],
)
def test_a_wrong_row_of_the_released_labels(tmp_path, values, reason):
    (found,) = rejected(put(tmp_path, json_array([LM(GOOD[0]), changed(LM(GOOD[1]), **values), LM(GOOD[2])]))).items()
    assert found[0] == 2
    assert reason in found[1]


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("plain", {"query": 5}, "query is 5, expected a text"),
        ("plain", {"best": "x"}, "best is 'x', expected a whole number"),
        ("plain", {"sample3": "x"}, "sample2 is missing, expected sample0, sample1 … without gaps"),
        ("plain", {"scores": [1, 2, 3]}, r"the scores are [1.0, 2.0, 3.0], expected 2 finite numbers"),
        ("plain", {"scores": [1, 2]}, r"best is 0, but its score is not the highest of [1.0, 2.0]"),
        ("plain", {"sample1": "\ud800"}, "half of a surrogate pair ('\\ud800'), expected valid Unicode"),
        ("plain", {"labeller": "\udfff"}, "half of a surrogate pair"),
        ("plain", {"samples": ["a"], "best": None}, "1 samples and no score, expected two or more samples, or a score"),
        ("plain", {"samples": []}, "best is 0, expected 0 to -1"),
        ("plain", {"samples": ["a"], "best": None, "scores": [3]}, "a rating, expected a choice as in row 1"),
        ("trl", {"rejected": None}, "rejected is nothing, expected a text"),
        (
            "trl",
            {"chosen": [{"role": "judge", "content": ""}]},
            "chosen[0] has the role 'judge', expected one of system",
        ),
        (
            "hh_rlhf",
            {"rejected": "\n\nHuman: Other\n\nAssistant: x"},
            "share '\\n\\nHuman: ', expected a start that ends",
        ),
        ("openai_summarize_from_feedback", {"choice": 2}, "best is 2, expected 0 to 1"),
        ("openai_summarize_from_feedback", {"info": {"id": "x"}}, "info has ['id'], expected one of post, article"),
        ("openai_summarize_from_feedback", {"summaries": [{"text": 1}]}, "summaries[0].text is 1, expected a text"),
        ("openai_summarize_from_feedback", {"summary": {}}, "expected either summaries (a comparison) or summary"),
        ("label_studio", {"data": {"prompt": "q", "answer1": "a"}}, "expected responses as answer1, answer2"),
        ("label_studio", {"data": {"answer1": "a", "answer2": "b"}}, "expected the query as query, prompt"),
        ("label_studio", {"annotations": [{"result": []}]}, "0 answers in an annotation, expected one of pairwise"),
        ("label_studio", {"annotations": [{}]}, "annotations[0].result is nothing, expected a list"),
        ("argilla", {"responses": {"p": [{"value": ["response-0"]}]}}, "expected all of response-0, response-1"),
        ("argilla", {"responses": {"p": [{"value": "response-7"}]}}, "the answer is 'response-7', expected one of"),
        ("argilla", {"responses": {"p": [{"value": "0"}], "r": [{"value": "1"}]}}, "several questions compare"),
    ],
)
def test_a_wrong_row_of_the_other_formats(tmp_path, name, values, reason):
    good = [FORMATS[name](answer) for answer in GOOD]
    (found,) = rejected(put(tmp_path, json_lines([good[0], changed(good[1], **values), good[2]]))).items()
    assert found[0] == 2
    assert reason in found[1]


def test_a_label_studio_answer_that_is_neither_side(tmp_path):
    good = [FORMATS["label_studio"](answer) for answer in GOOD]
    good[1]["annotations"][0]["result"][0]["value"] = {"selected": "none"}
    assert rejected(put(tmp_path, json_array(good))) == {2: "selected is 'none' of 2, expected left or right of two"}
    buckets = {"type": "ranker", "value": {"ranker": {"good": ["a"], "bad": ["b"]}}}
    good[1]["data"] = {"prompt": "q", "items": [{"id": "a", "body": "x"}, {"id": "b", "body": "y"}]}
    good[1]["annotations"][0]["result"] = [buckets]
    assert rejected(put(tmp_path, json_array(good))) == {2: "the ranking (of one bucket) is nothing, expected a list"}


@pytest.mark.parametrize(("first", "other"), [("plain", "trl"), ("hh_rlhf", "plain"), ("argilla", "label_studio")])
def test_a_file_of_two_schemas_is_refused(tmp_path, first, other):
    records = [FORMATS[first](GOOD[0]), FORMATS[other](GOOD[1]), FORMATS[first](GOOD[2])]
    assert list(rejected(put(tmp_path, json_lines(records)))) == [2]


def test_label_types_are_not_mixed(tmp_path):
    record = LM(GOOD[0])
    rating = {"query": record["query"], "sample": record["sample0"], "score": 2}
    found = rejected(put(tmp_path, json_array([record, rating])))
    assert found == {2: "a rating, expected a choice as in row 1"}


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv"])
def test_a_file_that_is_cut_off(tmp_path, kind):
    name = "plain" if kind == "csv" else "label_studio"
    data = CONTAINERS[kind]([FORMATS[name](answer) for answer in GOOD])
    for cut in (len(data) - 12, len(data) - 30):
        path = put(tmp_path, data[:cut], f"labels.{kind}")
        if kind == "json":
            stopped(path, r"labels\.json: row 3: cut off or not valid JSON .*nothing after it can be read")
        else:
            assert len(rejected(path)) == 1
    if kind == "json":
        stopped(put(tmp_path, data[:-1]), r"row 4: the array is cut off")
        stopped(put(tmp_path, data + b"x"), r"row 4: found 'x' after the end of the array")
        stopped(put(tmp_path, data.replace(b"}, {", b"} {", 1)), r"row 2: found '\{', expected ',' or '\]'")
        stopped(put(tmp_path, data[:-1] + b",]"), r"row 4: cut off or not valid JSON")


def test_a_bad_element_is_told_without_reading_on(tmp_path):
    data = json_array([PLAIN(GOOD[0])] * 3).replace(b'"best": 0', b'"best": 01', 1)
    stopped(
        put(tmp_path, data + b" " * 10**6), r"row 1: cut off or not valid JSON \(Expecting ',' delimiter: character"
    )


@pytest.mark.parametrize("data", [b"", b" \n\n ", b"\xef\xbb\xbf", b"[]", b"[ \n ]", b"query,sample0,sample1,best\n"])
def test_a_file_without_labels(tmp_path, data):
    stopped(put(tmp_path, data), r"(the file is empty; expected labels|no record in it; expected labels)")
    stopped(put(tmp_path, data, "labels.json.gz"), r"(the file is empty|no record in it)")


def test_a_folder_or_zip_without_labels_and_no_path_at_all(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "README.md").write_text("nothing")
    with pytest.raises(PreflabError, match=r"x: no file of labels in it; expected some \.json, "):
        ingest(tmp_path / "x")
    with zipfile.ZipFile(tmp_path / "x.zip", "w"):
        pass
    with pytest.raises(PreflabError):
        ingest(tmp_path / "x.zip")
    with pytest.raises(PreflabError, match="absent: not found; name a file, a folder or an archive"):
        ingest(tmp_path / "absent")


def test_ten_megabytes_on_a_single_line(tmp_path):
    long = PLAIN(Answer("q" * 10_000_000, ("a", "b"), 0))
    records = [PLAIN(GOOD[0]), long, PLAIN(GOOD[1])]
    for kind, row in (("jsonl", 2), ("csv", 3), ("parquet", 2)):
        (found,) = rejected(put(tmp_path, CONTAINERS[kind](records), f"labels.{kind}")).items()
        assert found[0] == row
        assert f"expected at most {LIMIT:,}" in found[1]
    stopped(put(tmp_path, json_array(records)), f"row 2: no element ends within {LIMIT:,} characters")
    stopped(put(tmp_path, b"[" + b" " * 10_000_000), "row 1: .*cut off or not valid JSON")
    stopped(put(tmp_path, b"x" * 10_000_000), r"row 1: .*field larger than field limit|no known format")


def test_a_long_array_on_a_single_line_is_well(tmp_path):
    data = json_array([PLAIN(Answer("q" * 10_000, ("a", "b"), 0))] * 1000)
    assert len(data) > 2 * LIMIT
    assert ingest(put(tmp_path, data)).summary.rows == 1000


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80"])
def test_invalid_utf8(tmp_path, bad):
    records = [PLAIN(GOOD[0]), PLAIN(Answer("MARK", ("a", "b"), 0)), PLAIN(GOOD[1])]
    for kind, row in (("jsonl", 2), ("csv", 3)):
        data = CONTAINERS[kind](records).replace(b"MARK", bad + b"ark")
        (found,) = rejected(put(tmp_path, data, f"labels.{kind}")).items()
        assert (found[0], "invalid UTF-8" in found[1]) == (row, True)
    stopped(put(tmp_path, json_array(records).replace(b"MARK", bad)), r"labels\.json: row \d: invalid UTF-8")
    from pyarrow import parquet

    table = parquet.read_table(io.BytesIO(CONTAINERS["parquet"](records)))
    sink = io.BytesIO()
    parquet.write_table(table, sink, compression="none", use_dictionary=False, write_statistics=False)
    path = put(tmp_path, sink.getvalue().replace(b"MARK", (bad + b"aark")[:4]), "labels.parquet")
    assert rejected(path) == {2: "invalid UTF-8"}


def test_brackets_in_brackets(tmp_path):
    deep = b"[" * 100_000
    assert rejected(put(tmp_path, json_lines([PLAIN(GOOD[0])]) + b'{"query":' + deep + b"\n", "a.jsonl")) == {
        2: "brackets nested too deeply"
    }
    stopped(put(tmp_path, deep), "row 1: brackets nested too deeply")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_numbers_that_are_none(tmp_path, number):
    data = json_lines(
        [{"query": "q", "samples": ["a"], "scores": [1]}, {"query": "q", "samples": ["a"], "scores": [0]}]
    )
    assert list(rejected(put(tmp_path, data.replace(b"[0]", f"[{number}]".encode())))) == [2]


@pytest.mark.parametrize(
    "name", ["../evil.json", "/etc/evil.json", "a/../../evil.json", "C:/evil.json", "..\\evil.json"]
)
def test_a_zip_whose_members_lead_out_of_it(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "labels.zip", "w") as archive:
        archive.writestr("good.json", json_array([PLAIN(GOOD[0])]))
        archive.writestr(name, json_array([PLAIN(GOOD[0])]))
    stopped(tmp_path / "labels.zip", r"labels\.zip: the member .*evil\.js(on)?' leads out of the archive; do not trust")


def test_a_zip_with_a_link(tmp_path):
    link = zipfile.ZipInfo("a.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "labels.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    stopped(tmp_path / "labels.zip", "leads out of the archive")


def test_damaged_containers(tmp_path):
    data = json_lines([FORMATS["plain"](answer) for answer in GOOD] * 1000)
    packed = gzip.compress(data)
    stopped(put(tmp_path, packed[:-200], "a.jsonl"), r"a\.jsonl: row \d+: the file is damaged or cut off")
    stopped(
        put(tmp_path, packed[:-8] + b"12345678", "a.jsonl"), r"row 3001: the file is damaged or cut off \(CRC check"
    )
    label_files.write(tmp_path / "a.jsonl.zip", data)
    whole = (tmp_path / "a.jsonl.zip").read_bytes()
    stopped(put(tmp_path, whole[:-30], "a.jsonl"), r"a\.jsonl: damaged or cut off \(File is not a zip file\)")
    table = CONTAINERS["parquet"]([PLAIN(answer) for answer in GOOD])
    stopped(put(tmp_path, table[:-20], "a.parquet"), "row 1: the parquet file is damaged")
    stopped(put(tmp_path, b"PAR1" + table[4:40] * 9 + table[-50:], "a.parquet"), "the parquet file is damaged")
    assert not (tmp_path / "o.parquet").exists()


def test_csv_whose_lines_are_wrong(tmp_path):
    head = b"query,sample0,sample1,best\n"
    assert rejected(put(tmp_path, head + b"q,a,b,0\nq,a,b\nq,a,b,0,1\n", "a.csv")) == {
        3: "3 cells, expected 4 as in the first line",
        4: "5 cells, expected 4 as in the first line",
    }
    assert rejected(put(tmp_path, head + b'q,a,b,0\n"q"x,a,b,0\nq,a,b,1\nq,"a,b,0\nq,a,b,0\n', "a.csv")) == {
        3: "not valid CSV (',' expected after '\"')",
        5: "not valid CSV (unexpected end of data), up to line 6",
    }
    stopped(put(tmp_path, b"query,query\nq,q\n", "a.csv"), "row 1: two columns have the same name: query, query")


def test_unknown_formats(tmp_path):
    path = put(tmp_path, b'{"text": "hello"}\n')
    stopped(path, r"row 1: the fields \['text'\]: no known format of labels; see docs/labels\.md, or choose")
    stopped(put(tmp_path, b"{ broken\n"), r"row 1: not valid JSON .*: no known format of labels")
    with pytest.raises(PreflabError, match=r"--format plane: no such format; did you mean 'plain'\? choices: arg"):
        ingest(path, form="plane")
    assert rejected(put(tmp_path, b'{"prompt": ""}\n'), form="trl") == {1: "chosen is nothing, expected a text"}


def test_wrong_folders_and_files_of_options(tmp_path):
    path = put(tmp_path, json_array([LM(GOOD[0])]))
    with pytest.raises(PreflabError, match=r"tokenizer\.json: not found; --tokenizer names the folder of a base model"):
        ingest(path, tokenizer=tmp_path)
    with pytest.raises(PreflabError, match=r"no encoder\.json or vocab\.json in it"):
        ingest(path, gpt2=tmp_path, out=tmp_path / "o.parquet")
    (tmp_path / "vocab.json").write_text('{"a": 0}')
    with pytest.raises(PreflabError, match=r"vocab\.json: not GPT-2's vocabulary; expected 50,257 tokens"):
        ingest(path, gpt2=tmp_path, out=tmp_path / "o.parquet")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(PreflabError, match=r"tokenizer\.json: cannot be read"):
        ingest(path, tokenizer=tmp_path)
    with pytest.raises(PreflabError, match="a folder; expected the name of a file to write"):
        ingest(path, out=tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["labels.json", "tokenizer.json", "vocab.json"]
    assert (
        "expected a whole number, or a share below 1"
        in command(tmp_path, "pipelines.ingest", "labels.json", "--max-bad", "1.5").stderr
    )


def test_the_command_refuses_without_a_traceback(tmp_path):
    put(tmp_path, json_array([LM(GOOD[0])])[:-9])
    error = error_of(command(tmp_path, "pipelines.ingest", "labels.json"))
    assert error.startswith("error: labels.json: row 1: cut off or not valid JSON")
    assert len(error.splitlines()) == 1


def test_other_files_are_not_taken_for_ingested_ones(tmp_path):
    path = put(tmp_path, CONTAINERS["parquet"]([PLAIN(GOOD[0])]), "a.parquet")
    with pytest.raises(PreflabError, match=r"a\.parquet: found the columns .*, not those of ingest; write it with"):
        table.read_labels(path)
    with pytest.raises(PreflabError, match="not parquet, or cut off"):
        table.read_labels(put(tmp_path, b"PAR1", "b.parquet"))
    with pytest.raises(PreflabError, match="not found"):
        table.read_labels(tmp_path / "c.parquet")


# What follows throws made-up files at the readers.

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["left", "a", "tie", "0"])
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))
NAMES = sorted({key for name in FORMATS for key in FORMATS[name](GOOD[0])} | {"summary", "score", "scores", "samples"})
TEXTS = sorted(set(FORMATS) - {"openai_lm_human_preferences"})  # whose rows can be written without GPT-2's vocabulary
RECORDS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def outcome(data: bytes, form: str | None = None, name: str = "labels.json") -> IngestReport | PreflabError:
    """The report or the error of these bytes; whatever else is raised fails the test."""
    with tempfile.TemporaryDirectory(suffix="x") as folder:
        path = put(Path(folder), data, name)
        try:
            report = ingest(path, form=form, max_bad=0.999, out=Path(folder) / "o.parquet" if form in TEXTS else None)
        except PreflabError as error:
            return error
        text = "\n".join(report_text.lines(report))
        assert all(f"row {one.row}: {one.reason}" in text for one in report.rejected)
        assert len(list(Path(folder).iterdir())) == 1 + (form in TEXTS and not report.refused)
        return report


def places(record: Any) -> list[tuple[Any, ...]]:
    """The way to every value inside of a record."""
    inner = record.items() if isinstance(record, dict) else enumerate(record) if isinstance(record, list) else ()
    return [way for key, value in inner for way in [(key,), *((key, *rest) for rest in places(value))]]


def replaced(record: dict[str, Any], way: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy with another value at the end of the way."""
    copy = json.loads(json.dumps(record))
    place = copy
    for step in way[:-1]:
        place = place[step]
    place[way[-1]] = value
    return copy


@st.composite
def odd_records(draw: Any, name: str) -> list[dict[str, Any]]:
    """Records of anything, and good ones with one value replaced or one field less."""
    records = draw(st.lists(RECORDS, max_size=2))
    good = FORMATS[name](GOOD[0])
    for way in draw(st.lists(st.sampled_from(places(good)), min_size=1, max_size=3)):
        records.append(replaced(good, way, draw(VALUES)))
    without = draw(st.sampled_from(sorted(good)))
    return [*records, {key: value for key, value in good.items() if key != without}]


@settings(QUICK, max_examples=100)
@given(name=st.sampled_from(sorted(FORMATS)), data=st.data())
def test_records_of_anything_are_rows_rejected_or_skipped(name, data):
    records = data.draw(odd_records(name))
    report = outcome(data.draw(st.sampled_from([json_lines, json_array]))(records), name)
    if isinstance(report, IngestReport):
        assert report.summary.rows + len(report.rejected) + sum(report.skipped.values()) >= len(records)


OPTIONAL = {"labeller", "task", "id", "worker", "batch", "split", "extra", "note", "policy", "title", "subreddit"}
OPTIONAL |= {"metadata", "suggestions", "vectors", "_server_id", "user_id", "completed_by", "predictions", "meta"}
OPTIONAL |= {"from_name", "to_name", "was_cancelled"}


@settings(QUICK, max_examples=100)
@given(name=st.sampled_from(sorted(FORMATS)), data=st.data())
def test_a_row_without_a_value_that_it_needs_is_rejected_and_no_other(name, data):
    """A value that a record cannot do without becomes something that is neither text, token, index nor list."""
    records = [FORMATS[name](answer) for answer in GOOD]
    row = data.draw(st.integers(1, 2))  # the first tells lengths and kind
    way = data.draw(st.sampled_from([way for way in places(records[row]) if not OPTIONAL & set(way)]))
    records[row] = replaced(records[row], way, data.draw(st.sampled_from([True, 0.5, -7, {}, float("inf")])))
    got = outcome(data.draw(st.sampled_from([json_lines, json_array]))(records), name)
    assert isinstance(got, IngestReport)
    assert [one.row for one in got.rejected] == [row + 1] or got.skipped == {"not answered": 1}  # Argilla: {}
    assert got.summary.rows == 2


@settings(QUICK, max_examples=100)
@given(data=st.data(), packed=st.sampled_from(["", ".gz", ".zip"]))
def test_a_file_with_changed_bytes_gives_rows_or_is_refused(data, packed):
    """Cut, overwritten, doubled or blown up anywhere, in every format and container."""
    name = data.draw(st.sampled_from(TEXTS))
    kind = data.draw(st.sampled_from(sorted(CONTAINERS) if name in FLAT else ["json", "jsonl", "parquet"]))
    whole = CONTAINERS[kind]([FORMATS[name](answer) for answer in GOOD * 3])
    with tempfile.TemporaryDirectory() as folder:
        packed_bytes = label_files.write(Path(folder) / f"x.{kind}{packed}", whole).read_bytes()
    start = data.draw(st.integers(0, len(packed_bytes)))
    length = data.draw(st.integers(0, 40))
    middle = data.draw(st.binary(max_size=40) | st.sampled_from([b"[" * 2000, b'"', b"\x00" * 9, b"\n", b"{}", b","]))
    outcome(packed_bytes[:start] + middle + packed_bytes[start + length :], name, f"x.{kind}{packed}")


@QUICK
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"[", b"{", b"PAR1", b"\x1f\x8b", b"PK\x03\x04", b"query,best\n"])
)
@example(b"", b"PAR1")
def test_any_bytes_are_refused(data, start):
    """No such file is labels."""
    got = outcome(start + data)
    assert got.refused if isinstance(got, IngestReport) else "x/labels.json: " in str(got)


def test_rows_are_checked_whatever_a_reader_gives():
    """A format that is added need not check what holds for all of them."""
    bad = [
        LabelRow("q", ["a", [1]], 0),  # type: ignore[list-item]
        LabelRow("q", ["a", "b"], 2),
        LabelRow("q", ["a", "b"], 0, [float("nan"), 0.0]),
        LabelRow([1], [[1], [50258]], 0),
        LabelRow("q", [], None),
    ]
    for row in bad:
        with pytest.raises(readers.UnusableError):
            readers.check(row)
    readers.check(LabelRow("", ["a", ""], None))
