"""The one error that a user sees: a sentence or two with the file or key, what is wrong with it, and what to do.

Commands turn it into exit status 2 without a traceback (cli.py).
"""


class PreflabError(Exception):
    """Bad input, a missing file or a broken setting: something that the user can repair."""


def did_you_mean(word: str, choices: list[str]) -> str:
    """The choice nearest to `word`, if any is near, and the list of all choices: the end of an error message."""
    import difflib

    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}choices: {', '.join(sorted(choices))}"
