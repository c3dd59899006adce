"""What the stages of a plan cost, kind by kind: floating-point operations (FLOPs), time and disk.

* FLOPs follow from the settings and the model's size (grid/flops.py).
* Time is estimated from similar stages on this machine.  If none has run, it is the FLOPs divided by the rate that this
  machine reached on stages of the kind, or by a rate that the user names.
* Disk: weights in fp32 by the model's size; other results by the sizes in dvc.lock of similar results.
"""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from preflab.grid import flops
from preflab.grid.instances import Grid, Instance
from preflab.grid.kinds import EVALUATIONS, KINDS
from preflab.plan import estimate
from preflab.plan.executions import MACHINE, PastRun, all_runs, estimates, of_machine

if TYPE_CHECKING:
    from preflab.build.dvc_state import DvcState

FP32 = 4  # bytes of a weight
ADAM = 2  # moments of each weight


class Cost(NamedTuple):
    """The cost of one stage, or of several added up.

    `flops`, `seconds` and `bytes` are sums over the stages for which they are known; `uncounted`, `untimed` and
    `unsized` are the numbers of the other stages.  `checkpoint`: bytes of the largest checkpoint, needed in addition to
    the results while its stage runs.
    """

    stages: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    bytes: float = 0.0
    checkpoint: float = 0.0
    uncounted: int = 0
    untimed: int = 0
    unsized: int = 0


class PlanCosts(NamedTuple):
    """The costs of a plan.

    `kinds`: the cost of each kind of stage; `rate`: FLOP/s over all stages that have run on this machine, None if none
    has; `device`: the machine, as its run records describe it.
    """

    kinds: dict[str, Cost]
    rate: float | None
    device: str

    @property
    def total(self) -> Cost:
        """The cost of all kinds."""
        return added(self.kinds.values())


def added(costs: Iterable[Cost]) -> Cost:
    """The sum of all fields; of `checkpoint` the largest."""
    rows = list(costs)
    sums = Cost(*(sum(column) for column in zip(*rows, strict=True))) if rows else Cost()
    return sums._replace(checkpoint=max((cost.checkpoint for cost in rows), default=0.0))


def of_plan(state: "DvcState", grid: Grid, stages: Iterable[str], tflops: float | None = None) -> PlanCosts:
    """The costs of `stages` (DVC's names) of a grid.

    With `tflops`, the time of a stage that computes is its FLOPs at that rate.
    """
    names = set(stages)
    instances = [instance for instance in grid.instances.values() if instance.stage in names]
    runs = of_machine(all_runs(state))
    estimated = estimates(state, [instance.stage for instance in instances])
    counted = [(run, operations(state, run.kind, run.settings, run.model)) for run in runs]
    rates = {kind: rate((run, n) for run, n in counted if run.kind == kind) for kind in KINDS}
    overall_rate = rate(counted)
    costs: dict[str, list[Cost]] = {}
    for instance in instances:
        base = base_model(instance)
        n = operations(
            state, instance.kind, instance.settings, base.id, base.settings, _training_queries(state, instance)
        )
        seconds = estimated[instance.stage]
        if n and tflops:
            seconds = n / (tflops * 1e12)
        elif n and seconds is None and (reached := rates[instance.kind] or overall_rate):
            seconds = n / reached
        shape = flops.shape(state.root, base.id, base.settings)
        size = _size(instance, shape, runs, state)
        costs.setdefault(instance.kind, []).append(
            Cost(
                stages=1,
                flops=n or 0.0,
                seconds=seconds or 0.0,
                bytes=size or 0.0,
                checkpoint=_checkpoint(instance, shape),
                uncounted=n is None,
                untimed=seconds is None,
                unsized=size is None,
            )
        )
    newest = runs[-1].record if runs else {}
    device = ", ".join(f"{key} {newest[key]}" for key in MACHINE if key in newest)
    return PlanCosts({kind: added(costs[kind]) for kind in KINDS if kind in costs}, overall_rate, device)


def base_model(instance: Instance) -> Instance:
    """The instance of the base model that `instance` starts from: its `model`, or that of its first upstream stage."""
    while instance.kind not in ("model", "pretrain") and instance.upstream:
        slot = "model" if "model" in instance.upstream else next(iter(instance.upstream))
        instance = instance.upstream[slot]
    return instance


def operations(
    state: "DvcState",
    kind: str,
    settings: Mapping[str, object],
    model: str,
    model_settings: Mapping[str, object] | None = None,
    queries: int | None = None,
) -> float | None:
    """FLOPs of a stage; None if the model's size or the number of training queries is not known.

    `settings`: those that the stage owns; `model`: the id of its base model; `model_settings`: those that the stage of
    the base model owns; `queries`: the number of training queries.
    """
    count = KINDS[kind].flops
    if count is None:
        return 0.0
    shape = flops.shape(state.root, model, model_settings)
    return count(settings, shape, queries) if shape else None  # type: ignore[arg-type]


def rate(counted: Iterable[tuple[PastRun, float | None]]) -> float | None:
    """FLOP/s over all runs, each given with its FLOPs; None if no run has any."""
    computed = [(n, run.timed.seconds) for run, n in counted if n]
    return sum(n for n, _ in computed) / sum(seconds for _, seconds in computed) if computed else None


def _training_queries(state: "DvcState", instance: Instance) -> int | None:
    """The number of training queries that the stage prepare has written for an instance; None if it has not run."""
    prepared = instance.upstream.get("prepare")
    file = state.root / prepared.at / "reports" / "prepare" / f"{prepared.id}.json" if prepared else None
    return json.loads(file.read_text()).get("queries_train") if file and file.exists() else None


def _size(instance: Instance, model: flops.Shape | None, runs: list[PastRun], state: "DvcState") -> float | None:
    """Bytes of an instance's results; None if they cannot be estimated from `runs` or dvc.lock."""
    kind, settings = instance.kind, instance.settings
    if copies := KINDS[kind].weights(settings):
        return FP32 * model.parameters * copies if model else None
    if settings.get("direct"):
        return 0.0
    if kind in EVALUATIONS or kind in ("comparisons", "human_comparisons"):
        sized = [run for run in runs if run.bytes]
        similar = [run for run in sized if run.kind == kind] or [run for run in sized if run.kind in EVALUATIONS]
        tokens = sum(_tokens(run.kind, run.settings) for run in similar)
        return sum(run.bytes for run in similar) / tokens * _tokens(kind, settings) if tokens else None
    record = state.records(instance.at).get(instance.stage.rpartition(":")[2])
    return float(sum(out.get("size", 0) for out in record["outs"])) if record else None


def _tokens(kind: str, settings: Mapping[str, object]) -> float:
    """The number of tokens in a table of comparisons or of samples, with which its size grows."""
    groups: dict[str, dict[str, int]] = settings  # type: ignore[assignment]
    query, response = groups["task"]["query_length"], groups["task"]["response_length"]
    if kind in ("comparisons", "human_comparisons"):
        return (groups["comparisons"]["num"] + groups["comparisons"]["heldout"]) * (query + flops.SAMPLES * response)
    return groups["evaluation"]["contexts"] * (query + response)


def _checkpoint(instance: Instance, model: flops.Shape | None) -> float:
    """Bytes of the checkpoint that a stage continues from: weights, moments, and the copies of Kind.resumes."""
    resumes = KINDS[instance.kind].resumes
    if resumes is None or model is None:
        return 0.0
    return FP32 * model.parameters * (1 + ADAM + resumes(instance.settings))


def text(costs: PlanCosts, tflops: float | None = None) -> str:
    """A table with a line for each kind and their sum, then notes on where the numbers come from."""
    rows = [("", "stages", "PFLOP", "time", "disk")]
    for kind, cost in [*costs.kinds.items(), ("all", costs.total)]:
        rows.append((kind, str(cost.stages), *_shown(cost)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for head, *numbers in rows:
        right = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join([head.ljust(widths[0]), *right]))
    return "\n".join([*lines, *_notes(costs, tflops)])


def _shown(cost: Cost) -> tuple[str, str, str]:
    """PFLOP, time and disk: `?` if unknown for all stages, `> …` if unknown for some, `–` if zero."""

    def part(value: str, amount: float, unknown: int) -> str:
        if unknown and not amount:
            return "?"
        return f"> {value}" if unknown else value if amount else "–"

    digits = 0 if cost.flops >= 1e17 else 2 if cost.flops >= 1e15 else 4
    return (
        part(f"{cost.flops / 1e15:,.{digits}f}", cost.flops, cost.uncounted),
        part(estimate.shown(cost.seconds), cost.seconds, cost.untimed),
        part(size_text(cost.bytes), cost.bytes, cost.unsized),
    )


def size_text(size: float) -> str:
    """`12 kB`, `3.1 GB`."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"


def _notes(costs: PlanCosts, tflops: float | None) -> list[str]:
    """How each column was estimated, a sentence each."""
    total, notes = costs.total, []
    if tflops:
        notes.append(
            f"time: PFLOP divided by {tflops:g} TFLOP/s, as you asked; stages that do not compute take as long as on "
            "this machine"
        )
    elif costs.rate:
        notes.append(
            f"time: estimated from the runs on this machine ({costs.device}; {costs.rate / 1e12:.2g} TFLOP/s overall), "
            "from PFLOP where no similar stage has run.  For another device give its rate: `--tflops N` "
            "(a sweep: +plan.tflops=N)"
        )
    else:
        notes.append(
            "time: unknown, because no stage has run on this machine; give a device's rate: `--tflops N` "
            "(a sweep: +plan.tflops=N)"
        )
    if total.bytes:
        notes.append(
            "disk: results; twice that where the file system cannot share files with DVC's cache"
            + (f"; {size_text(total.checkpoint)} more while the largest stage runs" if total.checkpoint else "")
        )
    if total.uncounted or total.untimed or total.unsized:
        notes.append("? or >: includes texts not fetched yet, models of unknown size, or stages like none that has run")
    return notes
