"""W4: labelling and evaluation, on generated text.  Each function sets up a workload without a model.

The labeller's classifier is trained on generated reviews too; its vocabulary is smaller than a real one's.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.workloads import SAMPLES

Run = Callable[[], dict[str, float]]

COMPARISONS = 1024
PAIRS = 512
POLICIES, CONTEXTS = 10, 1024
TAU = 1.0  # of the labeller's choice; any above 0 costs the same
CHARGED = [
    "bad dull poor awful boring weak cold stupid terrible bland",
    "good great fine superb moving funny warm clever",
]
NEUTRAL = "the a film plot actor scene and of it was with this that very not in story end music camera"


class Work(NamedTuple):
    """`case` in the table; what a run does `items` of; the workload's `target`.  Unit `s`: the time of a run."""

    case: str
    unit: str
    items: int
    target: str


WORKS = [
    Work("synthetic labels, classifier", "labels/s", COMPARISONS, "benchmarks.labelling:classifier_labels"),
    Work("synthetic labels, VADER", "labels/s", COMPARISONS, "benchmarks.labelling:vader_labels"),
    Work("ROUGE-1, -2 and -L", "pairs/s", PAIRS, "benchmarks.labelling:rouge"),
    Work(f"bootstrap of {POLICIES} policies × {CONTEXTS} contexts", "s", 1, "benchmarks.labelling:bootstrap"),
]


def classifier_labels() -> Run:
    """Score four responses a comparison with the default labeller and choose."""
    from preflab.labellers._responses import ResponseLabeller
    from preflab.labellers.classifiers import linear

    reviews = [texts(1, 120, seed, mood=seed % 2)[0] for seed in range(1000)]
    return _labels(ResponseLabeller(linear.train(reviews, [seed % 2 for seed in range(1000)]).score))


def vader_labels() -> Run:
    """The same with VADER."""
    from preflab.labellers.vader import VaderLabeller

    return _labels(VaderLabeller())


def rouge() -> Run:
    """Mean ROUGE of `PAIRS` responses against references, 48 words each."""
    from preflab.text import rouge

    responses, references = texts(PAIRS, 48, 1), texts(PAIRS, 48, 2)
    return _timed(lambda: rouge.score(responses, references))


def bootstrap() -> Run:
    """The interval of each policy's mean over its contexts, 2,000 resamples."""
    import numpy as np

    from preflab.evaluate import statistics

    table = np.random.default_rng(0).normal(size=(POLICIES, CONTEXTS))
    return _timed(lambda: [statistics.bootstrap(values) for values in table])


def texts(count: int, words: int, seed: int, mood: int | None = None) -> list[str]:
    """Random sentences of `words` words, a fifth of them with a sentiment, which `mood` (0 or 1) can fix."""
    import numpy as np

    rng = np.random.default_rng(seed)
    charged, neutral = (" ".join(CHARGED) if mood is None else CHARGED[mood]).split(), NEUTRAL.split()
    picked = np.where(
        rng.random((count, words)) < 0.2, rng.choice(charged, (count, words)), rng.choice(neutral, (count, words))
    )
    return [" ".join(row).capitalize() + "." for row in picked.tolist()]


def _labels(labeller: Any) -> Run:
    """Labels of `COMPARISONS` comparisons; a response of 24 tokens is about 18 words."""
    from preflab.comparisons import synthetic

    responses = texts(COMPARISONS * SAMPLES, 18, 0)
    samples = responses, responses  # queries are not read
    return _timed(lambda: synthetic.choose(synthetic.scores(labeller, samples, SAMPLES), TAU, "benchmark"))


def _timed(function: Callable[[], object]) -> Run:
    """`function` as a workload of one phase."""
    import time

    def run() -> dict[str, float]:
        start = time.perf_counter()
        function()
        return {"total": time.perf_counter() - start}

    return run
