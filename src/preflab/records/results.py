"""The result files of one cell, in the project's own folders or in a sweep's, and what they contain."""

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from preflab.files import numbers
from preflab.grid.instances import CellRow
from preflab.grid.kinds import KINDS, METHODS, ROW_IDS, kind_of_base, method_of
from preflab.plan import estimate
from preflab.plan.executions import RunRecord


class CellFiles:
    """The files of one cell's stages.

    `row`: the cell's row of params/report.yaml; its `at` has the folder, sweeps/NAME/, of each stage that a sweep has
    built.  `stages`: the id of each of its stages, by the key of the row: a kind, or a slot of kinds.BASE.  `last`: the
    kind of its evaluation.
    """

    def __init__(self, root: Path, row: CellRow) -> None:
        self.root, self.row = root, row
        self.last = METHODS[method_of(row)][-1]
        self.stages: dict[str, str] = row.get("base", {}) | {name: row[name] for name in ROW_IDS if row.get(name)}
        self.stages[self.last] = self.stages.pop("evaluate")

    def path(self, stage: str, template: str) -> Path:
        """The path that `template`, such as "reports/reward/{id}.json", has for the stage "reward"."""
        folder = self.row.get("at", {}).get("evaluate" if stage == self.last else stage, "")
        return self.root / folder / template.format(id=self.stages[stage])

    @property
    def samples(self) -> Path:
        """The table of samples that the evaluation wrote."""
        return self.path(self.last, "data/samples/{id}/samples.parquet")

    def metrics(self) -> dict[str, float]:
        """The final numbers of the evaluation; empty if it has not run."""
        path = self.path(self.last, "reports/metrics/{id}.json")
        return numbers(json.loads(path.read_text())) if path.exists() else {}

    def steps(self) -> Iterator[dict[str, Any]]:
        """MLflow's metrics: the training curve by episode (`curve/kl`), then the final numbers (`kl`, `reward/…`).

        Each item has `values`, and the `step` (in episodes) at which they stand.
        """
        episode = 0
        texts = self.texts()
        for row in csv.DictReader((texts.get("curve.csv") or "").splitlines()):
            episode = int(float(row["episode"]))
            values = {
                f"curve/{key}": float(value)
                for key, value in row.items()
                if value and key not in ("update", "step", "episode")
            }
            yield {"values": numbers(values), "step": episode}
        final = self.metrics()
        for name in ("comparisons", "reward"):
            if text := texts.get(f"{name}.json"):
                final |= {f"{name}/{key}": value for key, value in numbers(json.loads(text)).items()}
        yield {"values": final, "step": episode}

    def texts(self) -> dict[str, str]:
        """The content of the files that a report needs, by the names that they have in MLflow."""
        files = {
            name: self.path(stage, template)
            for stage in self.stages
            if stage != "zero_shot" or stage == self.last
            for name, template in KINDS[kind_of_base(stage)].results.items()
        }
        files["settings.yaml"] = self.path(self.last, f"params/{self.last}/{{id}}.yaml")
        texts = {name: path.read_text() for name, path in files.items() if path.exists()}
        return texts | {"runs.json": json.dumps(self.runs(), indent=2, sort_keys=True) + "\n"}

    def runs(self) -> dict[str, RunRecord]:
        """The run record of each stage, with its `work` (estimate.Work).

        A stage restored from DVC's cache may have none.  A record of other settings than the stage has now is left out:
        its execution did not write the present results.
        """
        records = {}
        for stage in self.stages:
            kind = kind_of_base(stage)
            record = self.path(stage, f"reports/runs/{kind}-{{id}}.json")
            params = self.path(stage, f"params/{kind}/{{id}}.yaml")
            if not record.exists() or not params.exists():
                continue
            run: RunRecord = json.loads(record.read_text())
            if run.get("params_sha256") == hashlib.sha256(params.read_bytes()).hexdigest():
                settings = yaml.load(params.read_text(), yaml.CSafeLoader)
                records[stage] = run | {"work": estimate.work(kind, settings, run["inputs"])}
        return records

    def tags(self, md5s: dict[str, str]) -> dict[str, str]:
        """MLflow's tags: for each stage of the cell its id, its MLflow run, and the md5 of its output.

        `md5s`: of all outputs, by path (provenance.recorded_md5s).
        """
        tags: dict[str, str] = {}
        for stage, identifier in self.stages.items():
            folder = KINDS[kind_of_base(stage)].folder
            out = self.path(stage, f"{folder}/{{id}}").relative_to(self.root).as_posix()
            tags |= {f"stage.{stage}.id": identifier, f"stage.{stage}.md5": md5s.get(out, "not recorded")}
        return tags | {f"stage.{stage}.run_id": str(run["run_id"]) for stage, run in self.runs().items()}
