"""What a setting may be, beside its field: a range of numbers, a list of choices; and the key that users type for it.

    lr: Rate                                                     a number above 0 and at most 1
    temperature: Annotated[float, Range(above=0, at_most=100)]
    adam: Annotated[str, Choices(ADAMS)]
    initial: Annotated[InitialSettings, Key("collection.initial")]

The loader (load.py) reads these off the types of the fields.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

MOST = 1_000_000_000  # ours: no count of episodes, labels or documents comes near it


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Numbers between two bounds, each inclusive (`at_least`, `at_most`) or exclusive (`above`, `below`)."""

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None

    def __contains__(self, value: float) -> bool:
        """Whether the number lies between the bounds; nan and the infinities never do."""
        return (
            (isinstance(value, int) or math.isfinite(value))
            and (self.above is None or value > self.above)
            and (self.at_least is None or value >= self.at_least)
            and (self.below is None or value < self.below)
            and (self.at_most is None or value <= self.at_most)
        )

    def __str__(self) -> str:
        """`above 0 and at most 1`; `from 1 to 1,000`."""
        if self.at_least is not None and self.at_most is not None:
            return f"from {_number(self.at_least)} to {_number(self.at_most)}"
        bounds = {"above": self.above, "of at least": self.at_least, "below": self.below, "at most": self.at_most}
        return " and ".join(f"{word} {_number(bound)}" for word, bound in bounds.items() if bound is not None)


@dataclass(frozen=True, slots=True)
class Choices:
    """Words that a setting may be, or a function that gives them: names of modules are asked for when needed."""

    words: Sequence[str] | Callable[[], Sequence[str]]

    def all(self) -> list[str]:
        return list(self.words() if callable(self.words) else self.words)


@dataclass(frozen=True, slots=True)
class Key:
    """What users type for a setting, where this is not the key of its group, a dot and its name."""

    key: str


Count = Annotated[int, Range(at_least=1, at_most=MOST)]
CountFromZero = Annotated[int, Range(at_least=0, at_most=MOST)]
Length = Annotated[int, Range(at_least=1, at_most=1_000_000)]  # in tokens
Layers = Annotated[int, Range(at_least=1, at_most=1000)]
Heads = Annotated[int, Range(at_least=1, at_most=1000)]
Samples = Annotated[int, Range(at_least=1, at_most=1_000_000)]
Width = Annotated[int, Range(at_least=1, at_most=100_000)]
Vocabulary = Annotated[int, Range(at_least=257, at_most=10_000_000)]  # every byte, and the end of a text or a pad
Epochs = Annotated[int, Range(at_least=1, at_most=10_000)]
Threads = Annotated[int, Range(at_least=1, at_most=1024)]
Seed = Annotated[int, Range(at_least=0, at_most=2**32 - 1)]  # NumPy's generators take no larger one
Rate = Annotated[float, Range(above=0, at_most=1)]  # a learning rate, the epsilon of Adam
Share = Annotated[float, Range(at_least=0, at_most=1)]
Coefficient = Annotated[float, Range(at_least=0, at_most=1000)]


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
