"""Overrides of settings, KEY=VALUE, as a user types them in a shell."""

import re
import shlex


def in_quotes(key: str, text: str) -> str:
    """What to type so that Hydra takes `text` as it stands: `'corpus.path="/data/Müller (1).csv"'`.

    Hydra reads a backslash as one, except in front of a quote, where each must be doubled.
    """
    escaped = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), text)
    return shlex.quote(f'{key}="{escaped}"')
