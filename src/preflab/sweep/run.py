"""Plan a sweep, build its points under any launcher of Hydra, and record the result."""

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


def plan_only(sweep: Sweep, jobs: int, tflops: float | None = None) -> None:
    """Print which stages would run, why, and how long they take, `jobs` at a time; with `tflops`, at that rate.

    Settings files are written so that they can be compared with dvc.lock; the folder of a new sweep is removed again.
    """
    from preflab.sweep.show import show_plan

    new = not (sweep.root / sweep.at).exists()
    write(sweep)
    try:
        state = DvcState(sweep.root)
        verdicts = plan(sweep.root, sweep.grid.graph(), state)
        to_run = [stage for stage, verdict in verdicts.items() if not verdict.cached]
        show_plan(sweep, verdicts, estimates(state, to_run), jobs)
        if to_run:
            print(costs.text(costs.of_plan(state, sweep.grid, to_run, tflops), tflops))
    finally:
        built = any((sweep.root / sweep.at / name).exists() for name in ("dvc.lock", "data", "models"))
        if new and not built:  # another process may have built stages meanwhile
            remove(sweep)


def build(root: Path, graph: Graph, jobs: int) -> dict[str, Outcome]:
    """Bring the stages of `graph` up to date, `jobs` at a time, and return their outcomes.

    A failure is printed when it happens and does not stop stages that do not depend on it.  Meanwhile a thread imports
    MLflow and reaches its store, which saves `finish` two seconds.
    """
    stale = set(plan(root, graph))
    if stale:
        threading.Thread(target=_reach_mlflow, args=(root,), daemon=True).start()
    return _run(root, graph, stale, jobs)


def _reach_mlflow(root: Path) -> None:
    with contextlib.suppress(Exception):  # `finish` reports it
        spool.connect(root)


def _run(root: Path, graph: Graph, stale: set[str], jobs: int) -> dict[str, Outcome]:
    from preflab.sweep.show import bar, say, show_outcomes

    with bar(len(stale)) as advance:

        def done(stage: str, outcome: Outcome) -> None:
            advance(stage)
            if outcome.state == "failed":
                say(f"{stage} failed: {outcome.message} (full log: outputs/logs/)")

        outcomes = Runner(root, jobs, say, done).run(graph, stale)
    show_outcomes(outcomes)
    return outcomes


def win_rate(root: Path, overrides: list[str], grid_name: str, name: str, build_first: bool) -> float | None:
    """The result of one of Hydra's jobs, a point of the sweep `name`: its win rate, None if one of its stages failed.

    `build_first`: build its stages in this process, as under a launcher other than ours.
    """
    grid = load(root, [overrides], grid_name, name)
    if build_first:
        _run(root, grid.graph(), set(plan(root, grid.graph())), jobs=1)
    row = next(row for row in grid.cells.values() if row["labels"] is not None)
    return CellFiles(root, row).metrics().get("win_rate")


def finish(sweep: Sweep) -> int:
    """Print the table of all points and record those that are up to date in MLflow.

    Returns the exit status: 0, or 1 if some point is not up to date.
    """
    from rich.console import Console

    from preflab.sweep.show import table

    stale = plan(sweep.root, sweep.grid.graph())
    incomplete = {cell for cell in sweep.grid.cells if sweep.grid.stage_of(cell) in stale}
    Console(width=None if os.isatty(1) else 200).print(table(sweep, incomplete))
    about = instances_yaml.report_params(sweep.grid)
    about["cells"] = {cell: row for cell, row in about["cells"].items() if cell not in incomplete}
    tags = {"preflab.sweep": sweep.name, "preflab.overrides": " ".join(sweep.overrides)}
    run_id = tracking.log_grid(sweep.name, about, sweep.root, tags)
    print(f"MLflow: {run_id or 'not reached; the record is delivered later'} (`make ui`)")
    if sweep.has_stages:
        print(f"results outside the grid: {sweep.at}")
    if incomplete:
        print(f"not finished: {', '.join(sorted(incomplete))}; the same command continues")
    return 1 if incomplete else 0
