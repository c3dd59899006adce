"""What a sweep prints: the plan before it, a progress bar while it runs, and the table of its points after it."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from preflab.build.schedule import Outcome
from preflab.grid.instances import Graph
from preflab.plan import estimate
from preflab.plan.reasons import Verdict
from preflab.records.results import CellFiles
from preflab.sweep.points import Sweep

NUMBERS = {  # metric → heading; the metric with "_se" is its standard error
    "win_rate": "win rate vs zero-shot",
    "true_score": "true score",
    "reward_model": "reward model",
    "kl": "KL (nats)",
}


def say(sentence: str) -> None:
    """Print a sentence to stderr at once."""
    print(sentence, file=sys.stderr, flush=True)


def show_plan(sweep: Sweep, verdicts: dict[str, Verdict], estimates: dict[str, float | None], jobs: int) -> None:
    """Print the stages that would run, why and how long, then those that are up to date, and the total time."""
    graph = sweep.grid.graph()
    done = len(graph) - len(verdicts)
    print(f"{len(sweep.grid.cells)} cells, {len(graph)} stages: {len(verdicts)} to do, {done} up to date")
    if sweep.has_stages:
        print(f"+ marks stages that only this sweep has, in {sweep.at}")
    prefix = f"{sweep.at}dvc.yaml:"
    for stage, verdict in verdicts.items():
        line = f"  {'restore' if verdict.cached else 'run    '}  {stage}: {'; '.join(verdict.reasons)}"
        if seconds := estimates.get(stage):
            line += f" (about {estimate.shown(seconds)})"
        print(line.replace(prefix, "+ "))
    for stage in graph:
        if stage not in verdicts:
            print(f"  cached   {stage}".replace(prefix, "+ "))
    if verdicts:
        print("(after: runs only if that stage's result changes; restore: DVC's cache has the result)")
    if estimates:
        print(time_text(graph, estimates, jobs))


def time_text(graph: Graph, estimates: dict[str, float | None], jobs: int) -> str:
    """`time: about 12 min one stage after another, 7 min with 2 at a time`, and how many stages have no estimate."""
    estimated = {stage: seconds for stage, seconds in estimates.items() if seconds is not None}
    unknown = len(estimates) - len(estimated)
    if not any(estimated.values()):
        return "time: unknown; no stage like these has run on this machine"
    serial, parallel = (estimate.shown(seconds) for seconds in estimate.times(graph, estimated, jobs))
    text = f"time: about {serial} one stage after another, {parallel} with {jobs} at a time"
    return text + (f"; not counting {unknown} like which none has run on this machine" if unknown else "")


@contextmanager
def bar(total: int) -> Iterator[Callable[[str], None]]:
    """A progress bar for `total` stages; yields a function to call with each finished stage.  Only in a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("stages", total=total)

        def advance(stage: str) -> None:
            progress.update(task, advance=1, description=stage.rpartition(":")[2])

        yield advance


def show_outcomes(outcomes: dict[str, Outcome]) -> None:
    """Print how many stages ended in each state."""
    counts = Counter(outcome.state for outcome in outcomes.values())
    words = {
        "fresh": "up to date",
        "ran": "ran",
        "restored": "restored from the cache",
        "unchanged": "unchanged",
    }
    words |= {"failed": "failed", "skipped": "skipped"}
    print("stages: " + ", ".join(f"{counts[state]} {word}" for state, word in words.items() if counts[state]))


def table(sweep: Sweep, incomplete: set[str]) -> Table:
    """A row for each point, the reference first; the title says whether labels are human or synthetic.

    `incomplete`: cells that are not up to date, shown without numbers.
    """
    settings = list(dict.fromkeys(key for row in sweep.grid.cells.values() for key in row["overrides"]))
    sources = {"synthetic" if row["synthetic"] else "human" for row in sweep.grid.cells.values()}
    scales = f"scale {sweep.grid.scale}, episodes {sweep.grid.episode_scale}"
    shown = Table(title=f"{sweep.name}  (labels: {' and '.join(sorted(sources))}; {scales})")
    shown.add_column("cell", no_wrap=True)
    for heading in [*(setting.rpartition(".")[2] for setting in settings), *NUMBERS.values()]:
        shown.add_column(heading, justify="right")
    for cell, row in sweep.grid.cells.items():
        metrics = {} if cell in incomplete else CellFiles(sweep.root, row).metrics()
        numbers = [_number(metrics, name) for name in NUMBERS]
        if cell in incomplete:
            numbers[0] = "not finished"
        shown.add_row(cell, *(str(row["overrides"].get(key, "")) for key in settings), *numbers)
    return shown


def _number(metrics: dict[str, float], name: str) -> str:
    """`0.512 ± 0.02`, the metric and its standard error; empty if it is missing."""
    if name not in metrics:
        return ""
    error = f" ± {metrics[name + '_se']:.2g}" if f"{name}_se" in metrics else ""
    return f"{metrics[name]:.3f}{error}"
