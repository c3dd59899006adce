"""Reads the results of every cell, from the files of a grid or from the MLflow records of a sweep."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preflab.errors import PreflabError
from preflab.records.results import CellFiles
from preflab.report.cells.results import CellResults, Floats, GridResults, JsonObject

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def from_files(about: JsonObject, root: Path = Path()) -> GridResults:
    """The grid that `about` (what params/report.yaml holds) describes; its stages wrote below `root`.

    Raises PreflabError for a cell that is not finished.
    """
    cells = []
    for name, row in about["cells"].items():
        files = CellFiles(root, row)
        texts = files.texts()
        if "metrics.json" not in texts:
            raise _missing(files.path(files.last, "reports/metrics/{id}.json"))
        cells.append(_cell(name, row, texts, files.samples))
    return _grid(about, cells)


def read_params(path: Path) -> JsonObject:
    """params/report.yaml: the grid's name, its scales and its cells.  Raises PreflabError if there is no such file."""
    from omegaconf import OmegaConf

    if not path.exists():
        raise PreflabError(f"{path}: not found; `dvc repro params` writes it")
    params: Any = OmegaConf.to_container(OmegaConf.load(path))
    return params


def from_mlflow(sweep: str, root: Path = Path()) -> GridResults:
    """The grid that MLflow remembers under a sweep's parent run: by run id, or the newest of that name.

    Raises PreflabError where MLflow has no such sweep, or the sweep a cell without results.
    """
    import os

    from preflab.records import spool

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    client = spool.reached(root)
    from mlflow.exceptions import MlflowException

    try:
        return _remembered(client, sweep)
    except (MlflowException, OSError) as error:  # the store is there, a file of its runs is not
        reason = str(error).partition("\n")[0]
        raise PreflabError(f"--from-mlflow {sweep}: MLflow cannot give it ({reason})") from error


def _remembered(client: "MlflowClient", sweep: str) -> GridResults:
    import tempfile

    parent = _find_parent(client, sweep)
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'", max_results=10_000
    )
    if not children:
        raise PreflabError(f"--from-mlflow {sweep}: the sweep {parent.info.run_id} has no cells")
    with tempfile.TemporaryDirectory() as scratch:
        about = json.loads(Path(client.download_artifacts(parent.info.run_id, "grid.json", scratch)).read_text())
        cells = []
        for child in children:
            into = Path(scratch) / child.info.run_id
            into.mkdir()
            folder = Path(client.download_artifacts(child.info.run_id, "cell", str(into)))
            texts = {path.name: path.read_text() for path in folder.iterdir() if path.suffix != ".parquet"}
            row, name = json.loads(texts["cell.json"]), child.data.tags["preflab.cell"]
            if "metrics.json" not in texts:
                raise PreflabError(f"--from-mlflow {sweep}: {name} has no results; run the sweep again")
            cells.append(_cell(name, row, texts, folder / "samples.parquet"))
    return _grid(about, cells)


def _find_parent(client: "MlflowClient", sweep: str) -> "Run":
    from mlflow.exceptions import MlflowException

    from preflab.records import spool

    try:
        return client.get_run(sweep)
    except MlflowException:
        experiment = client.get_experiment_by_name(spool.SWEEPS)
    query, newest = "tags.`preflab.kind` = 'sweep'", ["attributes.start_time DESC"]
    sweeps = client.search_runs([experiment.experiment_id], query, order_by=newest) if experiment else []
    for run in sweeps:
        if run.info.run_name == sweep:
            return run
    names = ", ".join(sorted({run.info.run_name for run in sweeps})) or "none"
    raise PreflabError(f"--from-mlflow {sweep}: no sweep of this run id or name in MLflow; it has: {names}")


def _grid(about: JsonObject, cells: list[CellResults]) -> GridResults:
    return GridResults(
        about["grid"], str(about["scale"]), str(about["episode_scale"]), tuple(sorted(cells, key=_order))
    )


def _order(cell: CellResults) -> tuple[Any, ...]:
    """Zero-shot, then by number of labels, offline before online, the true score last."""
    row = cell.row
    rank = 0 if cell.is_zero_shot else 2 if row["labels"] == "direct" else 1
    return (row["task"], row["model"], rank, row["num_train"] or 0, row["collection"] or "", cell.id)


def _cell(name: str, row: JsonObject, texts: dict[str, str], samples: Path) -> CellResults:
    """`texts`: what CellFiles calls them: metrics.json, settings.yaml, curve.csv, reward.json, prepare.json …"""
    import pyarrow.parquet
    import yaml

    if not samples.exists():
        raise _missing(samples)
    curve = _curve(texts["curve.csv"]) if "curve.csv" in texts else {}
    by_kind = {kind: json.loads(texts.get(f"{kind}.json", "{}")) for kind in ("reward", "prepare", "comparisons")}
    table = pyarrow.parquet.read_table(samples)
    right = tuple(digit == "1" for digit in (table.schema.metadata or {}).get(b"heldout_right", b"").decode())
    columns = table.sort_by("context").to_pydict()
    metrics, runs = json.loads(texts["metrics.json"]), json.loads(texts["runs.json"])
    settings = yaml.load(texts.get("settings.yaml", "{}"), yaml.CSafeLoader)
    return CellResults(name, row, metrics, columns, curve, **by_kind, runs=runs, right=right, settings=settings)


def _missing(path: Path) -> PreflabError:
    return PreflabError(f"{path}: not found; the report needs every cell finished, `dvc repro` builds what is missing")


def _curve(text: str) -> dict[str, Floats]:
    rows = list(csv.DictReader(text.splitlines()))
    return {key: np.array([float(row[key] or "nan") for row in rows]) for key in (rows[0] if rows else [])}
