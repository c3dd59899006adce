"""Print what `dvc repro` would run for the grid of instances.yaml, and why, with FLOPs, time and disk.  Runs nothing.

For another grid type `python -m pipelines.grid NAME` first.
"""

import argparse
from pathlib import Path

from preflab import cli


def main() -> None:
    """`python -m pipelines.plan [--tflops N]`, see `--help`.

    Raises PreflabError if instances.yaml is older than conf/, or dvc.yaml or dvc.lock cannot be read.
    """
    parser = argparse.ArgumentParser(prog="python -m pipelines.plan", description=__doc__)
    parser.add_argument("--tflops", type=float, metavar="N", help="estimate times for a device that reaches N TFLOP/s")
    args = parser.parse_args()
    if args.tflops is not None and not 0 < args.tflops < float("inf"):
        parser.error(f"--tflops {args.tflops}: expected a number above 0")
    from preflab.build.dvc_state import DvcState
    from preflab.grid import instances_yaml
    from preflab.plan import costs
    from preflab.plan.reasons import NEVER, plan

    root = Path.cwd()
    built = instances_yaml.check(root)
    instances_yaml.write_params(root, built)
    state, graph = DvcState(root), built.graph()
    verdicts = plan(root, graph, state)
    print(f"{built.name}: {len(built.cells)} cells, {len(graph)} stages: {len(verdicts)} to do")
    for stage, verdict in verdicts.items():
        first = not graph[stage] & (verdicts.keys() - {"params"})  # the others are stale because of these
        if first and verdict.reasons != [NEVER]:
            print(f"  {'restore' if verdict.cached else 'run    '}  {stage}: {'; '.join(verdict.reasons)}")
    if to_run := [stage for stage, verdict in verdicts.items() if not verdict.cached]:
        print(costs.text(costs.of_plan(state, built, to_run, args.tflops), args.tflops))


if __name__ == "__main__":
    cli.main(main)
