"""Write cells.yaml and params/ from conf/: `python -m pipelines.grid [NAME]`.

With `--check`, the stage `params` of dvc.yaml: params/ alone.  Either way `dvc repro --dry` then knows what is stale.
"""

import argparse
from pathlib import Path

from preflab import cells, cli


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.grid", description=__doc__)
    parser.add_argument("name", nargs="?", help="a grid of conf/grid/ (default: the one that cells.yaml has, or quick)")
    parser.add_argument(
        "--check",
        action="store_true",
        help="fail if cells.yaml differs from what conf/ gives; else write params/",
    )
    args = parser.parse_args()
    root = Path.cwd()
    if args.check:
        cells.write_params(root, cells.check(root))
        return
    built = cells.build(root, args.name or cells.current_name(root) or cells.DEFAULT)
    changed = cells.write(root, built)
    cells.write_params(root, built)
    removed = cells.prune(root, built)
    counts = {kind: sum(i.kind == kind for i in built.instances.values()) for kind in cells.KINDS}
    print(f"cells.yaml: grid {built.name}, {len(built.cells)} cells" + ("" if changed else ", unchanged"))
    print("stages: " + ", ".join(f"{count} {kind}" for kind, count in counts.items() if count))
    if removed:
        print(f"removed {len(removed)} results of cells that are no longer in the grid (DVC's cache keeps them)")
    print("next: dvc repro")


if __name__ == "__main__":
    cli.main(main)
