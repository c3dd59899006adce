"""Where the results of one cell are, in the project's own folders or in a sweep's, and what they say."""

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from preflab.files import numbers
from preflab.grid.kinds import INSTEAD, KINDS, METHODS, ROW_IDS, method_of
from preflab.plan import estimate

Row = dict[str, Any]


class CellFiles:
    """`row`: the cell's row of a instances.yaml; its `at` names the folder of each stage that a sweep has built."""

    def __init__(self, root: Path, row: Row) -> None:
        self.root, self.row = root, row
        self.last = METHODS[method_of(row)][-1]
        self.ids: dict[str, str] = row.get("base", {}) | {kind: row[kind] for kind in ROW_IDS if row.get(kind)}
        self.ids[self.last] = self.ids.pop("evaluate")
        self.kinds = list(self.ids)

    def path(self, kind: str, template: str) -> Path:
        """`path("reward", "reports/reward/{id}.json")`."""
        at = self.row.get("at", {}).get("evaluate" if kind == self.last else kind, "")
        return self.root / at / template.format(id=self.ids[kind])

    @property
    def samples(self) -> Path:
        return self.path(self.last, "data/samples/{id}/samples.parquet")

    def metrics(self) -> dict[str, float]:
        """The final numbers of the evaluation; empty if it is not there."""
        path = self.path(self.last, "reports/metrics/{id}.json")
        return numbers(json.loads(path.read_text())) if path.exists() else {}

    def steps(self) -> Iterator[dict[str, Any]]:
        """The training curve by episode (`curve/kl`), then the final numbers (`kl`, `reward/heldout_accuracy`)."""
        episode = 0
        for row in csv.DictReader((self.texts().get("curve.csv") or "").splitlines()):
            episode = int(float(row["episode"]))
            values = {
                f"curve/{key}": float(value)
                for key, value in row.items()
                if value and key not in ("update", "step", "episode")
            }
            yield {"values": numbers(values), "step": episode}
        final = self.metrics()
        for kind in [kind for kind in ("comparisons", "human_comparisons", "reward") if kind in self.kinds]:
            name = INSTEAD.get(kind, kind)
            path = self.path(kind, f"reports/{name}/{{id}}.json")
            if path.exists():
                final |= {f"{name}/{key}": value for key, value in numbers(json.loads(path.read_text())).items()}
        yield {"values": final, "step": episode}

    def texts(self) -> dict[str, str]:
        """The files that a report needs, by the names that they have in MLflow."""
        files = {"metrics.json": self.path(self.last, "reports/metrics/{id}.json")}
        files["settings.yaml"] = self.path(self.last, f"params/{self.last}/{{id}}.yaml")  # of the evaluation
        for kind in [kind for kind in ("prepare", "prepare_labelled", "comparisons", "human_comparisons") if kind in self.kinds]:
            name = INSTEAD.get(kind, kind)
            files[f"{name}.json"] = self.path(kind, f"reports/{name}/{{id}}.json")
        if "ppo" in self.kinds:
            files["curve.csv"] = self.path("ppo", "reports/curves/{id}.csv")
        if "reward" in self.kinds:
            files["reward.json"] = self.path("reward", "reports/reward/{id}.json")
        found = {name: path.read_text() for name, path in files.items() if path.exists()}
        return found | {"runs.json": json.dumps(self.runs(), indent=2, sort_keys=True) + "\n"}

    def runs(self) -> dict[str, Row]:
        """The record of the execution that made each stage, and the `work` that it was (estimate.Work).

        A stage restored from DVC's cache may have none.  A record of other settings than the stage has now is of an
        execution that did not make what is there.
        """
        found = {}
        for kind in self.kinds:
            record = self.path(kind, f"reports/runs/{kind}-{{id}}.json")
            params = self.path(kind, f"params/{kind}/{{id}}.yaml")
            if not record.exists() or not params.exists():
                continue
            run: Row = json.loads(record.read_text())
            if run.get("params_sha256") == hashlib.sha256(params.read_bytes()).hexdigest():
                settings = yaml.load(params.read_text(), yaml.CSafeLoader)
                found[kind] = run | {"work": estimate.work(kind, settings, run["inputs"])}
        return found

    def tags(self, md5s: dict[str, str]) -> dict[str, str]:
        """For each stage of the cell: what it is called, the MLflow run that made it, and the md5 of its output."""
        tags: dict[str, str] = {}
        for kind in self.kinds:
            out = self.path(kind, f"{KINDS[kind].folder}/{{id}}").relative_to(self.root).as_posix()
            tags |= {f"stage.{kind}.id": self.ids[kind], f"stage.{kind}.md5": md5s.get(out, "not recorded")}
        return tags | {f"stage.{kind}.run_id": str(run["run_id"]) for kind, run in self.runs().items()}
