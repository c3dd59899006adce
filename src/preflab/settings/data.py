"""settings.data"""

from dataclasses import dataclass, field

MODEL_SOURCES = ["asset", "wheel", "hub", "folder", "pretrain"]


CORPUS_SOURCES = ["package", "hub", "path"]


LABEL_SOURCES = ["path", "hub"]


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

    `reader`: a module of preflab.corpora.  `query_sources`: whose texts become queries (null: all); `limit`: documents
    that are read, spread evenly (null: all).  Of the hub: `subset` (its "configuration"), `splits` (null: train,
    validation, test), `rows` of each split, the first ones (null: all), `streaming`: no more is fetched than is read.
    `files`: patterns of the paths inside a folder or an archive.  `clean`: a function of preflab.text.cleaning, or none.
    `passage`: books are cut, and sentences joined, to passages of about so many characters (null: neither).
    """

    name: str
    reader: str
    package: str = ""
    version: str = ""
    sha256: str = ""
    query_sources: list[str] | None = None
    limit: int | None = None
    source: str = "package"
    path: str = ""
    subset: str = ""
    splits: list[str] | None = None
    rows: int | None = None
    streaming: bool = False
    files: list[str] = field(default_factory=lambda: ["*"])
    columns: ColumnsSettings = field(default_factory=ColumnsSettings)
    clean: str = "none"
    passage: int | None = None


@dataclass(slots=True)
class ModelSettings:
    """Where a base model comes from: `asset` (in this package), `wheel` (GGUF inside a wheel), `hub` or `folder`."""

    name: str
    source: str
    path: str = ""
    sha256: str = ""
    package: str = ""
    version: str = ""
    member: str = ""


@dataclass(slots=True)
class PoolMemberSettings:
    """One labeller of a pool: how much each scorer counts (in its standard deviations), and its share of the noise.

    `noise` times the pool's τ is its own τ: above 1 for the careless, 0 for who never errs.
    """

    name: str
    weights: dict[str, float]
    noise: float = 1.0


@dataclass(slots=True)
class LabellerSettings:
    """`name` in tables and comparisons; `scorer`, and `judge` of the evaluation: modules of preflab.labellers, or the
    dotted path of a function.

    The noise of the labels: `agreement`: share of four-way choices on which two labellers agree (sets τ); null: no
    temperature.  `flip_rate`: probability that another choice, any with equal chance, is noted instead.  `pool`: who
    answers, each comparison one of them; empty: all choose by `scorer`, which gives the true score either way.
    """

    name: str
    scorer: str
    judge: str
    agreement: float | None
    flip_rate: float = 0.0
    pool: list[PoolMemberSettings] = field(default_factory=list)


@dataclass(slots=True)
class HumanLabelsSettings:
    """Labels of people.  `source`: a file, folder or zip at `path`, or `file` of the data set `path` of the hub,
    REPO@COMMIT.

    `sha256` pins a file's content.  `format`: a module of preflab.human_labels.readers (null: told by the records).
    `max_bad`: rejected rows that are dropped, or their share below 1.
    """

    name: str
    source: str
    path: str
    file: str = ""
    sha256: str = ""
    format: str | None = None
    max_bad: float = 0.0


@dataclass(slots=True)
class ComparisonsSettings:
    """`num` training and `heldout` validation comparisons (at most, of people's); `rollout_batch` in episodes."""

    num: int
    heldout: int
    rollout_batch: int
    max_rounds: int
    seed: int


@dataclass(slots=True)
class QuerySettings:
    """The part of a task that cuts the queries."""

    query_length: int
    start_text: str | None
    end_text: str | None


@dataclass(slots=True)
class TransformerSettings:
    """Size and training of the sentiment transformer (labellers/classifiers/transformer.py), the labeller of that name."""

    layers: int
    heads: int
    width: int
    vocabulary: int
    length: int
    epochs: int
    batch_size: int
    lr: float
    threads: int
    seed: int
