"""The paper's numbers that a grid can be held against (Ziegler et al. 2019, arXiv 1909.08593v2).

A source says how each was read.  digitised: from the paper's own vector graphics (error below 1 % of an axis); image:
off its image of a table; notes: quoted by readers of the paper, whose text could not be read; blog: its authors' own.
"""

from typing import NamedTuple


class PublishedValue(NamedTuple):
    """A value of the paper and its source."""

    value: float
    source: str


# Table 1, human evaluation: share of 1024 excerpts on which most of three people prefer the first policy.
TABLE_1: dict[tuple[str, str, str], PublishedValue] = {
    ("sentiment", "5k offline", "zero-shot"): PublishedValue(0.88, "Table 1, image"),
    ("sentiment", "5k offline", "direct"): PublishedValue(0.77, "Table 1, image"),
    ("sentiment", "5k offline", "20k offline"): PublishedValue(0.48, "Table 1, image"),
    ("sentiment", "5k offline", "5k online"): PublishedValue(0.50, "Table 1, image"),
    ("descriptiveness", "5k offline", "zero-shot"): PublishedValue(0.86, "Table 1, image"),
    ("descriptiveness", "5k offline", "20k offline"): PublishedValue(0.47, "Table 1, image"),
    ("descriptiveness", "5k offline", "5k online"): PublishedValue(0.48, "Table 1, image"),
}

# Figure 4: share of contexts on which people prefer the policy from that many offline labels to zero-shot.
FIGURE_4_LABELS = ("200", "500", "1k", "2.5k", "5k", "10k", "20k")
FIGURE_4 = {
    "sentiment": (0.519, 0.749, 0.844, 0.862, 0.879, 0.868, 0.871),
    "descriptiveness": (0.782, 0.762, 0.823, 0.727, 0.863, 0.863, 0.846),
}


def preference(task: str, a: str, b: str) -> PublishedValue | None:
    """The value of Table 1 or Figure 4 for two arms; that of 20k for our 60k, which the paper did not train."""
    nearest = [(a, b, ""), (a.replace("60k", "20k"), b.replace("60k", "20k"), ", its 20k")]
    for of, against, instead in nearest:
        if published := TABLE_1.get((task, of, against)):
            return PublishedValue(published.value, published.source + instead)
        labels, _, collection = of.partition(" ")
        if (collection, against) == ("offline", "zero-shot") and task in FIGURE_4 and labels in FIGURE_4_LABELS:
            value = FIGURE_4[task][FIGURE_4_LABELS.index(labels)]
            return PublishedValue(value, "Figure 4, digitised" + instead)
    return None


# Figure 2, mock sentiment, KL target 8 nats, GPT-2 124M: mean reward (the classifier's log-odds) by episodes.
FIGURE_2_EPISODES = (10e3, 100e3, 250e3, 500e3, 750e3, 1e6, 1.5e6, 2e6)
FIGURE_2 = {
    "direct": (0.31, 1.12, 2.12, 2.86, 3.06, 3.11, 3.21, 3.25),
    "60k": (0.35, 1.30, 2.70, 2.88, 2.93, 3.00, 3.04, 3.08),
    "20k": (0.38, 1.23, 2.31, 2.48, 2.50, 2.56, 2.58, 2.61),
    "5k": (0.38, 0.96, 1.80, 1.97, 1.99, 2.03, 2.05, 2.04),
}
FIGURE_2_START = 0.31  # the same, after 10k of 2M episodes of direct training: instead of zero-shot
FIGURE_2_BAND = {"direct": (3.22, 3.28), "60k": (2.98, 3.14), "20k": (2.54, 2.74), "5k": (1.85, 2.15)}  # at 2M

# Figure 3, reward reached at each KL after 2M episodes.
FIGURE_3_KL = (2, 4, 6, 8, 12, 16, 20)
FIGURE_3 = {
    "direct": (0.63, 1.55, 2.51, 3.26, 4.41, 5.31, 5.99),
    "60k": (1.02, 1.88, 2.50, 3.05, 3.89, 4.69, 5.14),
    "20k": (1.03, 1.70, 2.20, 2.58, 3.46, 3.90, 4.08),
    "5k": (0.84, 1.39, 1.75, 2.02, 2.32, 2.66, 2.80),
}
FIGURE_3_LONG = (1.33, 2.40, 3.21, 3.91, 4.99, 5.80, 6.38)  # direct training for 64M episodes
FIGURE_3_OPTIMAL_KL = (2, 4, 6, 7.83)  # as far as the paper could estimate it
FIGURE_3_OPTIMAL = (2.29, 3.32, 4.10, 4.63)  # its band at the end: 4.55 to 4.71

# Table 9 (appendix B), agreement on four-way choices in %: mean and its ±.
TABLE_9: dict[tuple[str, str], tuple[float, float]] = {
    ("sentiment", "labellers"): (38, 2),
    ("sentiment", "authors and labellers"): (44, 5),
    ("sentiment", "authors"): (62, 5),
    ("tldr", "labellers"): (46, 2),
    ("tldr", "authors and labellers"): (38, 5),
    ("tldr", "authors"): (61, 5),
}
TABLE_9_SOURCE = "Table 9, notes"
TABLE_9_DOUBT = (
    "The text of its section 2.4 is quoted as giving 38 % and 46 % to authors against labellers, which Table 9 gives "
    "to labellers among themselves (unresolved)."
)

# Table 10 (appendix), mock sentiment: a sample without the KL penalty, one with an entropy bonus of 30 nats instead.
TABLE_10_REWARD = 8.0  # log-odds, without the penalty: 99.97 % positive
TABLE_10 = {
    "no_kl": "These These These sound flowed instantly easily easily easily easily!",
    "entropy": "initially initiallyprisingly easilyprisingly Liam",
}
TABLE_10_SOURCE = "Table 10, notes"

# What the paper says of leaving out or changing a part: its finding, and where that is from.
ABLATIONS = {
    "no_kl": "reward rises to about +8.0, gibberish (Table 10, notes)",
    "entropy": "equally gibberish (Table 10, notes)",
    "fixed_kl": "adaptive in its style tasks, to hit a KL (notes)",
    "shared_reward": "overfits, failed in several attempts (notes)",
    "flip_both": "fluent, the worst possible content (blog)",
    "flip_reward": "would be incoherent (blog)",
    "epochs2": "1 epoch, against overfitting (notes)",
    "from_policy": "starts from ρ instead (notes)",
}


def share_of_direct(labels: str) -> float | None:
    """What a reward model gains over the start of Figure 2, as a share of what direct training gains."""
    if labels not in FIGURE_2:
        return None
    return (FIGURE_2[labels][-1] - FIGURE_2_START) / (FIGURE_2["direct"][-1] - FIGURE_2_START)
