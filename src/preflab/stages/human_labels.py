"""Stage `human_labels`: a file of human labels, from this machine or the hub, in one schema.

    local path                                                   read in place
    hub         $HF_HOME/hub/datasets--…/snapshots/COMMIT/FILE   resumed and verified by downloads/hub.py

OUT/labels.parquet holds every label unchanged; the stage `human_comparisons` puts them into the tokens of a model.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from preflab.downloads import hub, wheels
from preflab.errors import PreflabError
from preflab.human_labels import ingest
from preflab.settings.data import HumanLabelsSettings
from preflab.settings.stages import HumanLabelsStage
from preflab.stages import Result

SHOWN = 20  # ours: rejected rows that the metrics name


def run(cfg: HumanLabelsStage, *, out: Path) -> Result:
    """Write `labels.parquet` to `out`; the metrics count what the file holds.

    Raises PreflabError if the file cannot be read or fetched, is another one than `sha256` says, or has more than
    `max_bad` bad rows.
    """
    labels = cfg.human_labels
    path, origin = _hub(labels) if labels.source == "hub" else (_local(labels), {})
    if labels.sha256 and (digest := wheels.digest(path)) != labels.sha256:
        raise PreflabError(
            f"{path}: found sha256 {digest}, expected {labels.sha256} (labeller.human_labels.sha256); "
            "is it another file?"
        )
    report = ingest.ingest(path, form=labels.format, max_bad=labels.max_bad, out=out / "labels.parquet")
    if report.refused:
        raise PreflabError(f"{report.refused} (of a cell: labeller.human_labels.max_bad={len(report.rejected)})")
    metrics = {
        "path": labels.path,
        **origin,
        "formats": report.formats,
        "summary": asdict(report.summary),
        "skipped": report.skipped,
        "rejected": len(report.rejected),
        "rejected_rows": [asdict(row) | {"file": Path(row.file).name} for row in report.rejected[:SHOWN]],
    }
    return Result(metrics)


def _local(labels: HumanLabelsSettings) -> Path:
    path = Path(labels.path).expanduser()
    if labels.sha256 and path.is_dir():
        raise PreflabError(
            f"labeller.human_labels.sha256: {path} is a folder, and only a file has a sha256; "
            "set labeller.human_labels.sha256=''"
        )
    return path


def _hub(labels: HumanLabelsSettings) -> tuple[Path, dict[str, Any]]:
    """The file in the hub's cache; its name and commit."""
    repository, _, revision = labels.path.partition("@")
    with hub.explained(f"labeller.human_labels.path={labels.path}", "name a file of yours: labeller=human"):
        commit = hub.commit_of("dataset", repository, revision)
        return hub.file("dataset", repository, commit, labels.file), {"file": labels.file, "commit": commit}
