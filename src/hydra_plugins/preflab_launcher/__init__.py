"""`hydra/launcher=dvc`: gets all points of a sweep at once, builds all stages that they need, then returns the results.

Hydra finds plugins only in the namespace `hydra_plugins` and imports them at every start: no heavy imports here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


@dataclass
class DvcLauncherConf:
    """`jobs`: the number of stages that run at the same time."""

    _target_: str = "hydra_plugins.preflab_launcher.DvcLauncher"
    jobs: int = 2


ConfigStore.instance().store(group="hydra/launcher", name="dvc", node=DvcLauncherConf, provider="preflab")


class DvcLauncher(Launcher):
    """Builds the stages of all points in one process; Hydra's jobs then only read the results."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from preflab.sweep.points import load
        from preflab.sweep.run import build

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        root = Path.cwd()
        sweep = self.config.sweep
        grid = load(root, [list(overrides) for overrides in job_overrides], sweep.grid, sweep.name)
        build(root, grid.graph(), self.jobs)
        return [self._result(list(overrides), initial_job_idx + i) for i, overrides in enumerate(job_overrides)]

    def _result(self, overrides: list[str], number: int) -> JobReturn:
        """Run one of Hydra's jobs, whose stages are built."""
        config: Any = self.context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        job = run_job(
            hydra_context=self.context,
            task_function=self.task,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        return job
