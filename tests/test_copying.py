"""Novelty, repetition, where a summary copies from and how it starts: by hand, and against a plain table of LCS."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflab.evaluate.statistics import bootstrap_ratio
from preflab.text import copying

SOURCE = "So, the cat sat on the mat. It purred: the dog's bowl was full!"
letters = st.lists(st.sampled_from("abcd"), max_size=14).map(" ".join)


def counts(found: dict[str, copying.Counts]) -> dict[str, tuple[int, int]]:
    """Part and whole of the only summary."""
    return {unit: (int(one.part[0]), int(one.whole[0])) for unit, one in found.items()}


def test_novel_by_hand():
    found = counts(copying.novel(["The CAT sat on the sofa. It purred the dog's bowl."], [SOURCE]))
    # Sentence 1: the cat sat on the *sofa*; sentence 2, its punctuation aside, stands in the source.
    assert found == {
        "1-grams": (1, 11),
        "2-grams": (1, 9),
        "3-grams": (1, 7),
        "4-grams": (1, 5),
        "sentences": (1, 2),
    }


def test_what_is_consecutive_across_two_sentences_of_the_source_is_copied_and_reordered_words_are_not():
    assert counts(copying.novel(["the mat it purred"], [SOURCE]))["sentences"] == (0, 1)
    assert counts(copying.novel(["mat the on"], [SOURCE]))["2-grams"] == (2, 2)
    assert counts(copying.novel(["at on the"], [SOURCE]))["sentences"] == (1, 1)  # "sat on the" ends like it


def test_a_genitive_is_its_word_and_a_number_one_word():
    assert counts(copying.novel(["dog 1,000 bowls"], ["The dog's 1,000 bowls."]))["1-grams"] == (0, 3)


def test_ngrams_do_not_cross_sentences_of_the_summary():
    assert counts(copying.novel(["Full. The cat."], [SOURCE]))["2-grams"] == (0, 1)


def test_empty_summaries_count_for_nothing():
    found = copying.novel(["", "... !", "the sofa"], [SOURCE] * 3)
    assert found["1-grams"].whole.tolist() == [0, 0, 2]
    assert found["sentences"].whole.tolist() == [0, 0, 1]
    assert bootstrap_ratio(*found["1-grams"]).mean == 0.5


def test_repeated_by_hand():
    found = counts(copying.repeated(["A dog ran. A dog ran. A cat."]))
    # a dog ran a dog ran a cat: a twice again, dog, ran; a-dog, dog-ran; a-dog-ran; the second sentence
    assert found == {
        "1-grams": (4, 8),
        "2-grams": (2, 5),
        "3-grams": (1, 2),
        "4-grams": (0, 0),
        "sentences": (1, 3),
    }


@given(letters, letters)
def test_a_copy_has_nothing_novel_and_parts_never_exceed_the_whole(summary, source):
    assert all(part == 0 for part, _ in counts(copying.novel([source], [source])).values())
    for found in (copying.novel([summary], [source]), copying.repeated([summary])):
        assert all(0 <= part <= whole for part, whole in counts(found).values())


def test_where_it_copies_from_by_hand():
    found = copying.copied("the dog's bowl was on the mat", SOURCE)
    # so-the 0, the-cat 1, cat-sat 2, sat-on 3, on-the 4, the-mat 5, mat-it 6, it-purred 7, purred-the 8,
    # the-dog's 9, dog's-bowl 10, bowl-was 11, was-full 12; in order, three of the dog beat two of the mat
    assert found.source.tolist() == [9, 10, 11]
    assert found.summary.tolist() == [0, 1, 2]
    assert (found.source_length, found.summary_length) == (13, 6)


def longest(a: list, b: list) -> int:
    """Length of the longest common subsequence, by the table of the textbooks."""
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, one in enumerate(a, 1):
        for j, other in enumerate(b, 1):
            table[i, j] = table[i - 1, j - 1] + 1 if one == other else max(table[i - 1, j], table[i, j - 1])
    return int(table[-1, -1])


@given(letters, letters)
def test_what_is_copied_is_a_common_subsequence_and_a_longest_one(summary, source):
    found = copying.copied(summary, source)
    target, text = ([*pairwise(words)] for words in (summary.split(), source.split()))
    assert [target[i] for i in found.summary] == [text[i] for i in found.source]
    assert (np.diff(found.summary) > 0).all()
    assert (np.diff(found.source) > 0).all()
    assert len(found.source) == longest(target, text)


def test_positions_in_shares_of_the_source_and_in_words_from_its_start():
    one = copying.Copied(np.array([0, 1, 5, 9]), np.arange(4), source_length=10, summary_length=4)
    nothing = copying.copied("x", "")
    assert copying.positions([one, nothing], bins=2).tolist() == [[2, 2], [0, 0]]  # 0–4 and 5–9
    assert copying.positions([one, nothing], bins=2, width=4).tolist() == [[2, 1], [0, 0]]  # 0–3, 4–7; 9 is beyond


def test_the_first_three_words():
    summaries = ["so the CAT slept", "the cat sat on", "So the", ""]
    assert copying.same_start(summaries, [SOURCE] * 4).tolist() == [True, False, False, False]
    assert copying.same_start(["so the"], ["so the"]).tolist() == [False]  # two words are no three


@pytest.mark.parametrize("post", ["Hi reddit", "OK, so", "okay.", "hey!", "Hello", "  So I met"])
def test_posts_that_greet(post):
    assert copying.PREAMBLES["tldr"](post)


@pytest.mark.parametrize("post", ["", "His dog", "Sorry, hi", "I said ok"])
def test_posts_that_do_not(post):
    assert not copying.PREAMBLES["tldr"](post)


def test_articles_with_a_colon_in_the_first_three_words():
    early = copying.PREAMBLES["cnndm"]
    assert early("Winner: Simon Wood took home the TV crown")
    assert early("By the numbers: three")
    assert not early("Simon Wood took it: the crown")
    assert not early("")
