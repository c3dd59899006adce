"""Stage `fetch`: download, or copy, one corpus to a folder."""

from pathlib import Path

from preflab.corpora import fetch
from preflab.settings.stages import FetchStage
from preflab.stages import Result


def run(cfg: FetchStage, *, out: Path) -> Result:
    """Write the files of the corpus to `out` (corpora/fetch.py); raises PreflabError if that fails."""
    fetch.fetch_corpus(cfg.corpus, out)
    return Result({})
