"""The proxy of Table 8: what counts as found, on made-up articles, and the mistakes that it is known not to see."""

from hypothesis import given
from hypothesis import strategies as st

from preflab.text.faithfulness import support

ARTICLE = (
    "Anna Berg bought 1,200 boats in Oslo on Monday. Her brother Carl sold the old harbour for $3.5 million. "
    "The mayor opposed the sale of the harbour."
)


def row(summary: str, source: str = ARTICLE) -> tuple[int, int, int, int]:
    """Found, items, supported, statements of one summary."""
    found = support([summary], [source])
    return int(found.found[0]), int(found.items[0]), int(found.supported[0]), int(found.statements[0])


def test_a_statement_by_hand():
    # Anna, Berg, Oslo, 1200; anna-berg, berg-buy, buy-boat, boat-oslo: "buys" is not the stem of "bought"
    assert row("Anna Berg buys 1200 boats in Oslo.") == (4 + 2, 8, 1, 1)
    # the same with a wrong number: one item less, and the statement falls
    assert row("Anna Berg bought 1300 boats in Oslo.") == (3 + 4, 8, 0, 1)
    # Dora is nobody; dora-bought and so on are no pairs: bought-boat and boat-oslo are
    assert row("Dora bought boats in Oslo.") == (1 + 2, 2 + 3, 0, 1)


def test_pairs_must_stand_in_one_sentence_of_the_source():
    # brother-carl, carl-sold, sold-boats (no), boats-oslo; brother is no name, "Her" is a stop word
    assert row("Her brother Carl sold boats in Oslo") == (2 + 3, 2 + 4, 1, 1)
    # mayor-bought and bought-harbour: neither
    assert row("mayor bought harbour") == (0, 2, 0, 1)


def test_statements_count_one_by_one():
    found = support(["Anna Berg bought 1,200 boats. Carl sold Paris.", ARTICLE, ""], [ARTICLE] * 3)
    assert found.supported.tolist() == [1, 3, 0]
    assert found.statements.tolist() == [2, 3, 0]
    assert found.accurate.tolist() == [False, True, False]  # an empty summary is no accurate one
    assert found.table8() == (1, 3)
    assert found.table8(items=1) == (0, 1)


def test_names_and_possessives():
    assert row("Berg's harbour", "The harbour of Berg is old.") == (2, 2, 1, 1)  # berg, berg-harbour
    assert row("It was Oslo’s harbour", "Oslo's harbour closed") == (2, 2, 1, 1)


def test_a_contraction_at_the_start_is_no_name():
    assert row("It's the harbour", "The harbour closed") == (0, 0, 1, 1)  # harbour alone makes no pair


def test_what_it_does_not_see():
    assert row("Carl opposed the sale of the harbour")[2:] == (1, 1)  # the mayor did: one wrong pair of three
    assert row("The mayor never opposed the sale of the harbour")[2:] == (1, 1)  # a lost "not"
    assert row("A yacht dealer made a purchase")[2:] == (0, 1)  # a fair paraphrase


@given(st.lists(st.sampled_from(["Anna", "sold", "12", "boats", "the", "Oslo", "U.S.", "not."]), max_size=12))
def test_a_copy_is_supported_and_nothing_is_under_an_empty_source(words):
    text = " ".join(words)
    found, items, supported, statements = row(text, text)
    assert (found, supported) == (items, statements)
    assert row(text, "")[0] == 0
