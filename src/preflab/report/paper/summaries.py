"""The paper's numbers on summaries (its Tables 4, 5, 7 and 8, the sentences of its Figure 5), by task and policy.

The paper's text could not be read: each number has its source, in the words of captions.SOURCES.  Policies have the
names of results.arm_name, but supervised-rl is without its collection, which no source names.
"""

from typing import NamedTuple

from preflab.report.paper.style import PublishedValue

TITLES = {"tldr": "TL;DR", "cnndm": "CNN/DM"}  # in the paper's order
ONLINE = "60k online"  # the paper's "60k fine-tuned"
SUPERVISED_RL = "supervised-rl 60k"  # its "supervised + 60k fine-tuned"


class PublishedRouge(NamedTuple):
    """F-measures times 100."""

    one: float
    two: float
    longest: float
    source: str

    @property
    def average(self) -> float:
        """R-AVG, equal to that of the notes to 0.001."""
        return (self.one + self.two + self.longest) / 3


# Notes have R-AVG alone; and R-L are from memory, and give that R-AVG.
_NOTES = "R-AVG notes, rest memory (0.95)"
_MEMORY = "memory (0.8)"

TABLE_4 = {
    ("tldr", "zero-shot"): PublishedRouge(15.862, 2.325, 13.518, _NOTES),
    ("tldr", "supervised"): PublishedRouge(17.535, 3.124, 14.969, _NOTES),
    ("tldr", "lead-3"): PublishedRouge(17.244, 3.390, 14.618, _NOTES),
    ("tldr", SUPERVISED_RL): PublishedRouge(18.434, 3.542, 15.457, _NOTES),
    ("tldr", "60k offline"): PublishedRouge(16.632, 2.699, 13.984, _MEMORY),
    ("tldr", "15k online"): PublishedRouge(15.275, 2.240, 12.872, _MEMORY),
    ("tldr", "30k online"): PublishedRouge(16.410, 2.920, 13.653, _MEMORY),
    ("tldr", ONLINE): PublishedRouge(16.800, 2.884, 14.011, _NOTES),
    ("cnndm", "zero-shot"): PublishedRouge(28.406, 8.321, 25.175, _NOTES),
    ("cnndm", "supervised"): PublishedRouge(39.525, 16.992, 36.728, _NOTES),
    ("cnndm", "lead-3"): PublishedRouge(40.379, 17.658, 36.618, _NOTES),
    ("cnndm", SUPERVISED_RL): PublishedRouge(40.093, 17.611, 37.104, _NOTES),
    ("cnndm", "60k offline"): PublishedRouge(33.860, 12.850, 30.018, _NOTES),
    ("cnndm", "15k online"): PublishedRouge(38.466, 15.960, 34.468, _NOTES),
    ("cnndm", "30k online"): PublishedRouge(35.581, 13.662, 31.734, _NOTES),
    ("cnndm", ONLINE): PublishedRouge(37.385, 15.478, 33.330, _NOTES),
}

# Share of 1024 articles on which most of three people prefer the first.
TABLE_5 = {
    ("tldr", ONLINE, "zero-shot"): PublishedValue(0.96, "notes"),
    ("tldr", ONLINE, "supervised"): PublishedValue(0.97, "notes"),
    ("tldr", ONLINE, "lead-3"): PublishedValue(0.45, "notes"),
    ("tldr", ONLINE, "reference"): PublishedValue(0.96, "notes"),
    ("tldr", ONLINE, "30k online"): PublishedValue(0.40, "one set of notes"),
    ("tldr", ONLINE, "15k online"): PublishedValue(0.79, "memory (0.6)"),
    ("tldr", ONLINE, "60k offline"): PublishedValue(0.64, "memory (0.4)"),
    ("tldr", ONLINE, SUPERVISED_RL): PublishedValue(0.80, "direction notes, number memory (0.6)"),
    ("tldr", "lead-3", "supervised"): PublishedValue(0.97, "memory (0.5)"),
    ("tldr", "lead-3", "reference"): PublishedValue(0.97, "direction article, number memory (0.5)"),
    ("tldr", "lead-3", SUPERVISED_RL): PublishedValue(0.75, "memory (0.5)"),
    ("cnndm", ONLINE, "zero-shot"): PublishedValue(0.91, "notes"),
    ("cnndm", ONLINE, "supervised"): PublishedValue(0.80, "notes"),
    ("cnndm", ONLINE, "lead-3"): PublishedValue(0.40, "notes"),
    ("cnndm", ONLINE, "reference"): PublishedValue(0.84, "notes"),
    ("cnndm", ONLINE, "30k online"): PublishedValue(0.62, "memory (0.6)"),
    ("cnndm", ONLINE, "15k online"): PublishedValue(0.47, "memory (0.6)"),
    ("cnndm", ONLINE, "60k offline"): PublishedValue(0.65, "memory (0.4)"),
    ("cnndm", ONLINE, SUPERVISED_RL): PublishedValue(0.74, "direction notes, number memory (0.6)"),
    ("cnndm", "lead-3", "supervised"): PublishedValue(0.89, "memory (0.5)"),
    ("cnndm", "lead-3", "reference"): PublishedValue(0.89, "direction article, number memory (0.5)"),
    ("cnndm", "lead-3", SUPERVISED_RL): PublishedValue(0.85, "memory (0.5)"),
}

# Share of summaries that begin with the first three words of their source: of all, of those with a preamble.
TABLE_7 = {
    ("tldr", ONLINE): (0.283, 0.002),
    ("cnndm", ONLINE): (0.776, 0.014),
}
TABLE_7_SOURCE = "article, notes"

# How many of 30 summaries the authors found to make only statements that the source supports.
TABLE_8 = {
    ("tldr", "zero-shot"): 6,
    ("tldr", ONLINE): 26,
    ("tldr", "supervised"): 8,
    ("tldr", SUPERVISED_RL): 11,
    ("cnndm", "zero-shot"): 6,
    ("cnndm", ONLINE): 29,
    ("cnndm", "supervised"): 19,
    ("cnndm", SUPERVISED_RL): 20,
}
TABLE_8_ITEMS = 30
TABLE_8_SOURCE = "article, notes"

# Figure 5, share of a summary's sentences that are not in the source; from the widths of the article's own bars.
FIGURE_5 = {
    ("tldr", "reference"): 0.9893,
    ("tldr", "zero-shot"): 0.9633,
    ("tldr", ONLINE): 0.2901,
    ("tldr", "supervised"): 0.9690,
    ("tldr", SUPERVISED_RL): 0.9397,
    ("cnndm", "reference"): 0.9673,
    ("cnndm", "zero-shot"): 0.9169,
    ("cnndm", ONLINE): 0.0249,
    ("cnndm", "supervised"): 0.8363,
    ("cnndm", SUPERVISED_RL): 0.6955,
}
