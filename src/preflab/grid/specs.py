"""grid.specs"""

from pathlib import Path
from typing import Any

from preflab.errors import PreflabError, did_you_mean
from preflab.grid.compose_cache import remembered
from preflab.grid.instances import Grid, expand
from preflab.grid.points import key_of, points

DEFAULT = "quick"


def names(root: Path) -> list[str]:
    """The grids that conf/ offers."""
    return sorted(path.stem for path in (root / "conf" / "grid").glob("*.yaml"))


def spec(root: Path, name: str) -> dict[str, Any]:
    """conf/grid/NAME.yaml; with `extends: OTHER` the `base` of that grid in front, but for keys that it sets itself."""
    found = _spec(root, name)
    if other := found.pop("extends", None):
        try:
            there = _spec(root, other)
        except PreflabError as error:
            raise PreflabError(f"conf/grid/{name}.yaml: extends: {error}") from None
        if "extends" in there:
            raise PreflabError(f"conf/grid/{name}.yaml: extends: {other} extends a grid itself; name one that does not")
        own = found.get("base") or []
        keys = {key_of(override) for override in own}
        found["base"] = [override for override in there.get("base") or [] if key_of(override) not in keys] + own
    return found


def _spec(root: Path, name: str) -> dict[str, Any]:
    if name not in names(root):
        raise PreflabError(f"grid {name!r}: no such file in conf/grid/; {did_you_mean(name, names(root))}")
    from omegaconf import OmegaConf

    found: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(root / "conf" / "grid" / f"{name}.yaml"))  # type: ignore[assignment]
    allowed = ["extends", "base", "product", "include", "seeds", "zero_shot"]
    for key in found:
        if key not in allowed:
            raise PreflabError(f"conf/grid/{name}.yaml: {key}: no such key; {did_you_mean(key, allowed)}")
    return found


def build(root: Path, name: str) -> Grid:
    """The grid NAME, composed and checked."""
    wanted = spec(root, name)
    with remembered(root) as answers:
        zero_shot = wanted.get("zero_shot", True)
        return expand(name, points(wanted), answers.compose, zero_shot=zero_shot, typed=answers.typed)
