"""The examples of our own documents, so that tests can run what they show."""

import re
from pathlib import Path

from helpers import PROJECT


def section(document: str, heading: str) -> str:
    """A section of a document, from its heading (`## A task of your own`) to the next of its level or above."""
    level, lines, code = heading.index(" "), [], False
    everything = (PROJECT / document).read_text().splitlines(keepends=True)
    for line in everything[everything.index(f"{heading}\n") + 1 :]:
        code ^= line.startswith("```")
        if not code and re.match(f"#{{1,{level}}} ", line):
            break
        lines.append(line)
    return "".join(lines)


def files(section: str) -> dict[str, str]:
    """Its files: a block of code behind a path and a colon, "`conf/task/simple.yaml`:"."""
    return dict(re.findall(r"`([\w./-]+)`:\n\n```\w+\n(.*?)```", section, re.DOTALL))


def commands(section: str) -> list[str]:
    """The lines of its shell blocks, without comments."""
    lines = "".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL)).splitlines()
    return [line.partition(" #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def place(found: dict[str, str], root: Path) -> None:
    """Write files below `root`, none of which may be there yet."""
    for name, text in found.items():
        path = root / name
        assert not path.exists(), f"{name} is there already"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
