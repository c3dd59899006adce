"""Build the points of a sweep, whoever launches them, and record the result."""

import contextlib
import os
import threading
from pathlib import Path

from preflab.build.dvc_state import DvcState
from preflab.build.schedule import Outcome, Runner
from preflab.grid import instances_yaml
from preflab.grid.instances import Graph
from preflab.plan import costs
from preflab.plan.executions import estimates
from preflab.plan.reasons import plan
from preflab.records import spool, tracking
from preflab.records.results import CellFiles
from preflab.sweep.points import Sweep, load, remove, write


def plan_only(made: Sweep, jobs: int, tflops: float | None = None) -> None:
    """Say what would run, why, and how long it will take; with `tflops`, on a device of so many TFLOP/s.

    Settings files are written so that they can be compared; a new folder is removed.
    """
    from preflab.sweep.show import show_plan

    new = not (made.root / made.at).exists()
    write(made)
    try:
        state = DvcState(made.root)
        verdicts = plan(made.root, made.grid.graph(), state)
        to_run = [stage for stage, verdict in verdicts.items() if not verdict.cached]
        show_plan(made, verdicts, estimates(state, to_run), jobs)
        if to_run:
            print(costs.text(costs.of_plan(state, made.grid, to_run, tflops), tflops))
    finally:
        kept = any((made.root / made.at / name).exists() for name in ("dvc.lock", "data", "models"))
        if new and not kept:  # another process may have built something meanwhile
            remove(made)


def build(root: Path, graph: Graph, jobs: int) -> dict[str, Outcome]:
    """Bring the stages up to date; failures are said as they happen and do not stop the others.

    Meanwhile MLflow is imported and its store reached, two seconds that `finish` would otherwise wait.
    """
    stale = set(plan(root, graph))
    if stale:
        threading.Thread(target=_reach_mlflow, args=(root,), daemon=True).start()
    return _run(root, graph, stale, jobs)


def _reach_mlflow(root: Path) -> None:
    with contextlib.suppress(Exception):  # whatever it is, `finish` will say it
        spool.connect(root)


def _run(root: Path, graph: Graph, stale: set[str], jobs: int) -> dict[str, Outcome]:
    from preflab.sweep.show import bar, say, show_outcomes

    with bar(len(stale)) as advance:

        def done(stage: str, outcome: Outcome) -> None:
            advance(stage)
            if outcome.state == "failed":
                say(f"{stage} failed: {outcome.message} (all of it: outputs/logs/)")

        outcomes = Runner(root, jobs, say, done).run(graph, stale)
    show_outcomes(outcomes)
    return outcomes


def one(root: Path, overrides: list[str], grid_name: str, name: str, build_here: bool) -> float | None:
    """One job of Hydra: its cell's win rate, or None if a stage of it failed."""
    grid = load(root, [overrides], grid_name, name)
    if build_here:
        _run(root, grid.graph(), set(plan(root, grid.graph())), jobs=1)
    row = next(row for row in grid.cells.values() if row["labels"] is not None)
    return CellFiles(root, row).metrics().get("win_rate")


def finish(made: Sweep) -> int:
    """The table and the record in MLflow of what is up to date now; 1 if a point is not."""
    from rich.console import Console

    from preflab.sweep.show import table

    stale = plan(made.root, made.grid.graph())
    incomplete = {cell for cell in made.grid.cells if made.grid.stage_of(cell) in stale}
    Console(width=None if os.isatty(1) else 200).print(table(made, incomplete))
    about = instances_yaml.report_params(made.grid)
    about["cells"] = {cell: row for cell, row in about["cells"].items() if cell not in incomplete}
    tags = {"preflab.sweep": made.name, "preflab.overrides": " ".join(made.overrides)}
    run_id = tracking.log_grid(made.name, about, made.root, tags)
    print(f"MLflow: {run_id or 'away; the record is delivered later'} (`make ui`)")
    if made.own:
        print(f"results outside the grid: {made.at}")
    if incomplete:
        print(f"not finished: {', '.join(sorted(incomplete))}; the same command continues")
    return 1 if incomplete else 0
