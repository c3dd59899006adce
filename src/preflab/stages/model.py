"""Stage `model`: put one base model into a folder and check what preflab computes with it."""

import shutil
from pathlib import Path

from preflab.errors import PreflabError
from preflab.models import sources
from preflab.sampling import check_model
from preflab.settings.stages import ModelStage
from preflab.stages import Result


def run(cfg: ModelStage, *, out: Path) -> Result:
    """Write config, weights and tokenizer to `out`; raises PreflabError, and removes `out`, if the check fails."""
    sources.build(cfg.model, out)
    try:
        check_model.check(out)
    except PreflabError:
        shutil.rmtree(out)
        raise
    return Result({})
