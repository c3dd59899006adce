"""W5: what `dvc repro`, plan, sweep, report and `--help` take in addition to the work of the stages.

On scratch workspaces with stub stages (tests/helpers/workspace.py): the project's conf/, dvc.yaml and orchestration,
and stages that take no time, or sleep.  `python -m benchmarks.orchestrator [WORD …]`: only the rows whose case contains
one of these words.
"""

import argparse
import importlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from preflab import cli, files
from preflab.grid.specs import build
from preflab.plan import estimate

Row = dict[str, Any]

ROOT = Path(__file__).resolve().parents[1]
INSTANCES = [25, 100, 400]
LABELS, COLLECTIONS = ["5k", "60k"], ["offline", "online"]
SHARED, EACH_SEED = 5, 11  # instances of this grid; of a seed 3 reward models, 4 policies and their evaluations
EXECUTED = 4  # stages that are executed to time one
WORKERS = 4
ASLEEP = 4.0  # seconds of a stage in the sweep that is timed
RECORDED = 1000  # stage runs of the report

sys.path.insert(0, str(ROOT / "tests"))
workspace: Any = importlib.import_module("helpers.workspace")

AT_SIZE = [
    "no-op dvc repro",
    "plan",
    "first plan after a change of conf/",
    "overhead of an executed stage, dvc repro",
    "overhead of an executed stage, sweep",
]
SWEEP = "sweep's overhead over a critical path"
REPORT = f"report from {RECORDED:,} recorded runs"

BUILD = """
import shlex, subprocess, sys
import networkx as nx
from dvc.repo import Repo
from dvc.stage.serialize import to_lockfile
from dvc.utils.serialize import dump_yaml

stub = compile(open("pipelines/ppo.py").read(), "stub", "exec")
with Repo(".") as repo, repo.lock:
    lock = {"schema": "2.0", "stages": {}}
    for stage in nx.dfs_postorder_nodes(repo.index.graph):
        words = shlex.split(stage.cmd)
        if words[2] == "pipelines.grid":
            subprocess.run(words, check=True)
        else:
            sys.argv = words[2:]
            try:
                exec(stub, {"__name__": "__main__"})
            except SystemExit:
                pass
        stage.save()
        stage.commit()
        lock["stages"].update(to_lockfile(stage))
    dump_yaml("dvc.lock", lock)
"""  # what `dvc repro` does, but dvc.lock is written once, not once a stage
RUNNER = """
import sys, time
from pathlib import Path
from preflab.build.schedule import Runner

ended = []
runner = Runner(Path(), 1, print, lambda *_: ended.append(time.monotonic()))
outcomes = runner.run({stage: set() for stage in sys.argv[1:]}, set(sys.argv[1:]))
assert {outcome.state for outcome in outcomes.values()} == {"ran"}
print(ended[0], ended[-1])
"""
LOG = """
import json, sys
from pathlib import Path
from preflab.records import tracking

assert tracking.log_grid("recorded", json.load(sys.stdin), Path.cwd(), {})
"""


def main() -> None:
    """Print every row as it comes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orchestrator", description=__doc__)
    parser.add_argument("cases", nargs="*", help="only the rows whose case contains one of these words")
    parser.add_argument("--runs", type=int, default=5, help="of each (default: %(default)s)")
    args = parser.parse_args()
    for row in measured(args.runs, args.cases):
        verdict = {True: ", met", False: ", missed", None: ""}[row["met"]]
        target = f"  (target {row['target']}{verdict})" if row["target"] else ""
        spread = f"{row['low']:.2f}–{row['high']:.2f}, {row['runs']} runs"
        print(f"{row['case']}: {row['median']:.2f} {row['unit']} [{spread}]{target}", flush=True)


def rows(runs: int = 5) -> list[Row]:
    """Every row of W5: `work`, `case`, `unit`, `median`, `low`, `high`, `runs`, `target`, `met` (None: no target)."""
    return list(measured(runs))


def measured(runs: int, words: list[str] | None = None) -> Iterator[Row]:
    """The rows, one after the other; with `words` only those whose case contains one of them."""

    def selected(*cases: str) -> bool:
        return not words or any(word in case for word in words for case in cases)

    with tempfile.TemporaryDirectory(prefix="preflab-") as scratch:
        for count in INSTANCES:
            if selected(*(f"{case}, {count} instances" for case in AT_SIZE)):
                for measurement in at_size(count, Path(scratch) / str(count), runs):
                    if selected(measurement["case"]):
                        yield measurement
        if selected(SWEEP):
            yield sweep_overhead(Path(scratch) / "sweep", runs)
        if selected(REPORT):
            yield from report(Path(scratch) / "report", runs)
        for name in sorted(path.stem for path in (ROOT / "pipelines").glob("[!_]*.py")):
            if selected(f"--help of {name}"):
                help_of = partial(run, ROOT, sys.executable, "-m", f"pipelines.{name}", "--help")
                yield row(f"--help of {name}", timed(runs, help_of))


def at_size(count: int, root: Path, runs: int) -> Iterator[Row]:
    """A grid of at least `count` stages, all of them built."""
    seeds = -(-(count - SHARED) // EACH_SEED)
    workspace.make(root, spec(seeds))
    run(root, sys.executable, "-c", BUILD)
    plan = partial(run, root, *sweep_line(seeds), "+plan=true")
    assert "up to date" in run(root, "dvc", "repro")
    assert ": 0 to do" in plan()
    noop, planned, first, by_dvc, by_sweep = (f"{case}, {count} instances" for case in AT_SIZE)
    last = count == INSTANCES[-1]
    yield row(noop, timed(runs, partial(run, root, "dvc", "repro")), 6.0 if last else None)
    yield row(planned, timed(runs, plan), 2.0 if last else None)
    yield row(first, timed(runs, plan, before=partial(shutil.rmtree, root / ".preflab")))
    yield row(by_dvc, executed_by_dvc(root, runs))
    yield row(by_sweep, executed_by_runner(root, runs))


def executed_by_dvc(root: Path, runs: int) -> list[float]:
    """Seconds that each further stage takes, without those of the stage itself."""
    stages, stub_seconds = rewards(root), stub(root)

    def forced(number: int) -> float:
        return timed(1, partial(run, root, "dvc", "repro", "-f", "-s", *stages[:number]))[0]

    return [(forced(EXECUTED + 1) - forced(1)) / EXECUTED - stub_seconds for _ in range(runs)]


def executed_by_runner(root: Path, runs: int) -> list[float]:
    """The same for what a sweep starts, one after the other."""
    stages, stub_seconds = rewards(root)[: EXECUTED + 1], stub(root)
    overheads = []
    for number in range(runs):
        for stage in stages:  # a seed that no run has had: nothing to restore
            file = root / "params" / "reward" / f"{stage.partition('@')[2]}.yaml"
            file.write_text(re.sub(r"(?m)^seed: .*", f"seed: {10_000 + number}", file.read_text()))
        said = run(root, sys.executable, "-c", RUNNER, *stages)
        first, last = said.split()
        overheads.append((float(last) - float(first)) / EXECUTED - stub_seconds)
    return overheads


def sweep_overhead(root: Path, runs: int) -> Row:
    """A sweep of 2 × 2 cells from nothing, every stage asleep: what it takes beyond the best schedule."""
    overheads = []
    for number in range(runs):
        folder = root / str(number)
        workspace.make(folder, spec(1))
        graph = build(folder, "quick").graph()
        stages = dict.fromkeys(graph, ASLEEP + stub(folder))
        check = partial(run, folder, sys.executable, "-m", "pipelines.grid", "--check")
        stages["params"] = statistics.median(timed(3, check))
        shutil.rmtree(folder / "params")
        best = estimate.times(graph, stages, WORKERS).parallel
        line = [*sweep_line(1), f"hydra.launcher.jobs={WORKERS}"]
        store = f"sqlite:///{folder}/mlflow.db"
        sweep = partial(run, folder, *line, STUB_SLOW="all", STUB_SECONDS=str(ASLEEP), MLFLOW_TRACKING_URI=store)
        overheads.append(timed(1, sweep)[0] - best)
    chain = longest(graph)
    case = f"{SWEEP} of {chain} stages, in all {len(graph)} of {ASLEEP:.0f} s, {WORKERS} workers"
    return row(case, overheads, 0.1 * best + 0.5 * chain)


def longest(graph: dict[str, set[str]]) -> int:
    """Stages on the longest chain."""
    depth: dict[str, int] = {}
    for stage, upstream in graph.items():  # upstream first
        depth[stage] = 1 + max((depth[other] for other in upstream), default=0)
    return max(depth.values())


def report(root: Path, runs: int) -> Iterator[Row]:
    """The report of a grid whose stages were RECORDED runs: from its files, and from MLflow."""
    fabricate: Any = importlib.import_module("helpers.report_files")
    policies = (RECORDED - len(fabricate.UPSTREAM)) // 3  # a record of reward, ppo and evaluate for each
    example = fabricate.CELLS["sentiment-5k-offline-1"]
    names = {f"sentiment-5k-offline-{seed}": (*example[:2], seed, *example[3:]) for seed in range(1, policies + 1)}
    fabricate.CELLS.update(names)
    about = fabricate.make_grid(root, list(names))
    shutil.copytree(ROOT / "conf", root / "conf")
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db"}
    run(root, sys.executable, "-c", LOG, stdin=json.dumps(about), **store)
    command = [sys.executable, "-m", "pipelines.report", "--out", "reports"]
    path = {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    # the first with MLflow away, or it would also record the grid there
    yield row(f"{REPORT}, from files", timed(runs, partial(run, root, *command, "params/report.yaml", **path)))
    remembered = partial(run, root, *command, "--from-mlflow", "recorded", **path, **store)
    yield row(f"{REPORT}, from MLflow", timed(runs, remembered))


def spec(seeds: int) -> dict[str, object]:
    """conf/grid/quick.yaml."""
    product = {"labels": LABELS, "collection": COLLECTIONS}
    return {**workspace.SMALL, "product": product, "seeds": list(range(1, seeds + 1))}


def sweep_line(seeds: int) -> list[str]:
    """The sweep of the same cells."""
    line = [sys.executable, "-m", "pipelines.sweep", "-m", f"labels={','.join(LABELS)}"]
    return [*line, f"collection={','.join(COLLECTIONS)}", f"seed={','.join(map(str, range(1, seeds + 1)))}"]


def rewards(root: Path) -> list[str]:
    """The reward stages, of which there are more than EXECUTED."""
    return [f"reward@{name}" for name in files.read(root / "instances.yaml")["reward"]]


def stub(root: Path) -> float:
    """Seconds of a stub by itself."""
    command = [sys.executable, "-m", "pipelines.fetch", "params/report.yaml", "--out", "out/of/nothing"]
    (root / "params").mkdir(exist_ok=True)
    (root / "params" / "report.yaml").touch()
    times = timed(3, lambda: run(root, *command))
    shutil.rmtree(root / "out")
    return statistics.median(times)


def run(root: Path, *command: str, stdin: str | None = None, **env: str) -> str:
    """A command as a user types it; its output."""
    done = subprocess.run(
        command, cwd=root, env=workspace.environment(**env), input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def timed(runs: int, what: Callable[[], object], before: Callable[[], object] = lambda: None) -> list[float]:
    """Seconds of each run; of several after a warm-up, which does not count."""
    seconds = []
    for _ in range(runs + (runs > 1)):
        before()
        start = time.monotonic()
        what()
        seconds.append(time.monotonic() - start)
    return seconds[-runs:]


def row(case: str, seconds: list[float], most: float | None = None) -> Row:
    """A row; `most` seconds are its target."""
    median = statistics.median(seconds)
    return {
        "work": "W5", "case": case, "unit": "s", "median": median, "low": min(seconds), "high": max(seconds),
        "runs": len(seconds), "target": None if most is None else f"≤ {most:.3g} s",
        "met": None if most is None else median <= most,
    }  # fmt: skip


if __name__ == "__main__":
    cli.main(main)
