"""Text baselines, which need no model: one module each, with `respond(queries, references) -> texts`.

The module's name is `method.name` in conf/method/.  Its responses are evaluated like those of a policy (the kind of
stage `text`).
"""

from preflab import plugins
from preflab.errors import PreflabError


def names() -> list[str]:
    """Every baseline: the modules of this package, without importing them."""
    return plugins.names("evaluate.baselines")


def respond(name: str, queries: list[str], references: list[str | None]) -> list[str]:
    """A response to each query; `references`: those of the corpus, where it has some.

    Raises PreflabError unless the baseline returns one text for each query.
    """
    module = plugins.load("evaluate.baselines", name, "method.name")
    texts: list[str] = module.respond(queries, references)
    if len(texts) != len(queries) or not all(isinstance(text, str) for text in texts):
        raise PreflabError(f"method.name={name}: gave {len(texts)} responses to {len(queries)} queries, expected texts")
    return texts
