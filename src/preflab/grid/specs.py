"""conf/grid/NAME.yaml: which cells a grid has."""

from pathlib import Path
from typing import Any

from preflab.errors import PreflabError, did_you_mean
from preflab.grid.compose_cache import remembered
from preflab.grid.instances import Grid, expand
from preflab.grid.points import key_of, points

DEFAULT = "quick"


def names(root: Path) -> list[str]:
    """The names of the grids in conf/grid/."""
    return sorted(path.stem for path in (root / "conf" / "grid").glob("*.yaml"))


def spec(root: Path, name: str) -> dict[str, Any]:
    """The content of conf/grid/NAME.yaml.

    With `extends: OTHER` its `base` begins with that of the other grid, without the keys that it sets itself.  Raises
    PreflabError if one of the files does not exist or has an unknown key.
    """
    content = _read(root, name)
    if other_name := content.pop("extends", None):
        try:
            other = _read(root, other_name)
        except PreflabError as error:
            raise PreflabError(f"conf/grid/{name}.yaml: extends: {error}") from None
        if "extends" in other:
            raise PreflabError(
                f"conf/grid/{name}.yaml: extends: {other_name} extends a grid itself; name one that does not"
            )
        base = content.get("base") or []
        keys = {key_of(override) for override in base}
        content["base"] = [override for override in other.get("base") or [] if key_of(override) not in keys] + base
    return content


def _read(root: Path, name: str) -> dict[str, Any]:
    if name not in names(root):
        raise PreflabError(f"grid {name!r}: no such file in conf/grid/; {did_you_mean(name, names(root))}")
    from omegaconf import OmegaConf

    content: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(root / "conf" / "grid" / f"{name}.yaml"))  # type: ignore[assignment]
    allowed = ["extends", "base", "product", "include", "seeds", "zero_shot"]
    for key in content:
        if key not in allowed:
            raise PreflabError(f"conf/grid/{name}.yaml: {key}: no such key; {did_you_mean(key, allowed)}")
    return content


def build(root: Path, name: str) -> Grid:
    """The grid NAME, composed and checked.  Raises one PreflabError with every problem of every cell, a line each."""
    content = spec(root, name)
    with remembered(root) as answers:
        zero_shot = content.get("zero_shot", True)
        return expand(name, points(content), answers.compose, zero_shot=zero_shot, typed=answers.typed)
