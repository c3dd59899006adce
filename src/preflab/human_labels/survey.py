"""What a set of labels holds, counted row by row: lengths, ties, duplicates, agreement, the positions that won.

Of a row five numbers of 8 bytes stay, whatever its length; everything else is counters.
"""

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from preflab.human_labels.gpt2 import PAD
from preflab.human_labels.readers import LabelRow


@dataclass(frozen=True, slots=True)
class LengthStatistics:
    """Lengths of all queries or all responses (`what`), in `unit`; `low` and `high` are the extremes."""

    what: str
    unit: str
    count: int
    mean: float
    low: int
    median: int
    high: int


@dataclass(frozen=True, slots=True)
class AnswerAgreement:
    """`questions` that were answered more than once, their `pairs` of answers, and how many of these are `alike`.

    A question is a query with its samples in any order.  Two answers of one named labeller are no pair; where labellers
    are not named every two answers are.
    """

    questions: int
    pairs: int
    alike: int


@dataclass(frozen=True, slots=True)
class LabelStatistics:
    """Counts of rows.

    `ratings` have one sample, all others are choices.  `some_alike`, `all_alike`: two samples, or all, are the same;
    `twins`: the best one is among those.  `empty`: a sample is.  `positions`: by number of samples, how often each won.
    """

    rows: int
    ratings: int
    ties: int
    queries: int
    labellers: int
    tasks: dict[str, int]
    lengths: list[LengthStatistics]
    duplicates: int
    empty: int
    some_alike: int
    all_alike: int
    twins: int
    agreement: AnswerAgreement
    positions: dict[int, list[int]]


class Survey:
    """Counts the rows that it is given."""

    def __init__(self) -> None:
        self.counts, self.tasks = Counter[str](), Counter[str]()
        self.positions: dict[int, Counter[int]] = {}
        self.lengths: dict[tuple[str, str], Counter[int]] = {}
        self.digests = {name: array("Q") for name in ("record", "query", "question", "answer", "labeller")}

    def add(self, row: LabelRow) -> None:
        """Count a row."""
        query, *samples = (_digest(_bytes(text)) for text in (row.query, *row.samples))
        counts = self.counts
        counts["rows"] += 1
        self.tasks[row.task] += 1
        counts["empty"] += any(map(_is_empty, row.samples))
        if row.rating:
            counts["ratings"] += 1
            answer = repr(row.scores).encode()
        else:
            counts["some_alike"] += len(set(samples)) < len(samples)
            counts["all_alike"] += len(set(samples)) == 1
            answer = b"tie"
            if row.best is None:
                counts["ties"] += 1
            else:
                answer = samples[row.best]
                counts["twins"] += samples.count(answer) > 1
                self.positions.setdefault(len(samples), Counter())[row.best] += 1
        labeller = _digest(row.labeller.encode()) if row.labeller else bytes(8)
        for name, digest in (
            ("record", _digest(b"".join([query, *samples, answer, labeller, repr(row.scores).encode()]))),
            ("query", query),
            ("question", _digest(b"".join([query, *sorted(samples)]))),
            ("answer", _digest(answer)),
            ("labeller", labeller),
        ):
            self.digests[name].frombytes(digest)

    def measure(self, what: str, unit: str, lengths: Iterable[int]) -> None:
        """Count lengths of `what` (query, response)."""
        self.lengths.setdefault((what, unit), Counter()).update(lengths)

    def statistics(self) -> LabelStatistics:
        """Everything so far."""
        record, query, question, answer, labeller = map(_numbers, self.digests.values())
        names = ("rows", "ratings", "ties", "empty", "some_alike", "all_alike", "twins")
        return LabelStatistics(
            **{name: self.counts[name] for name in names},
            queries=len(np.unique(query)),
            labellers=len(np.unique(labeller[labeller != 0])),
            tasks=dict(self.tasks.most_common()),
            lengths=[_lengths(what, unit, counts) for (what, unit), counts in self.lengths.items()],
            duplicates=len(record) - len(np.unique(record)),
            agreement=_agreement(question, answer, labeller),
            positions={n: [won[i] for i in range(n)] for n, won in sorted(self.positions.items())},
        )


def _agreement(question: np.ndarray, answer: np.ndarray, labeller: np.ndarray) -> AnswerAgreement:
    alike, named = _mixed(question, answer), labeller != 0
    by_one, alike_by_one = _pairs(_mixed(question, labeller)[named]), _pairs(_mixed(alike, labeller)[named])
    several = np.unique(question, return_counts=True)[1] > 1
    return AnswerAgreement(int(several.sum()), _pairs(question) - by_one, _pairs(alike) - alike_by_one)


def _is_empty(sample: str | list[int]) -> bool:
    return not sample.strip() if isinstance(sample, str) else sample[:1] in ([], [PAD])


def _bytes(text: str | list[int]) -> bytes:
    """Equal for equal texts; of token ids with their pads, which are alike in all rows of a file."""
    return text.encode() if isinstance(text, str) else array("H", text).tobytes()


def _digest(data: bytes) -> bytes:
    """8 bytes: among a million rows two of the same digest are as likely as 1 in 37 million."""
    return blake2b(data, digest_size=8).digest()


def _numbers(digests: "array[int]") -> np.ndarray:
    return np.frombuffer(digests, np.uint64) if digests else np.zeros(0, np.uint64)


def _mixed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """One digest of two."""
    return (first * np.uint64(0x9E3779B97F4A7C15)) ^ second


def _pairs(values: np.ndarray) -> int:
    """How many pairs of equal values there are."""
    counts = np.unique(values, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def _lengths(what: str, unit: str, counts: Counter[int]) -> LengthStatistics:
    lengths = sorted(counts)
    total, median, shorter = counts.total(), 0, 0
    for median in lengths:
        shorter += counts[median]
        if 2 * shorter >= total:
            break
    mean = sum(length * count for length, count in counts.items()) / total
    return LengthStatistics(what, unit, total, mean, lengths[0], median, lengths[-1])
