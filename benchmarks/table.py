"""The results as Markdown."""

from collections.abc import Sequence
from typing import Any

from benchmarks import peak
from benchmarks.workloads import TITLES

Row = dict[str, Any]


def render(results: Row) -> str:
    """The whole page: machine, targets, works, rates, scaling, choices, peak."""
    parts = [_machine(results), _targets(results["targets"])]
    if results["rows"]:
        parts.append(_works(results["rows"]))
        parts += _older(results)
    if results["rates"]:
        parts.append(_rates(results["rates"]))
    if results["scaling"]:
        parts.append(_scaling(results["scaling"]))
    if results["precision"]:
        parts.append(_precision(results["precision"]))
    if results["waiting"]:
        parts.append(_waiting(results["waiting"]))
    parts.append(_peak(results["peak"]))
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; all columns but the first `left` are aligned to the right."""
    rule = ["---" if column < left else "---:" for column in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *rows])


def _cell(text: str) -> str:
    """Free text inside a table."""
    return text.replace("|", "\\|")


def _machine(results: Row) -> str:
    machine, commit = results["machine"], results["commit"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    speeds = {precision: peak.best(results["peak"], precision) for precision in ("fp32", "bf16")}
    peaks = ", ".join(f"{precision} {speed:,.0f} GFLOP/s" for precision, speed in speeds.items() if speed)
    return "\n".join(
        [
            f"# Benchmarks on {machine['name']}",
            "",
            f"`{results['command']}`, {results['date']}, commit {(commit['git_commit'] or '?')[:9]}"
            + (" with changes." if commit["dirty"] else "."),
            f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, "
            f"{machine['memory_gb']:g} GB, {machine['system']}. {versions}.",
            f"Peak of this machine in this run: {peaks} (below).",
        ]
    )


def _targets(targets: Sequence[Row]) -> str:
    verdict = {True: "yes", False: "no", None: "–"}
    rows = [[t["work"], t["target"], t["reached"] or "not measured", verdict[t["met"]]] for t in targets]
    return "## Targets\n\n" + table(["work", "target", "reached", "met"], rows)


def _works(rows: Sequence[Row]) -> str:
    header = [
        "work", "size", "who", "s", "best", "min–max", "by phase, s", "per second", "GFLOP needed", "of bf16 peak",
        "of fp32 peak", "peak memory, GB", "× peer", "× peer, best", "other CPU", "runs",
    ]  # fmt: skip
    titles = ", ".join(f"{work}: {TITLES[work]}" for work in dict.fromkeys(row["work"] for row in rows))
    note = (
        f"{titles}. Seconds are medians of an iteration; contenders ran in turn, and `× peer` is the median over the "
        "rounds of the peer's time over ours. Fractions of the peak are of the FLOPs that the work needs "
        "(benchmarks/flops.py); an implementation that needs fewer can pass 100 %. `other CPU`: what other "
        "processes took of the machine; distrust rows above 10 %."
    )
    return f"## Works\n\n{note}\n\n" + table(header, [_work(row) for row in rows], left=3)


def _older(results: Row) -> list[str]:
    """Which rows an earlier run has left; the peak that their fractions are of was that run's."""
    older = {f"{r['work']} {r['size']} ({r['date']})": None for r in results["rows"] if r["date"] != results["date"]}
    return [f"Of earlier runs: {', '.join(older)}."] if older else []


def _work(row: Row) -> list[str]:
    settings = row["settings"]
    start = [row["work"], f"{row['size']}, batch {settings['batch']}", row["who"]]
    if row.get("matmul") == "medium":
        start[2] += ", bf16 products"
    if "error" in row:
        return [*start, _cell(row["error"]), *[""] * 12]
    against = row.get("against")
    return [
        *start,
        f"{row['median']:.3g}", f"{row['low']:.3g}", f"{row['low']:.3g}–{row['high']:.3g}",
        ", ".join(f"{phase} {seconds:.3g}" for phase, seconds in row["phases"].items() if phase != "total"),
        f"{row['per_second']:.3g} {row['unit']}", f"{row['gflop']:,.0f}",
        *(f"{row['of_peak'][p]:.0%}" if p in row["of_peak"] else "–" for p in ("bf16", "fp32")),
        f"{row['memory'] / 1e9:.2f}",
        *(f"{against[how]:.2f}" if against else "" for how in ("median", "best")),
        f"{row['other_cpu']:.0%}", str(len(row["runs"])),
    ]  # fmt: skip


def _rates(rates: Sequence[Row]) -> str:
    rows = []
    for r in rates:
        figures = [_cell(r["error"]), "", ""] if "error" in r else [f"{r[k]:,.4g}" for k in ("median", "low", "high")]
        rows.append([r["work"], r["case"], *figures, r["unit"], str(r.get("runs", ""))])
    header = ["work", "case", "median", "min", "max", "unit", "runs"]
    return "## Labelling, evaluation, orchestration\n\n" + table(header, rows, left=2)


def _scaling(axes: Sequence[Row]) -> str:
    """A paragraph and a table for each axis."""
    parts = ["## Scaling of W1"]
    for axis in axes:
        grown = "too few points" if axis["exponent"] is None else f"time ∝ {axis['axis']}^{axis['exponent']:.2f}"
        rows = [
            [f"{p['x']:,.0f}", _cell(p["error"]), "", "", ""]
            if "error" in p
            else [
                f"{p['x']:,.0f}", f"{p['median']:.3g}", f"{p['low']:.3g}–{p['high']:.3g}",
                f"{p['gflop'] / p['median']:,.0f}", str(p["runs"]),
            ]
            for p in axis["points"]
        ]  # fmt: skip
        base = axis["points"][0]["size"]
        fixed = f"{base['layers']} × {base['width']}" if axis["axis"] != "model size" else "parameters of the trunk"
        header = [axis["axis"], "s", "min–max", "GFLOP/s needed", "runs"]
        parts.append(f"{axis['axis'].capitalize()} ({fixed}): {grown}\n\n" + table(header, rows, left=0))
    return "\n\n".join(parts)


def _precision(rows: Sequence[Row]) -> str:
    """A row a size: fp32, bf16 and auto side by side."""
    note = (
        "Seconds of a PPO iteration with `runtime.precision` fp32, bf16 and auto, medians of runs in turn; `× better` "
        "is auto's time over that of the better one. auto is chosen once per machine, by measurement."
    )
    cells = [
        [r["size"], _cell(r["error"]), *[""] * 4, ""]
        if "error" in r
        else [
            r["size"], *(f"{r['seconds'][p]:.3g}" for p in ("fp32", "bf16", "auto")), r["chose"],
            f"{r['median']:.2f}", str(r["runs"]),
        ]
        for r in rows
    ]  # fmt: skip
    header = ["size", "fp32, s", "bf16, s", "auto, s", "auto is", "× better", "runs"]
    return f"## Precision of products\n\n{note}\n\n" + table(header, cells)


def _waiting(rows: Sequence[Row]) -> str:
    """A row a setting of OpenMP, quiet and busy."""
    note = (
        "Seconds of a PPO iteration of `tiny` on an idle machine and beside one process that computes all the time, "
        "the best of runs in turn. A thread of OpenMP that waits for another one spins first, on a core that the other "
        "one may need. Ours (`preflab.cli`) is marked."
    )
    cells = [
        [r["case"], _cell(r["error"]), "", "", ""]
        if "error" in r
        else [
            f"{r['setting']}{' (ours)' if r['chosen'] else ''}", f"{r['quiet']:.3g}", f"{r['busy']:.3g}",
            f"{r['median']:.2f}", str(r["runs"]),
        ]
        for r in rows
    ]  # fmt: skip
    header = ["how threads wait", "quiet, s", "busy, s", "× quiet", "runs"]
    return f"## Threads that wait\n\n{note}\n\n" + table(header, cells)


def _peak(peaks: Sequence[Row]) -> str:
    rows = [
        [p["precision"], p["shape"], " × ".join(map(str, p["dimensions"])), f"{p['best']:,.0f}", f"{p['median']:,.0f}"]
        for p in peaks
    ]
    header = ["precision", "product", "rows × inner × columns", "best GFLOP/s", "median"]
    return "## Peak: matrix products\n\n" + table(header, rows, left=3)
