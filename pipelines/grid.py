"""Write instances.yaml and params/ from conf/: `python -m pipelines.grid [NAME]`.

`--check` is the stage `params` of dvc.yaml, which writes only params/.  `dvc repro --dry` then says what is stale.
"""

import argparse
from pathlib import Path

from preflab import cli
from preflab.grid import instances_yaml
from preflab.grid.specs import DEFAULT, build


def main() -> None:
    """`python -m pipelines.grid [NAME] [--check]`, see `--help`.

    Raises PreflabError for wrong settings, and with `--check` if instances.yaml is older than conf/.
    """
    parser = argparse.ArgumentParser(prog="python -m pipelines.grid", description=__doc__)
    parser.add_argument("name", nargs="?", help="a grid of conf/grid/ (default: that of instances.yaml, else quick)")
    parser.add_argument(
        "--check",
        action="store_true",
        help="fail if instances.yaml differs from what conf/ gives; else write params/",
    )
    args = parser.parse_args()
    root = Path.cwd()
    if args.check:
        instances_yaml.write_params(root, instances_yaml.check(root))
        return
    built = build(root, args.name or instances_yaml.current_name(root) or DEFAULT)
    changed = instances_yaml.write(root, built)
    instances_yaml.write_params(root, built)
    removed = instances_yaml.prune(root, built)
    counts = {kind: sum(i.kind == kind for i in built.instances.values()) for kind in instances_yaml.KINDS}
    print(f"instances.yaml: grid {built.name}, {len(built.cells)} cells" + ("" if changed else ", unchanged"))
    print("stages: " + ", ".join(f"{count} {kind}" for kind, count in counts.items() if count))
    if removed:
        print(f"removed {len(removed)} results of cells that are no longer in the grid (DVC's cache keeps them)")
    from preflab.plan.reasons import plan

    if restored := [stage for stage, verdict in plan(root, built.graph()).items() if verdict.cached]:
        print(f"in DVC's cache, and restored by the next build: {len(restored)} stages")
    print("next: dvc repro")


if __name__ == "__main__":
    cli.main(main)
