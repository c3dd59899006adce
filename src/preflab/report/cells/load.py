"""What the report needs of every cell, from the files of a grid or from the MLflow records of a sweep."""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from preflab.errors import PreflabError
from preflab.grid.kinds import BASE, EVALUATIONS, METHODS, method_of
from preflab.records.results import CellFiles

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Record = dict[str, Any]

# The reference model, and what no model writes: the same for all labels, collections and settings of training.
UNTRAINED = {method for method, chain in METHODS.items() if len(chain) == 1}
REINFORCED = {"rl", "supervised_rl"}  # these have a reward model (or a true score) and a training curve


@dataclass(frozen=True, slots=True)
class Cell:
    """One policy (or the zero-shot reference): its row of instances.yaml and what its stages wrote."""

    id: str
    row: Record
    metrics: dict[str, float]  # reports/metrics/ID.json
    samples: dict[str, list[Any]]  # samples.parquet by column, in the order of `context`
    curve: dict[str, NDArray[np.float64]]  # training curve by column, [updates]; empty for zero-shot
    reward: dict[str, float]  # reports/reward/ID.json; empty for zero-shot
    prepare: Record  # reports/prepare/ID.json: the two classifiers; empty if it is not there
    comparisons: Record  # reports/comparisons/ID.json: the labels' noise; empty if it is not there
    runs: dict[str, Record]  # stage -> run record; a stage restored from the cache may have none
    right: tuple[bool, ...] = ()  # whether its reward model is right, for each held-out comparison; empty without one
    settings: Record = field(default_factory=dict)  # of its evaluation (EvaluateStage); empty if they are not there

    @property
    def method(self) -> str:
        """One of kinds.METHODS."""
        return method_of(self.row)

    @property
    def ablation(self) -> str:
        """What of the method is left out or changed; `none` in the paper's own runs."""
        return str(self.row.get("ablation") or "none")

    @property
    def is_zero_shot(self) -> bool:
        return self.method == "zero_shot"

    def value(self, key: str) -> Any:
        """A key of the row, with its default where the row does not have it."""
        return {"method": self.method, "ablation": self.ablation}.get(key, self.row.get(key))

    def instance(self, kind: str) -> str | None:
        """The instance id of this cell's stage `kind`, where it has that stage."""
        if kind in BASE:
            return self.row.get("base", {}).get(kind)
        final = METHODS[self.method][-1]
        if kind in EVALUATIONS and kind not in ("zero_shot", final):
            return None
        return self.row.get("evaluate" if kind == final else kind)


@dataclass(frozen=True, slots=True)
class Grid:
    """A finished grid: budgets are the paper's times `scale` (labels) and `episode_scale` (episodes)."""

    name: str
    scale: str
    episode_scale: str
    cells: tuple[Cell, ...]

    @property
    def synthetic(self) -> bool:
        return any(cell.row["synthetic"] for cell in self.cells)

    @property
    def mixed(self) -> bool:
        """Labels of both kinds."""
        return self.synthetic and not all(cell.row["synthetic"] for cell in self.cells)


def from_files(about: Record, root: Path = Path()) -> Grid:
    """The grid that `about` (what params/report.yaml holds) describes; its stages wrote below `root`."""
    cells = []
    for name, row in about["cells"].items():
        files = CellFiles(root, row)
        texts = files.texts()
        if "metrics.json" not in texts:
            raise _missing(files.path(files.last, "reports/metrics/{id}.json"))
        cells.append(_cell(name, row, texts, files.samples))
    return _grid(about, cells)


def read_params(path: Path) -> Record:
    """params/report.yaml: the grid's name, its scales and its cells."""
    from omegaconf import OmegaConf

    if not path.exists():
        raise PreflabError(f"{path}: not found; `dvc repro params` writes it")
    params: Any = OmegaConf.to_container(OmegaConf.load(path))
    return params


def from_mlflow(sweep: str, root: Path = Path()) -> Grid:
    """The grid that MLflow remembers under a sweep's parent run: by run id, or the newest of that name."""
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


def _remembered(client: "MlflowClient", sweep: str) -> Grid:
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
    found = client.search_runs([experiment.experiment_id], query, order_by=newest) if experiment else []
    for run in found:
        if run.info.run_name == sweep:
            return run
    names = ", ".join(sorted({run.info.run_name for run in found})) or "none"
    raise PreflabError(f"--from-mlflow {sweep}: no sweep of this run id or name in MLflow; it has: {names}")


def _grid(about: Record, cells: list[Cell]) -> Grid:
    return Grid(about["grid"], str(about["scale"]), str(about["episode_scale"]), tuple(sorted(cells, key=_order)))


def _order(cell: Cell) -> tuple[Any, ...]:
    """Zero-shot, then by number of labels, offline before online, the true score last."""
    row = cell.row
    rank = 0 if cell.is_zero_shot else 2 if row["labels"] == "direct" else 1
    return (row["task"], row["model"], rank, row["num_train"] or 0, row["collection"] or "", cell.id)


def _cell(name: str, row: Record, texts: dict[str, str], samples: Path) -> Cell:
    """`texts`: what CellFiles calls them: metrics.json, settings.yaml, curve.csv, reward.json, prepare.json …"""
    import pyarrow.parquet
    import yaml

    if not samples.exists():
        raise _missing(samples)
    curve = _curve(texts["curve.csv"]) if "curve.csv" in texts else {}
    found = {kind: json.loads(texts.get(f"{kind}.json", "{}")) for kind in ("reward", "prepare", "comparisons")}
    table = pyarrow.parquet.read_table(samples)
    right = tuple(one == "1" for one in (table.schema.metadata or {}).get(b"heldout_right", b"").decode())
    columns = table.sort_by("context").to_pydict()
    metrics, runs = json.loads(texts["metrics.json"]), json.loads(texts["runs.json"])
    settings = yaml.load(texts.get("settings.yaml", "{}"), yaml.CSafeLoader)
    return Cell(name, row, metrics, columns, curve, **found, runs=runs, right=right, settings=settings)


def _missing(path: Path) -> PreflabError:
    return PreflabError(f"{path}: not found; the report needs every cell finished, `dvc repro` builds what is missing")


def _curve(text: str) -> dict[str, NDArray[np.float64]]:
    rows = list(csv.DictReader(text.splitlines()))
    return {key: np.array([float(row[key] or "nan") for row in rows]) for key in (rows[0] if rows else [])}
