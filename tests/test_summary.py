"""Summary quality: facts, coverage, faithfulness, copied spans, all worked by hand; and what must not pay."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflab import labellers
from preflab.errors import PreflabError
from preflab.labellers import summary
from preflab.labellers.summary import SummaryLabeller, copied, coverage, faithfulness, read
from preflab.text import words

SOURCE = "Police said Anna Berg stole 3 boats. The mayor praised the dog that found them near Oslo."
REFERENCE = "Berg stole three boats."  # berg (a sentence's first word is no name), stole, boats; two pairs


def folder(path: Path, rows: list[tuple[str, str | None]]) -> Path:
    """What the stage `prepare` leaves, one split of it."""
    path.mkdir()
    pq.write_table(pa.table({"text": [q for q, _ in rows], "reference": [r for _, r in rows]}), path / "train.parquet")
    return path


def test_words_of_english():
    text = "Anna’s dog didn't eat 1,000 of the U.N. boats — it’s 20th…"
    assert words.words(text) == ["anna", "dog", "didn't", "eat", "1,000", "of", "the", "u", "n", "boats", "it", "20th"]
    content = ["anna", "dog", "eat", "1,000", "boats", "20th"]
    assert [word for word in words.words(text) if words.is_content(word)] == content
    assert words.is_content("fire")
    assert not words.is_content("the")
    assert words.numbers("1,024.5 of 20th") == ["1024.5", "20"]
    assert [word for word in ("1,024.5", "7", "20th", "boats") if words.is_number(word)] == ["1,024.5", "7"]
    assert words.stem("looked") == words.stem("looks") == "look"


def test_facts_by_hand():
    facts = read("The police saw Berg. Saw 3 boats, 3 boats.").facts
    pairs = {("polic", "saw"): 1, ("saw", "berg"): 1, ("saw", "3"): 1, ("3", "boat"): 2, ("boat", "3"): 1}
    once = [("polic",), ("saw",), ("berg",), ("", "berg"), ("3",), ("", "3"), ("boat",)]  # a name and a number twice
    assert facts == pairs | dict.fromkeys(once, 1)


def test_coverage_and_faithfulness_by_hand():
    # the reference's facts: berg, stole, boat, three is a stop word, berg–stole, stole–boat
    assert coverage("Anna Berg stole a boat.", REFERENCE) == 1
    assert coverage("Boats Berg stole.", REFERENCE) == 4 / 5  # the words, and one pair in its order
    assert coverage("A boat. Berg stole it.", REFERENCE) == 4 / 5
    assert coverage("Anna ran.", REFERENCE) == 0
    # anna (first word), berg, “berg”, prais, dog, anna–berg, berg–prais, prais–dog: no source sentence has berg, prais
    assert faithfulness("Anna Berg praised the dog.", SOURCE, REFERENCE) == 7 / 8
    assert faithfulness("Anna Berg robbed Oslo.", SOURCE, REFERENCE) == 6 / 9  # rob, berg–rob, rob–oslo
    assert faithfulness("Oslo stole Anna Berg.", SOURCE, REFERENCE) == pytest.approx(7 / 9)  # oslo–stole, stole–anna
    # twice: anna, berg, “berg”, stole, 3, “3”, boat once each, and four pairs twice in the denominator
    assert faithfulness("Anna Berg stole 3 boats. " * 2, SOURCE, REFERENCE) == pytest.approx(11 / 15)
    got = SummaryLabeller({SOURCE: REFERENCE}).score([SOURCE], ["Anna Berg praised the dog."])
    assert got[0] == pytest.approx((1 / 5 + 2 * 7 / 8) / 3)
    assert got.dtype == np.float64


def test_a_wrong_number_or_name_costs_more_than_a_wrong_word():
    right, word, number, name = (
        faithfulness(f"Then {text}.", SOURCE, REFERENCE)
        for text in (
            "Anna Berg stole 3 boats",
            "Anna Berg stole 3 kites",
            "Anna Berg stole 4 boats",
            "Eve Berg stole 3 boats",
        )
    )
    assert right == 1
    assert right > word > number
    assert word > name


def test_saying_nothing_or_one_word_scores_as_little():
    labeller = SummaryLabeller({SOURCE: REFERENCE})
    empty, stop_words, one = labeller.score([SOURCE] * 3, ["", "it was the", "boats"])
    assert (empty, stop_words) == (0, 0)
    assert one == pytest.approx((1 / 5 + 2 * 1 / 5) / 3)  # one fact of five, in both


SENTENCES = st.lists(
    st.lists(
        st.sampled_from(["police", "anna", "Berg", "stole", "3", "boats", "mayor", "dog", "robbed", "kites"]),
        min_size=1,
        max_size=5,
    ),
    min_size=1,
    max_size=4,
).map(lambda rows: [" ".join(row).capitalize() + "." for row in rows])


@given(SENTENCES, st.data())
def test_a_repeated_sentence_never_pays_and_scores_lie_between_0_and_1(rows, data):
    again = data.draw(st.sampled_from(rows))
    labeller = SummaryLabeller({SOURCE: REFERENCE})
    before, after = labeller.score([SOURCE] * 2, [" ".join(rows), " ".join([*rows, again])])
    assert 0 <= after <= before <= 1


@given(SENTENCES)
def test_another_word_that_is_not_in_the_source_never_pays(rows):
    text = " ".join(rows)
    before, after = SummaryLabeller({SOURCE: REFERENCE}).score([SOURCE] * 2, [text, f"{text} Zebra."])
    assert after <= before


def test_copied_spans_by_hand():
    source = "a b c d e f g h"
    assert copied("x a b C d e y", source) == 5 / 7  # one span of five, case ignored
    assert copied("a b c d x e f g h", source) == 0  # two of four
    assert copied("b c d e f g", source) == 1
    assert copied("", source) == 0
    assert copied("a b", "a b") == 0  # no span is that long


def test_the_penalty_turns_the_preference_from_copies_to_own_words(tmp_path):
    copy = "Police said Anna Berg stole 3 boats."
    own = "Berg stole boats, said police, near Oslo."
    queries = folder(tmp_path / "queries", [(SOURCE, REFERENCE)])
    plain, nocopy = (labellers.load(name, queries) for name in ("summary", "summary_nocopy"))
    free, charged = plain.score([SOURCE] * 2, [copy, own]), nocopy.score([SOURCE] * 2, [copy, own])
    assert free[0] > free[1]
    assert charged[0] == pytest.approx(free[0] - 0.5)
    assert charged[1] == free[1] > charged[0]


def test_references_come_from_the_stage_prepare(tmp_path):
    queries = folder(tmp_path / "a", [(SOURCE, REFERENCE), ("Other text.", "Other."), (SOURCE, "A later one.")])
    assert summary.references(queries) == {SOURCE: REFERENCE, "Other text.": "Other."}
    with pytest.raises(PreflabError, match=r"none of the 2 reference summaries is of the query 'Unknown\.'"):
        labellers.load("summary", queries).score(["Unknown."], ["x"])
    without = folder(tmp_path / "b", [(SOURCE, REFERENCE), ("Other text.", None)])
    with pytest.raises(PreflabError, match=r"train\.parquet: row 1 has no reference summary.* another labeller"):
        labellers.load("summary", without)
