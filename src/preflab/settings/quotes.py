"""Quotes around a value, for Hydra and for the shell."""

import re
import shlex


def in_quotes(key: str, *texts: str) -> str:
    """What to type so that Hydra takes each text as it stands: `'corpus.path="/data/Müller (1).csv"'`."""
    return shlex.quote(f"{key}=" + ",".join(map(_quoted, texts)))


def _quoted(text: str) -> str:
    """Hydra reads a backslash as one, except in front of a quote, where each must be doubled."""
    return '"' + re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), text) + '"'
