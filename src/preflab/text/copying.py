"""How much summaries copy, from where, and how much they repeat themselves (Figs. 5–7, Table 7).

Punctuation and case are ignored; n-grams are those inside one sentence of the summary (after See et al. 2017).  Shares
are kept as counts, so that `statistics.bootstrap_ratio(part, whole)` gives the share of all n-grams or sentences of
all summaries, in which a short summary counts for little and an empty one for nothing.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preflab.text.words import sentences, words

Integers = NDArray[np.int64]
_Chain = tuple[int, int, "_Chain | None"]  # place in the source, place in the summary, the chain before it

SIZES = (1, 2, 3, 4)
SENTENCES = "sentences"
UNITS = (*(f"{n}-grams" for n in SIZES), SENTENCES)
GREETINGS = frozenset({"hi", "hello", "hey", "ok", "okay", "so"})


class Counts(NamedTuple):
    """`part` of the `whole`, of each summary; both [summaries]."""

    part: Integers
    whole: Integers


class Copied(NamedTuple):
    """A longest common subsequence of the bigrams of one summary and its source: which bigrams, by position."""

    source: Integers  # [copied] in the source, rising
    summary: Integers  # [copied] in the summary, rising
    source_length: int  # bigrams in all
    summary_length: int


def novel(summaries: Sequence[str], sources: Sequence[str]) -> dict[str, Counts]:
    """By unit of `UNITS`: how many n-grams and sentences stand nowhere in the source, of how many (Fig. 5).

    What is consecutive in the source is copied, also across two of its sentences.
    """
    rows = []
    for summary, source in zip(summaries, sources, strict=True):
        text = words(source)
        joined = f" {' '.join(text)} "
        of_source = {n: set(_grams(text, n)) for n in SIZES}
        split = _word_sentences(summary)
        row = [_count(gram not in of_source[n] for sentence in split for gram in _grams(sentence, n)) for n in SIZES]
        rows.append([*row, _count(f" {' '.join(sentence)} " not in joined for sentence in split)])
    return _by_unit(rows)


def repeated(summaries: Sequence[str]) -> dict[str, Counts]:
    """By unit of `UNITS`: how many n-grams and sentences stood in the same summary before, of how many (Fig. 6)."""
    rows = []
    for summary in summaries:
        split = _word_sentences(summary)
        units = [[gram for sentence in split for gram in _grams(sentence, n)] for n in SIZES]
        everything = [*units, [tuple(sentence) for sentence in split]]
        rows.append([(len(items) - len(set(items)), len(items)) for items in everything])
    return _by_unit(rows)


def copied(summary: str, source: str) -> Copied:
    """Where in the source the summary copies from (Fig. 7); of several longest subsequences always the same one.

    By the matches alone, in the order of the summary (Hunt & Szymanski 1977): few bigrams match, a table is slow.
    """
    target, text = _grams(words(summary), 2), _grams(words(source), 2)
    places: dict[tuple[str, ...], list[int]] = {}
    for position, gram in enumerate(text):
        places.setdefault(gram, []).append(position)
    ends: list[int] = []  # ends[k]: the earliest end in the source of a common subsequence of k + 1 bigrams
    chains: list[_Chain] = []  # and that subsequence
    for position, gram in enumerate(target):
        for place in reversed(places.get(gram, ())):  # from the last, so that a bigram of the summary counts once
            k = bisect_left(ends, place)
            chain = (place, position, chains[k - 1] if k else None)
            ends[k : k + 1], chains[k : k + 1] = [place], [chain]
    places_of_both = []
    link = chains[-1] if chains else None
    while link:
        places_of_both.append(link[:2])
        link = link[2]
    pairs = np.array(places_of_both[::-1], np.int64).reshape(-1, 2)
    return Copied(pairs[:, 0], pairs[:, 1], len(text), len(target))


def positions(copies: Sequence[Copied], bins: int, width: int | None = None) -> Integers:
    """`[summaries, bins]` how many bigrams each summary copies from each part of its source.

    Parts are `bins` equal shares of the source or, with `width`, that many bigrams each from its start; what lies
    beyond the last is then left out.
    """
    table = np.zeros((len(copies), bins), np.int64)
    for k, copy in enumerate(copies):
        part = copy.source // width if width else copy.source * bins // max(copy.source_length, 1)
        table[k] = np.bincount(part[part < bins], minlength=bins)
    return table


def same_start(summaries: Sequence[str], sources: Sequence[str], n: int = 3) -> NDArray[np.bool_]:
    """Whether the first `n` words of summary and source are the same (Table 7); not with fewer words. [summaries]"""
    starts = ((words(summary)[:n], words(source)[:n]) for summary, source in zip(summaries, sources, strict=True))
    return np.array([a == b and len(a) == n for a, b in starts], np.bool_)


def greets(post: str) -> bool:
    """A TL;DR post with a preamble: its first word is hi, hello, hey, ok, okay or so (Table 7)."""
    return words(post)[:1] != [] and words(post)[0] in GREETINGS


def has_early_colon(article: str) -> bool:
    """A CNN/DM article with a preamble: a colon in its first three words, "Winner: Simon Wood took …" (Table 7)."""
    return any(":" in word for word in article.split(maxsplit=3)[:3])


PREAMBLES: dict[str, Callable[[str], bool]] = {"tldr": greets, "cnndm": has_early_colon}  # by task


def _grams(text: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(text[i:] for i in range(n)), strict=False))


def _word_sentences(text: str) -> list[list[str]]:
    """The words of each sentence that has any."""
    return [split for sentence in sentences(text) if (split := words(sentence))]


def _count(flags: Iterable[bool]) -> tuple[int, int]:
    """How many are true, of how many."""
    listed = list(flags)
    return sum(listed), len(listed)


def _by_unit(rows: Sequence[Sequence[tuple[int, int]]]) -> dict[str, Counts]:
    table = np.array(rows, np.int64).reshape(-1, len(UNITS), 2)  # [summaries, units, part and whole]
    return {unit: Counts(table[:, k, 0], table[:, k, 1]) for k, unit in enumerate(UNITS)}
