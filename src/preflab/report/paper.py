"""The paper's numbers that a grid can be held against (Ziegler et al. 2019, arXiv 1909.08593v2).

Figures were digitised from the paper's own vector graphics (error below 1 % of an axis), Table 1 was read
from its image.
"""

from typing import NamedTuple


class Published(NamedTuple):
    """A value of the paper and where it stands."""

    value: float
    source: str


# Table 1, human evaluation: share of 1024 excerpts on which most of three people prefer the first policy.
TABLE_1: dict[tuple[str, str, str], Published] = {
    ("sentiment", "5k offline", "zero-shot"): Published(0.88, "Table 1"),
    ("sentiment", "5k offline", "mock"): Published(0.77, "Table 1"),
    ("sentiment", "5k offline", "20k offline"): Published(0.48, "Table 1"),
    ("sentiment", "5k offline", "60k offline"): Published(0.48, "Table 1, its 20k"),
    ("sentiment", "5k offline", "5k online"): Published(0.50, "Table 1"),
    ("sentiment", "20k offline", "zero-shot"): Published(0.871, "Figure 4"),
    ("sentiment", "60k offline", "zero-shot"): Published(0.871, "Figure 4, its 20k"),
    ("descriptiveness", "5k offline", "zero-shot"): Published(0.86, "Table 1"),
    ("descriptiveness", "5k offline", "20k offline"): Published(0.47, "Table 1"),
    ("descriptiveness", "5k offline", "60k offline"): Published(0.47, "Table 1, its 20k"),
    ("descriptiveness", "5k offline", "5k online"): Published(0.48, "Table 1"),
    ("descriptiveness", "20k offline", "zero-shot"): Published(0.846, "Figure 4"),
    ("descriptiveness", "60k offline", "zero-shot"): Published(0.846, "Figure 4, its 20k"),
}

# Figure 2, mock sentiment, KL target 8 nats, GPT-2 124M: mean reward (the classifier's log-odds) by episodes.
FIGURE_2_EPISODES = (10e3, 100e3, 250e3, 500e3, 750e3, 1e6, 1.5e6, 2e6)
FIGURE_2 = {
    "mock": (0.31, 1.12, 2.12, 2.86, 3.06, 3.11, 3.21, 3.25),
    "60k": (0.35, 1.30, 2.70, 2.88, 2.93, 3.00, 3.04, 3.08),
    "20k": (0.38, 1.23, 2.31, 2.48, 2.50, 2.56, 2.58, 2.61),
    "5k": (0.38, 0.96, 1.80, 1.97, 1.99, 2.03, 2.05, 2.04),
}
FIGURE_2_START = 0.31  # the same, after 10k of 2M episodes of direct training: stands for zero-shot
FIGURE_2_BAND = {"mock": (3.22, 3.28), "60k": (2.98, 3.14), "20k": (2.54, 2.74), "5k": (1.85, 2.15)}  # at 2M

# Figure 3, reward reached at a given KL after 2M episodes.
FIGURE_3_KL = (2, 4, 6, 8, 12, 16, 20)
FIGURE_3 = {
    "mock": (0.63, 1.55, 2.51, 3.26, 4.41, 5.31, 5.99),
    "60k": (1.02, 1.88, 2.50, 3.05, 3.89, 4.69, 5.14),
    "20k": (1.03, 1.70, 2.20, 2.58, 3.46, 3.90, 4.08),
    "5k": (0.84, 1.39, 1.75, 2.02, 2.32, 2.66, 2.80),
}


def share_of_direct(labels: str) -> float | None:
    """What a reward model gains over the start of Figure 2, as a share of what direct training gains."""
    if labels not in FIGURE_2:
        return None
    return (FIGURE_2[labels][-1] - FIGURE_2_START) / (FIGURE_2["mock"][-1] - FIGURE_2_START)
