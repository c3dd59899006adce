"""A sweep: cells with varied settings.  Each stage runs once, and stages that do not wait for others run in parallel.

    python -m pipelines.sweep -m labels=5k,60k collection=offline,online seed=1,2
    python -m pipelines.sweep -m policy.adaptive_kl.target=4,8,12 hydra.launcher.jobs=4
    python -m pipelines.sweep -m reward.lr=1e-4,3e-4 +plan=true        print what would run, and why; run nothing
    python -m pipelines.sweep -m labels=5k +plan=true +plan.tflops=200 the same, with times at 200 TFLOP/s

`grid=NAME` uses the `base` of another grid of conf/grid/.  `hydra/launcher=joblib` and other launchers work as well.
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

OPTIONS = ("grid", "plan", "plan.tflops")  # keys of this command, which Hydra never sees


@hydra.main(version_base="1.3", config_path="../conf", config_name="sweep")
def job(config: Any) -> float | None:
    """One of Hydra's jobs, a point of the sweep: its win rate, None if a stage failed.

    Our launcher has built the stages of all points before; under another launcher this job builds its own.
    """
    from hydra.core.hydra_config import HydraConfig

    from preflab.sweep.run import win_rate

    hydra_config = HydraConfig.get()
    ours = "preflab_launcher" in hydra_config.launcher._target_
    return win_rate(
        Path.cwd(),
        list(hydra_config.overrides.task),
        config.sweep.grid,
        config.sweep.name,
        build_first=not ours,
    )


def main() -> int:
    """`python -m pipelines.sweep -m KEY=A,B …`, see `--help`; the exit status is 1 if a point is not finished.

    Raises PreflabError for a wrong override, or if instances.yaml is older than conf/.
    """
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
    options = dict(item.lstrip("+").split("=", 1) for item in args.overrides if _key(item) in OPTIONS and "=" in item)
    typed = [item for item in args.overrides if _key(item) not in OPTIONS]
    planned = options.get("plan", "false").lower()
    if planned not in ("true", "false"):
        raise PreflabError(f"+plan={options['plan']}: expected true or false")
    stages_at_a_time = jobs(typed)
    sweep = make(root, typed, options.get("grid") or default_grid(root))
    if planned == "true":
        plan_only(sweep, stages_at_a_time, tflops(options.get("plan.tflops")))
        return 0
    write(sweep)
    tracking.replay(root)
    signal.signal(signal.SIGTERM, _interrupt)
    flags = [flag for flag in sys.argv[1:] if flag not in args.overrides and flag not in ("-m", "--multirun")]
    sys.argv = [
        sys.argv[0],
        "--multirun",
        *flags,
        *sweep.overrides,
        f"sweep.grid={sweep.grid.name}",
        f"sweep.name={sweep.name}",
    ]
    job()
    return finish(sweep)


def default_grid(root: Path) -> str:
    """The value of `grid` in conf/sweep.yaml.  (A typed `grid` never reaches Hydra, where it is a folder of conf/.)"""
    from omegaconf import OmegaConf

    return str(OmegaConf.load(root / "conf" / "sweep.yaml").grid)


def jobs(typed: list[str]) -> int:
    """The number of stages at a time: the typed `hydra.launcher.jobs`, or the default of our launcher.

    Raises PreflabError unless it is a whole number above 0.
    """
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
    """The value of `+plan.tflops`, the rate of a device in TFLOP/s; raises PreflabError unless it is above 0."""
    if text is None:
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < math.inf:
        raise PreflabError(f"+plan.tflops={text}: expected a number above 0, the TFLOP/s of a device")
    return rate


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    cli.main(main)
