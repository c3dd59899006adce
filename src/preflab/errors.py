"""The one error that a user sees: a sentence or two that name the file or key, what was found and what to do.

Pipelines turn it into exit status 2 without a traceback (`cli.py`); a bug keeps its traceback.
"""


class PreflabError(Exception):
    """Bad input, a missing file or a broken setting: something that the user can repair."""


def did_you_mean(word: str, choices: list[str]) -> str:
    """The nearest choice and the list of all of them, for the end of an error message."""
    import difflib

    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}choices: {', '.join(sorted(choices))}"
