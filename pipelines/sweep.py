"""Points around a grid, each stage run once, ready stages side by side.

    python -m pipelines.sweep -m labels=5k,60k collection=offline,online seed=1,2
    python -m pipelines.sweep -m policy.adaptive_kl.target=4,8,12 hydra.launcher.jobs=4
    python -m pipelines.sweep -m reward.lr=1e-4,3e-4 +plan=true        what would run, and why; runs nothing
    python -m pipelines.sweep -m labels=5k +plan=true +plan.tflops=200 the same, with times on a device of 200 TFLOP/s

`grid=NAME` takes another grid's `base` (conf/sweep.yaml).  `hydra/launcher=joblib` and others work as well.
"""

import math
import signal
import sys
from pathlib import Path
from typing import Any

import hydra

from preflab import cli
from preflab.errors import PreflabError
from preflab.records import tracking

OWN = ("grid", "plan", "plan.tflops")  # keys that Hydra never sees


@hydra.main(version_base="1.3", config_path="../conf", config_name="sweep")
def job(config: Any) -> float | None:
    """One point of Hydra's sweep: under our launcher its stages are done by now; under another they are built here."""
    from hydra.core.hydra_config import HydraConfig

    from preflab.sweep.run import one

    hydra_config = HydraConfig.get()
    ours = "preflab_launcher" in hydra_config.launcher._target_
    return one(
        Path.cwd(),
        list(hydra_config.overrides.task),
        config.sweep.grid,
        config.sweep.name,
        build_here=not ours,
    )


def main() -> int:
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    args = parser.parse_args()
    if args.help:
        print(__doc__)
        return 0
    if args.hydra_help or args.cfg or args.info or args.shell_completion:
        job()
        return 0
    from preflab.grid.overrides import check_typed
    from preflab.sweep.points import make, write
    from preflab.sweep.run import finish, plan_only

    root = Path.cwd()
    check_typed(args.overrides, root / "conf")
    own = dict(item.lstrip("+").split("=", 1) for item in args.overrides if _key(item) in OWN and "=" in item)
    typed = [item for item in args.overrides if _key(item) not in OWN]
    planned = own.get("plan", "false").lower()
    if planned not in ("true", "false"):
        raise PreflabError(f"+plan={own['plan']}: expected true or false")
    stages_at_a_time = jobs(typed)
    made = make(root, typed, own.get("grid") or default_grid(root))
    if planned == "true":
        plan_only(made, stages_at_a_time, tflops(own.get("plan.tflops")))
        return 0
    write(made)
    tracking.replay(root)
    signal.signal(signal.SIGTERM, _interrupt)
    flags = [flag for flag in sys.argv[1:] if flag not in args.overrides and flag not in ("-m", "--multirun")]
    sys.argv = [
        sys.argv[0],
        "--multirun",
        *flags,
        *made.overrides,
        f"sweep.grid={made.grid.name}",
        f"sweep.name={made.name}",
    ]
    job()
    return finish(made)


def default_grid(root: Path) -> str:
    """`grid` of conf/sweep.yaml.  (Typed, it never reaches Hydra: there `grid` is a folder of conf/.)"""
    from omegaconf import OmegaConf

    return str(OmegaConf.load(root / "conf" / "sweep.yaml").grid)


def jobs(typed: list[str]) -> int:
    """Stages at a time: what is typed for our launcher, or its default."""
    from hydra_plugins.preflab_launcher import DvcLauncherConf

    words = [item.partition("=")[2] for item in typed if item.lstrip("+").startswith("hydra.launcher.jobs=")]
    if not words:
        return DvcLauncherConf.jobs
    if not words[-1].isdecimal() or not 1 <= int(words[-1]) <= 1024:
        raise PreflabError(f"hydra.launcher.jobs={words[-1]}: must be a whole number from 1 to 1,024")
    return int(words[-1])


def _key(item: str) -> str:
    return item.lstrip("+").partition("=")[0]


def tflops(text: str | None) -> float | None:
    """`+plan.tflops`: what a device reaches, in TFLOP/s."""
    if text is None:
        return None
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < math.inf:
        raise PreflabError(f"+plan.tflops={text}: expected a number above 0, the TFLOP/s of a device")
    return found


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    cli.main(main)
