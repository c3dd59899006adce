"""How the report was made: measured and estimated wall times, versions, and the stages that each cell leads back to."""

from preflab.grid.kinds import KINDS
from preflab.plan import estimate
from preflab.report import captions
from preflab.report.cells.results import CellResults, GridResults, JsonObject
from preflab.report.table import Column, Table, TableRow, Value

CACHED = "restored from cache"
INTRODUCTION = (
    "The tables and claims name cells by number; each cell leads back to these stages. The same as one table: "
    "[tables/provenance.csv](tables/provenance.csv)."
)

RunRecord = JsonObject
Instances = dict[tuple[str, str], tuple[RunRecord | None, tuple[str, ...]]]


def instances(grid: GridResults) -> Instances:
    """(stage, instance id) -> its run record (None if restored from the cache) and the cells that use it."""
    records: Instances = {}
    for kind in KINDS:
        for cell in grid.cells:
            if instance := cell.instance(kind):
                record, users = records.get((kind, instance), (cell.runs.get(kind), ()))
                records[kind, instance] = (record, (*users, cell.id))
    return records


def stages(grid: GridResults) -> Table:
    """Wall time of each kind of stage over its instances, next to its estimate from the other instances."""
    every = instances(grid)
    estimates = estimated(every)
    rows = []
    for name in [*KINDS, "total"]:
        of_kind = {key: value for key, value in every.items() if name in (key[0], "total")}
        if of_kind:
            rows.append(_wall(name, of_kind, estimates))
    columns = (
        Column("stage", "stage"),
        Column("instances", "instances", "number", 0),
        Column("cached", CACHED, "number", 0),
        Column("wall", "wall time, s", "number", 1),
        Column("longest", "longest, s", "number", 1),
        Column("estimated", "estimated", "number", 0),
        Column("off", "off by, %", "number", 1),
        Column("most", "at most, %", "number", 1),
    )
    notes = (
        "Sum over the records of the instances; one without a record was restored from the cache.",
        "Estimated: the time of each instance from the records of all others and its labels, episodes or contexts, as "
        "the plan of a sweep does; the first of its kind has no estimate. Off by: the absolute differences over the "
        "time taken, of all and of the worst; tables/provenance.csv has every estimate.",
    )
    return captions.table(grid, "stages", "Wall time", columns, rows, notes)


def estimated(every: Instances) -> dict[tuple[str, str], float]:
    """Seconds for each instance from the records of all others, where that says anything."""
    past = {}
    for key, (record, _) in every.items():
        if record and "work" in record:  # MLflow gives it back as lists
            like, units = record["work"]
            past[key] = estimate.TimedWork(estimate.Work(tuple(like), tuple(units)), record["wall_s"])
    seconds = zip(past, estimate.left_out(list(past.values())), strict=True)
    return {key: estimated_s for key, estimated_s in seconds if estimated_s is not None}


def _wall(name: str, chosen: Instances, estimates: dict[tuple[str, str], float]) -> TableRow:
    walls = {key: record["wall_s"] for key, (record, _) in chosen.items() if record}
    values: dict[str, Value] = {"stage": name, "instances": len(chosen), "cached": len(chosen) - len(walls)}
    values |= {"wall": sum(walls.values()) if walls else None, "longest": max(walls.values(), default=None)}
    pairs = [(estimates[key], wall) for key, wall in walls.items() if key in estimates and wall > 0]
    values["estimated"] = len(pairs)
    if pairs:
        values["off"] = 100 * sum(abs(guess - wall) for guess, wall in pairs) / sum(wall for _, wall in pairs)
        values["most"] = 100 * max(abs(guess - wall) / wall for guess, wall in pairs)
    return TableRow(values, tuple(dict.fromkeys(cell for _, cells in chosen.values() for cell in cells)))


def provenance(grid: GridResults) -> Table:
    """Every stage instance: its users, its MLflow run, the commit, its settings, the md5 of its inputs."""
    rows = []
    every = instances(grid)
    estimates = estimated(every)
    for (kind, instance), (record, cells) in every.items():
        values: dict[str, Value] = {"stage": kind, "instance": instance, "run": CACHED}
        if record:
            inputs = "; ".join(f"{path} {md5}" for path, md5 in sorted(record["inputs"].items()))
            values |= {"run": record["run_id"] or "not in MLflow", "commit": commit(record)}
            values |= {"params": record["params_sha256"], "inputs": inputs}
            values |= {"started": record["started"], "wall": record["wall_s"]}
            values["estimate"] = estimates.get((kind, instance))
        rows.append(TableRow(values, cells))
    columns = (
        Column("stage", "stage"),
        Column("instance", "instance"),
        Column("run", "MLflow run"),
        Column("commit", "git commit"),
        Column("params", "sha256 of its params file"),
        Column("inputs", "md5 of its inputs"),
        Column("started", "started"),
        Column("wall", "wall time, s", "number", 1),
        Column("estimate", "estimated, s", "number", 1),
    )
    return captions.table(grid, "provenance", "Provenance of every number", columns, rows)


def lineage(cell: CellResults, grid: GridResults) -> list[tuple[str, str, RunRecord | None]]:
    """(stage, instance, record) of one cell, upstream first."""
    return [(*stage, record) for stage, (record, users) in instances(grid).items() if cell.id in users]


def commit(record: RunRecord) -> str:
    """The commit that a stage ran at, and whether its code or settings differed from it."""
    return f"{record['git_commit']}{' (with uncommitted changes)' if record['dirty'] else ''}"


def origin(record: RunRecord | None) -> str:
    """The run, commit and settings that made one stage's output."""
    if record is None:
        return CACHED
    run = f"MLflow run {record['run_id']}" if record["run_id"] else "not in MLflow"
    return f"{run}, commit {commit(record)}, params sha256 {record['params_sha256'][:12]}"


def markdown(grid: GridResults) -> str:
    """provenance.md: of each cell its stages, with the run, the commit and the inputs of each."""
    lines = [f"# Provenance of the grid `{grid.name}`", "", INTRODUCTION, ""]
    for number, cell in enumerate(grid.cells, 1):
        lines += [f'<a id="cell-{number}"></a>**{number}. {cell.id}** ({captions.source_text(cell)})', ""]
        for kind, instance, record in lineage(cell, grid):
            lines.append(f"* {kind} `{instance}`: {origin(record)}")
            inputs = sorted(record["inputs"].items()) if record else []
            lines += [f"  * input `{path}`, md5 `{md5}`" for path, md5 in inputs]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


NOISE = {
    "agreement": "two labellers agree on {:.0%}",
    "tau": "labeller's τ {:.3g}",
    "judge_tau": "judge's τ {:.3g}",
    "labeller_judge_correlation": "correlation of the two scores {:.2f}",
}


def _labelling(grid: GridResults) -> list[tuple[str, str]]:
    """Accuracy of the two classifiers on documents that neither was trained on, and the noise of their choices."""
    accuracies, noises = set(), set()
    for cell in grid.cells:
        for name in ("labeller", "judge"):
            start = f"{name}_accuracy_"
            shares = {k.removeprefix(start): v for k, v in sorted(cell.prepare.items()) if k.startswith(start)}
            if shares:
                accuracies.add(f"{name} " + ", ".join(f"{share:.1%} ({source})" for source, share in shares.items()))
        noise = [text.format(cell.comparisons[key]) for key, text in NOISE.items() if cell.comparisons.get(key)]
        noises.add(", ".join(noise))
    lines = [("Held-out accuracy", accuracies), ("Labeller and judge", noises - {""})]
    return [(name, "; ".join(sorted(texts, reverse=True)).replace("%", " %")) for name, texts in lines if texts]


def _human_labels(grid: GridResults) -> list[tuple[str, str]]:
    """Human labels: how many were used or left out, and whether the model reads other tokens than theirs."""
    texts = set()
    for cell in grid.cells:
        if not cell.row["synthetic"] and (about := cell.comparisons):
            text = f"{about['train']:,} to train on and {about['heldout']:,} held out, of {about['labels']:,}"
            gone = {key.removeprefix("left_out_"): n for key, n in sorted(about.items()) if key.startswith("left_out_")}
            if gone:
                text += "; left out: " + ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in gone.items())
            if about["retokenised"]:
                text += (
                    f"; {about['retokenised']:,} tokenised again from their text, as {cell.row['model']} has another "
                    "tokenizer than the labels"
                )
            if about["queries_cut"] or about["responses_cut"]:
                text += f"; cut to the task: {about['queries_cut']:,} queries, {about['responses_cut']:,} responses"
            texts.add(f"{cell.row['task']}: {text}")
    return [("Human labels", ". ".join(sorted(texts)))] if texts else []


def facts(grid: GridResults) -> list[tuple[str, str]]:
    """What a reader needs to know about the run, as pairs of a name and a sentence."""
    records = [record for record, _ in instances(grid).values() if record]
    labels = {captions.labels_text(grid, cell) for cell in grid.cells if cell.row["num_train"]}
    episodes = sorted({cell.row["episodes"] for cell in grid.cells if cell.row["episodes"]})
    seeds = sorted({cell.row["seed"] for cell in grid.cells if cell.row["seed"] is not None})
    sources = ", ".join(sorted({captions.source_text(cell) for cell in grid.cells}))
    wall = sum(record["wall_s"] for record in records)
    versions: dict[str, set[str]] = {}
    for record in records:
        for package, version in record["versions"].items():
            versions.setdefault(package, set()).add(version)
    packages = [f"{name} {' and '.join(sorted(numbers))}" for name, numbers in sorted(versions.items())]
    devices = sorted({f"{record['device']}, {record['cpu_threads']} CPU threads" for record in records})
    commits = sorted({commit(record) for record in records})
    return [
        ("Grid", grid.name),
        ("Scale", f"label budgets × {grid.scale}, episode budgets × {grid.episode_scale} of the paper's"),
        ("Labels", ", ".join(sorted(labels)) or "none"),
        ("Labels are from", f"{sources} (labeller: {captions.labellers(grid.cells)})"),
        *_human_labels(grid),
        *_labelling(grid),
        ("Episodes", ", ".join(f"{count:,}" for count in episodes) or "none"),
        ("Models", ", ".join(sorted({cell.row["model"] for cell in grid.cells}))),
        ("Seeds", ", ".join(map(str, seeds)) or "none"),
        ("Device", "; ".join(devices) or CACHED),
        ("Versions", ", ".join(packages) or CACHED),
        ("Git commit", ", ".join(commits) or CACHED),
        ("The paper's numbers", captions.SOURCES),
        ("Wall time", f"{wall / 60:.1f} minutes, summed over {len(records)} executed stages"),
    ]
