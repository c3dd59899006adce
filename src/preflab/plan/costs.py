"""What the stages of a plan take, kind by kind: floating-point operations, time, disk.

Operations follow from settings and the model's size (grid/flops.py).  Time is that of similar stages on this machine;
where none has run, the operations at the rate that it reached on stages of the kind, or at one that the user names.
Disk: weights in fp32 by the model's size, other results by the sizes that dvc.lock has of their like.
"""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from preflab.grid import flops
from preflab.grid.instances import Grid, Instance
from preflab.grid.kinds import EVALUATIONS, KINDS
from preflab.plan import estimate
from preflab.plan.executions import MACHINE, Run, all_runs, estimates, of_machine

if TYPE_CHECKING:
    from preflab.build.dvc_state import State

FP32 = 4  # bytes
ADAM = 2  # moments of each weight


class Need(NamedTuple):
    """What one stage needs, or several added up.

    `seconds`, `flops` and `bytes` are sums over the stages for which they are known; `untimed`, `uncounted` and
    `unsized` count the others.  `checkpoint`: bytes beside the results while the largest stage runs.
    """

    stages: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    bytes: float = 0.0
    checkpoint: float = 0.0
    uncounted: int = 0
    untimed: int = 0
    unsized: int = 0


class Plan(NamedTuple):
    """`kinds`: the need of each; `rate`: FLOP/s of all stages that have run here, None if none has; on `device`."""

    kinds: dict[str, Need]
    rate: float | None
    device: str

    @property
    def total(self) -> Need:
        return added(self.kinds.values())


def added(needs: Iterable[Need]) -> Need:
    """The sum; of checkpoints the largest."""
    rows = list(needs)
    sums = Need(*(sum(column) for column in zip(*rows, strict=True))) if rows else Need()
    return sums._replace(checkpoint=max((need.checkpoint for need in rows), default=0.0))


def of_plan(state: "State", grid: Grid, stages: Iterable[str], tflops: float | None = None) -> Plan:
    """What the `stages` of a grid need; with `tflops`, those that compute take their operations at that rate."""
    wanted = set(stages)
    instances = [one for one in grid.instances.values() if one.stage in wanted]
    here = of_machine(all_runs(state))
    past = estimates(state, [one.stage for one in instances])
    counted = [(run, operations(state, run.kind, run.settings, run.model)) for run in here]
    rates = {kind: rate((run, n) for run, n in counted if run.kind == kind) for kind in KINDS}
    whole = rate(counted)
    needs: dict[str, list[Need]] = {}
    for one in instances:
        base = base_model(one)
        n = operations(state, one.kind, one.settings, base.id, base.settings, _examples(state, one))
        seconds = past[one.stage]
        if n and tflops:
            seconds = n / (tflops * 1e12)
        elif n and seconds is None and (reached := rates[one.kind] or whole):
            seconds = n / reached
        weights = flops.shape(state.root, base.id, base.settings)
        size = _size(one, weights, here, state)
        needs.setdefault(one.kind, []).append(
            Need(
                1,
                n or 0.0,
                seconds or 0.0,
                size or 0.0,
                _checkpoint(one, weights),
                n is None,
                seconds is None,
                size is None,
            )
        )
    newest = here[-1].record if here else {}
    device = ", ".join(f"{key} {newest[key]}" for key in MACHINE if key in newest)
    return Plan({kind: added(needs[kind]) for kind in KINDS if kind in needs}, whole, device)


def base_model(one: Instance) -> Instance:
    """The base model of an instance: its own, that of a supervised model, or the first that it reads."""
    while one.kind not in ("model", "pretrain") and one.upstream:
        roles = [role for role in ("model", *one.upstream) if role in one.upstream]
        one = one.upstream[roles[0]]
    return one


def operations(
    state: "State",
    kind: str,
    settings: Mapping[str, object],
    model: str,
    about: Mapping[str, object] | None = None,
    examples: int | None = None,
) -> float | None:
    """FLOPs of a stage; None where the model's size or the number of queries is not known."""
    count = KINDS[kind].flops
    if count is None:
        return 0.0
    shape = flops.shape(state.root, model, about)
    return count(settings, shape, examples) if shape else None  # type: ignore[arg-type]


def rate(counted: Iterable[tuple[Run, float | None]]) -> float | None:
    """FLOP/s over all of these runs; None without any."""
    known = [(n, run.past.seconds) for run, n in counted if n]
    return sum(n for n, _ in known) / sum(seconds for _, seconds in known) if known else None


def _examples(state: "State", one: Instance) -> int | None:
    """How many queries the stage prepare has written for this one, if it has run."""
    prepared = one.upstream.get("prepare")
    file = state.root / prepared.at / "reports" / "prepare" / f"{prepared.id}.json" if prepared else None
    return json.loads(file.read_text()).get("queries_train") if file and file.exists() else None


def _size(one: Instance, model: flops.Shape | None, here: list[Run], state: "State") -> float | None:
    """Bytes of an instance's results."""
    if copies := KINDS[one.kind].weights(one.settings):
        return FP32 * model.parameters * copies if model else None
    if one.settings.get("direct"):
        return 0.0
    if one.kind in EVALUATIONS or one.kind in ("comparisons", "human_comparisons"):
        sized = [run for run in here if run.bytes]
        like = [run for run in sized if run.kind == one.kind] or [run for run in sized if run.kind in EVALUATIONS]
        units = sum(_tokens(run.kind, run.settings) for run in like)
        return sum(run.bytes for run in like) / units * _tokens(one.kind, one.settings) if units else None
    record = state.records(one.at).get(one.stage.rpartition(":")[2])
    return float(sum(out.get("size", 0) for out in record["outs"])) if record else None


def _tokens(kind: str, settings: Mapping[str, object]) -> float:
    """What a table of comparisons or of samples grows with."""
    about: dict[str, dict[str, int]] = settings  # type: ignore[assignment]
    query, response = about["task"]["query_length"], about["task"]["response_length"]
    if kind in ("comparisons", "human_comparisons"):
        return (about["comparisons"]["num"] + about["comparisons"]["heldout"]) * (query + flops.SAMPLES * response)
    return about["evaluation"]["contexts"] * (query + response)


def _checkpoint(one: Instance, model: flops.Shape | None) -> float:
    """Bytes of what a stage keeps to continue from: weights, moments, an online reward model, the best of the rates."""
    resumes = KINDS[one.kind].resumes
    if resumes is None or model is None:
        return 0.0
    return FP32 * model.parameters * (1 + ADAM + resumes(one.settings))


def text(found: Plan, tflops: float | None = None) -> str:
    """A line for each kind, their sum, and what the numbers rest on."""
    rows = [("", "stages", "PFLOP", "time", "disk")]
    for kind, need in [*found.kinds.items(), ("all", found.total)]:
        rows.append((kind, str(need.stages), *_shown(need)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([*lines, *_notes(found, tflops)])


def _shown(need: Need) -> tuple[str, str, str]:
    """PFLOP, time and disk; `?` where nothing of it is known, `>` where something is not."""

    def part(value: str, known: float, missing: int) -> str:
        if missing and not known:
            return "?"
        return f"> {value}" if missing else value if known else "–"

    return (
        part(
            f"{need.flops / 1e15:,.{0 if need.flops >= 1e17 else 2 if need.flops >= 1e15 else 4}f}",
            need.flops,
            need.uncounted,
        ),
        part(estimate.shown(need.seconds), need.seconds, need.untimed),
        part(size_text(need.bytes), need.bytes, need.unsized),
    )


def size_text(size: float) -> str:
    """`12 kB`, `3.1 GB`."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"


def _notes(found: Plan, tflops: float | None) -> list[str]:
    total, notes = found.total, []
    if tflops:
        notes.append(f"time: PFLOP at {tflops:g} TFLOP/s, which you named; of stages that do not compute, as here")
    elif found.rate:
        notes.append(
            f"time: by the runs of this machine ({found.device}; {found.rate / 1e12:.2g} TFLOP/s over all); what has "
            "never run here by its PFLOP.  No other device is guessed at: name what yours reaches, "
            "`--tflops N` (a sweep: +plan.tflops=N)"
        )
    else:
        notes.append(
            "time: unknown, nothing has run here; name a device's rate: `--tflops N` (a sweep: +plan.tflops=N)"
        )
    if total.bytes:
        notes.append(
            "disk: results; DVC keeps them once more in its cache where the file system cannot share files"
            + (f"; {size_text(total.checkpoint)} beside them while the largest stage runs" if total.checkpoint else "")
        )
    if total.uncounted or total.untimed or total.unsized:
        notes.append("?, >: texts that were never fetched, models of unknown size, and what nothing like has run here")
    return notes
