"""Baselines that no model writes: one module each, with `respond(queries, references) -> texts`.

The module's name, with `-` for `_`, is `method.name` in conf/method/.  Its responses are evaluated like those of a
policy (the kind of stage `text`).
"""

import importlib
import pkgutil

from preflab.errors import PreflabError, did_you_mean


def names() -> list[str]:
    """Every baseline: the modules of this package, none of them imported."""
    return [module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)]


def respond(name: str, queries: list[str], references: list[str | None]) -> list[str]:
    """A response to each query; `references`: those of the corpus, where it has some."""
    if name not in names():
        raise PreflabError(f"method.name={name}: no such baseline; {did_you_mean(name, names())}")
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    texts: list[str] = module.respond(queries, references)
    if len(texts) != len(queries) or not all(isinstance(text, str) for text in texts):
        raise PreflabError(f"method.name={name}: gave {len(texts)} responses to {len(queries)} queries, expected texts")
    return texts
