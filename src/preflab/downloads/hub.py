"""Files of models and data sets of the Hugging Face hub, kept in the hub's own cache and verified.

huggingface_hub continues a download whose connection breaks, but throws away what a killed process had, and compares
sizes, not hashes.  So files are brought into its cache here, and it only links them:

    $HF_HOME/hub/models--openai-community--gpt2/
      blobs/ETAG.part                      continued by the next process that asks for the file
      blobs/ETAG                           verified: the ETag is the sha256 of large files, git's sha1 of small ones
      snapshots/COMMIT/model.safetensors   -> ../../blobs/ETAG

HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE hold.  No code of a repository is run.
"""

import hashlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from preflab import telemetry
from preflab.errors import PreflabError

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

WAITS = (1.0, 3.0)  # ours: seconds before the second and the third try
Answer = TypeVar("Answer")


def file(kind: str, repository: str, commit: str, name: str) -> Path:
    """One file of a repository (`kind`: model or dataset) at one commit, in the cache; it is verified every time.

    Raises PreflabError if the cached file is damaged, and what huggingface_hub raises (`explained` turns that into
    sentences) if it cannot be had.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    cached = try_to_load_from_cache(repository, name, revision=commit, repo_type=kind)
    if not isinstance(cached, str) and not offline():
        url = hf_hub_url(repository, name, repo_type=kind, revision=commit)
        about = patiently(lambda: get_hf_file_metadata(url))
        patiently(lambda: _download(url, about, folder_of(kind, repository) / "blobs" / str(about.etag)))
    path = Path(hf_hub_download(repository, name, repo_type=kind, revision=commit))
    blob = Path(os.readlink(path)) if path.is_symlink() else path
    if (found := _hash(path, blob.name)) not in (None, blob.name):
        path.unlink()
        (path.parent / blob).unlink(missing_ok=True)
        raise PreflabError(f"{path}: found {found}, the hub says {blob.name}; it is deleted, so type the same again")
    return path


@contextmanager
def explained(setting: str, alternative: str) -> Iterator[None]:
    """Raises what goes wrong with the hub as PreflabError of one sentence: the setting, the reason, what to do."""
    telemetry.off()
    try:
        from huggingface_hub import logging
        from huggingface_hub.errors import HfHubHTTPError
        from huggingface_hub.utils import httpx
    except ImportError as error:
        raise missing("huggingface_hub", setting) from error
    logging.set_verbosity_error()
    try:
        yield
    except (HfHubHTTPError, httpx.HTTPError, OSError, ValueError, RuntimeError) as error:
        if isinstance(error, OSError) and error.filename is not None:  # the disk's
            raise
        raise PreflabError(
            f"{setting}: cannot be had from the Hugging Face hub ({_reason(error)}); "
            f"check the name, see to the network{', or unset HF_HUB_OFFLINE' if offline() else ''}, or {alternative}"
        ) from error


def commit_of(kind: str, repository: str, revision: str) -> str:
    """The commit of a branch or tag (`""`: main), or of itself.  Offline, as it was when last asked.

    Raises ValueError if offline and never asked before.
    """
    from huggingface_hub import HfApi

    if re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    ref = folder_of(kind, repository) / "refs" / (revision or "main")
    if not offline():
        about = patiently(lambda: HfApi().repo_info(repository, revision=revision or None, repo_type=kind))
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(str(about.sha))
    elif not ref.is_file():
        raise ValueError(f"offline, and {ref} does not say which commit that is")
    return ref.read_text().strip()


def _download(url: str, about: "HfFileMetadata", blob: Path) -> None:
    """Fill a blob of the cache: continue a partial download, then verify the whole."""
    from filelock import FileLock

    blob.parent.mkdir(parents=True, exist_ok=True)
    part = blob.with_name(f"{blob.name}.part")
    with FileLock(f"{part}.lock"):
        for _ in range(2):  # once more from the start if the bytes are wrong
            if blob.exists():
                return
            while not _append(url, part, about.size):
                pass
            content = _hash(part, blob.name)
            if content in (None, blob.name):
                part.rename(blob)
                return
            part.unlink()
    raise PreflabError(f"{url}: found {content}, the hub says {blob.name}, twice; is HF_ENDPOINT a trusted mirror?")


def _append(url: str, part: Path, size: int | None) -> bool:
    """Fetch the rest of a file; False if the connection broke on the way, or if the file is longer than the hub's."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status, httpx
    from tqdm import tqdm

    seconds = constants.HF_HUB_DOWNLOAD_TIMEOUT
    begin = part.stat().st_size if part.exists() else 0
    headers = build_hf_headers() | {"Accept-Encoding": "identity", "Range": f"bytes={begin}-"}
    bar = {"unit": "B", "unit_scale": True, "desc": "download", "leave": False, "disable": not sys.stderr.isatty()}
    with part.open("ab") as stream:
        if begin == size:
            return True
        try:
            with get_session().stream("GET", url, headers=headers, timeout=seconds) as response:
                if begin and response.status_code == 416:  # longer than the hub's file
                    stream.truncate(0)
                    return False
                hf_raise_for_status(response)
                if response.status_code == 200:  # sent from the start
                    begin = stream.truncate(0)
                with tqdm(total=size, initial=begin, **bar) as progress:
                    for chunk in response.iter_bytes():
                        stream.write(chunk)
                        progress.update(len(chunk))
        except httpx.TransportError:
            stream.flush()
            if part.stat().st_size == begin:
                raise
            return False
    if size is not None and (found := part.stat().st_size) != size:
        raise ValueError(f"{url} ends after {found} bytes, the hub says {size}")
    return True


def _hash(path: Path, etag: str) -> str | None:
    """Of the kind that the ETag is: sha256 (64 digits), git's sha1 (40 digits); None for other ETags."""
    if re.fullmatch("[0-9a-f]{64}", etag):
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    if re.fullmatch("[0-9a-f]{40}", etag):
        content = path.read_bytes()  # git keeps small files only
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    return None


def patiently(ask: Callable[[], Answer]) -> Answer:
    """Ask again after a short while if the network or the server fails; not if the hub says no."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import httpx

    for wait in WAITS:
        try:
            return ask()
        except HfHubHTTPError as error:
            if error.response is None or error.response.status_code < 500:
                raise
        except (httpx.TransportError, ConnectionError):
            if offline():
                raise
        time.sleep(wait)
    return ask()


def offline() -> bool:
    """HF_HUB_OFFLINE."""
    from huggingface_hub import constants

    return constants.is_offline_mode()


def folder_of(kind: str, repository: str) -> Path:
    """Of the repository in the cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"{kind}s--{repository.replace('/', '--')}"


def _reason(error: BaseException) -> str:
    """What a library says, in a line: the first one, or the second where that only has an error's number."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[len(lines) > 1 and re.match(r"\d{3} Client Error", lines[0]) is not None].rstrip(".")


def missing(library: str, setting: str) -> PreflabError:
    """The error for a library that is not installed."""
    return PreflabError(f"{setting}: needs {library}; type `python -m pip install 'preflab[hub]'`")
