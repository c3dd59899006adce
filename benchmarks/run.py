"""Measure preflab, the machine's peak and what a user would pick instead, into reports/benchmarks/DEVICE.json and .md.

Each measurement in a process of its own, a warm-up first.  Rows that are not measured this time stay in the files.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from preflab import cli
from preflab.errors import PreflabError, did_you_mean

WORKS = ["W1", "W2", "W3", "W4", "W5", "scaling", "precision", "waiting"]
SIZES = ["tiny", "S", "M", "L"]
KINDS = ("rows", "rates", "scaling", "precision", "waiting")  # of rows in the results

Row = dict[str, Any]


def main() -> None:
    """`python -m benchmarks.run [W1 … W5 scaling precision waiting]`, see `--help`."""
    args = arguments()
    from benchmarks import machine, measure, table, targets
    from preflab import files
    from preflab.records import provenance

    say("the machine's peak …")
    results = machine_and_peak()
    device = results["machine"]["device"]
    path = args.out / f"{machine.slug(results['machine'])}.json"
    results |= {
        "command": shlex.join(["python", "-m", "benchmarks.run", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "commit": provenance.commit(measure.ROOT),
    }  # fmt: skip
    before = json.loads(path.read_text()) if path.exists() else {}
    results |= {kind: before.get(kind, []) for kind in KINDS}
    for work in args.works:
        for kind, key, rows in measured(work, args, results):
            dated = [row | {"date": results["date"]} for row in rows]
            results[kind] = replaced(results[kind], dated, key)
            results["targets"] = targets.judge(results, device)
            files.write_json(path, results)
            path.with_suffix(".md").write_text(table.render(results))
    say(f"{path}, {path.with_suffix('.md')}")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"{', '.join(WORKS)}; all if none is named")
    parser.add_argument("--size", nargs="+", choices=SIZES, help="of W1–W3 and precision; all that fit the machine")
    parser.add_argument("--runs", type=int, default=5, help="runs after the warm-up (%(default)s)")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True, help="TRL and transformers too")
    parser.add_argument("--out", type=Path, default=Path("reports/benchmarks"), help="folder (%(default)s)")
    args = parser.parse_args()
    for work in args.works:
        if work not in WORKS:
            raise PreflabError(f"{work}: no such work; {did_you_mean(work, WORKS)}")
    if args.runs < 1:
        raise PreflabError(f"--runs {args.runs}: must be at least 1")
    args.works = args.works or WORKS
    return args


def machine_and_peak() -> Row:
    """What `python -m benchmarks.peak` finds."""
    from benchmarks import measure

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peak"], cwd=measure.ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    results: Row = json.loads(done.stdout)
    return results


def measured(work: str, args: argparse.Namespace, results: Row) -> Iterable[tuple[str, tuple[str, ...], list[Row]]]:
    """The rows of a work as they come: where they belong in the results, what identifies them there, the rows."""
    if work == "W4":
        yield "rates", ("work",), labelling(args.runs)
    elif work == "W5":
        yield "rates", ("work",), orchestration()
    elif work == "scaling":
        from benchmarks import scaling

        yield "scaling", ("axis",), scaling.measure(results["machine"], args.runs, say)
    elif work == "precision":
        from benchmarks import choices

        yield "precision", ("size",), choices.precision(results["machine"]["device"], args.runs, args.size, say)
    elif work == "waiting":
        from benchmarks import choices

        yield "waiting", ("work",), choices.waiting(args.runs, say)
    else:
        from benchmarks import workloads

        fit = {size.name: size for size in workloads.sizes(work, results["machine"]["device"])}
        for name in args.size or fit:
            if name in fit:
                yield "rows", ("work", "size"), model_work(work, fit[name], args, results["peak"])
            else:
                say(f"{work} {name}: not measured on this machine; left out")


def model_work(work: str, size: Any, args: argparse.Namespace, peaks: list[Row]) -> list[Row]:
    """W1, W2 or W3 at one size, ours and the peer's in turn."""
    from benchmarks import measure, rows, workloads

    peer = workloads.peer(work) if args.peers else None
    if args.peers and peer is None:
        say(f"{work}: TRL is not installed (`pip install '.[bench]'`), ours is measured alone")
    ours, *theirs = measure.in_turn([workloads.OURS[work], *([peer] if peer else [])], size, args.runs)
    compared = rows.of_work(work, size, ours, theirs, peaks)
    for row in compared:
        result = row.get("error") or f"{row['median']:.3g} s ({row['low']:.3g}–{row['high']:.3g})"
        ratio = f", {row['against']['median']:.2f} × {row['against']['who']}" if "against" in row else ""
        say(f"{work} {size.name} {row['who']}: {result}{ratio}")
    return compared


def labelling(runs: int) -> list[Row]:
    """W4."""
    from benchmarks import labelling, measure, rows, workloads

    rates = []
    for work in labelling.WORKS:
        (series,) = measure.in_turn([workloads.Contender("preflab", work.target)], None, runs)
        rates.append(rows.of_rate("W4", work.case, work.unit, work.items, series))
        say_rate(rates[-1])
    return rates


def orchestration() -> list[Row]:
    """W5."""
    from benchmarks import orchestrator

    rates = orchestrator.rows()
    for row in rates:
        say_rate(row)
    return rates


def replaced(old: list[Row], new: list[Row], key: tuple[str, ...]) -> list[Row]:
    """`old` with the rows of `new` in the place of those with the same `key`, in the order of works and sizes."""
    fresh = {tuple(row[k] for k in key) for row in new}
    rows = [row for row in old if tuple(row[k] for k in key) not in fresh] + new
    return sorted(rows, key=lambda row: (row.get("work", ""), SIZES.index(row.get("size", SIZES[0]))))


def say_rate(row: Row) -> None:
    """A row of W4 or W5."""
    say(f"{row['work']} {row['case']}: " + (row.get("error") or f"{row['median']:,.4g} {row['unit']}"))


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


if __name__ == "__main__":
    cli.main(main)
