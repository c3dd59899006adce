"""News stories as CNN's and the Daily Mail's are passed on: a file NAME.story each, summarised by its highlights.

    The bishop of the Fargo Catholic Diocese …

    @highlight

    Bishop John Folda is taking time off after being diagnosed

A folder of them:

    cnn/stories/<sha1 of the address>.story       at any depth
    all_train.txt, all_val.txt, all_test.txt      optional: the addresses of each split, one a line
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from preflab.corpora import Document, split_named
from preflab.corpora.readers import sources
from preflab.errors import PreflabError
from preflab.settings.data import CorpusSettings
from preflab.text.cleaning import CLEANERS, original
from preflab.text.files import SourceFile, lines, plain

MARK = "@highlight"


def read(path: Path, corpus: CorpusSettings) -> Iterator[Document]:
    """Text before the first `@highlight`, the highlights as reference; with lists of addresses, the listed ones."""
    stories = {source.stem: source for source in sources(path, corpus.files, (".story",))}
    splits = dict(listed(path, stories))
    clean = CLEANERS[corpus.clean]
    clean_reference = str.strip if corpus.clean == "none" else original
    for stem, source in stories.items():
        if splits and stem not in splits:
            continue
        text, highlights = parse(source)
        reference = clean_reference("\n".join(highlights))
        yield Document(clean(text), None, corpus.name, reference, splits.get(stem))


def parse(source: SourceFile) -> tuple[str, list[str]]:
    """A story's text and its highlights."""
    text = "".join(line for _, line in lines(source))
    body, *highlights = text.split(MARK)
    highlights = [" ".join(highlight.split()) for highlight in highlights]
    if not any(highlights):
        problem = f"nothing after {MARK}" if highlights else f"no line {MARK}"
        raise PreflabError(
            f"{source.name} line {text.count(chr(10))}: {problem}; expected a story and its highlights; is it cut off?"
        )
    return body.strip(), [highlight for highlight in highlights if highlight]


def listed(path: Path, stories: dict[str, SourceFile]) -> Iterator[tuple[str, str]]:
    """Stories and splits, from files such as all_train.txt; without such files, nothing."""
    for file in sorted(path.rglob("*.txt")) if path.is_dir() else []:
        split = split_named(file.stem)
        if split is None or not file.stem.startswith("all"):
            continue
        for number, line in lines(plain(file)):
            if not line.strip():
                continue
            stem = hashlib.sha1(line.strip().encode(), usedforsecurity=False).hexdigest()
            if stem not in stories:
                raise PreflabError(
                    f"{file} line {number}: {stem}.story of {line.strip()} is missing; "
                    "fetch all stories, or take the lists away: then documents are split by a hash"
                )
            yield stem, split
