"""What is done to a text before it becomes a document: the cleaning that `corpus.clean` names, books cut to passages.

What the released code does to a text (language/datasets, cnndm.py) is stated in the docstrings; where an article comes
with its paragraphs joined by " . ", as on the Hugging Face hub, the same headers are found in that form.
"""

import re
from collections.abc import Callable, Iterable, Iterator

HEAD = 100  # ours: characters in which the dateline of a CNN article ends

_BREAK = r"(?:\s*\n|\s+\.(?=\s)|\s*$)\s*"  # the end of a header's line; the hub's form has a lone full stop there
BYLINE = re.compile(rf"By{_BREAK}[^\n.]{{1,60}}?{_BREAK}(?:and [^\n.]{{1,60}}?{_BREAK})*")
UPDATED = re.compile(rf".*\bUPDATED:{_BREAK}?\s*\d\d:\d\d[^\n.]*\b20\d\d{_BREAK}", re.DOTALL)
DATELINE = re.compile(r".*?\(CNN\)(?:\s*--)?\s*", re.DOTALL)
CURLY = str.maketrans("‘’“”", "''\"\"")

GUTENBERG_START = re.compile(r"\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG[^\n]*\n")
GUTENBERG_END = re.compile(r"\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG|^End of (?:[Tt]he )?Project Gutenberg", re.M)


def original(text: str) -> str:
    """As the released code cleans every text: ftfy, at most one empty line at a time, no space around."""
    import ftfy

    return re.sub(r"\n{3,}", "\n\n", ftfy.fix_text(text)).strip()


def cnndm(text: str) -> str:
    """As the released cnndm.py: also without highlights, byline, UPDATED line, dateline and curly quotes.

    By . Jane Doe . PUBLISHED: . 14:11 EST, 25 October 2013 . | . UPDATED: . 15:36 EST, 25 October 2013 . The bishop
    CAVITE CITY, Philippines (CNN)  -- At 16, Rhandolf
    """
    text = text.split("@highlight", 1)[0].strip()
    for header in (UPDATED, BYLINE):  # an UPDATED line ends all that stands before the article
        if found := header.match(text):
            text = text[found.end() :]
    dateline = DATELINE.match(text)
    if dateline and dateline.end() <= HEAD:
        text = text[dateline.end() :]
    return original(text.translate(CURLY))


def tldr(text: str) -> str:
    """The post alone, as the original asks about it: without `SUBREDDIT:`, `TITLE:`, `POST:` and the final `TL;DR:`."""
    _, found, post = text.partition("\nPOST: ")
    return original((post if found else text).strip().removesuffix("TL;DR:"))


def html(text: str) -> str:
    """HTML line breaks and runs of white space become one space (ours: the models here write single lines)."""
    return " ".join(re.sub(r"<br\s*/?>", " ", text).split())


def detokenized(text: str) -> str:
    """Words and signs that stand apart, as in the Penn Treebank, joined again, line by line; then `original`."""
    from nltk.tokenize.treebank import TreebankWordDetokenizer

    treebank = TreebankWordDetokenizer()
    return original("\n".join(treebank.detokenize(line.split()) for line in text.split("\n")))


CLEANERS: dict[str, Callable[[str], str]] = {
    "none": str,
    "original": original,
    "cnndm": cnndm,
    "tldr": tldr,
    "html": html,
    "detokenized": detokenized,
}


def passages(texts: Iterable[str], size: int) -> Iterator[str]:
    """Books cut, and short texts that follow each other joined, to passages of about `size` characters.

    A paragraph (lines up to an empty one) becomes a line; a passage ends behind a paragraph, or in a long one behind a
    sentence.  What Project Gutenberg prints around a book is left out.
    """
    waiting = ""
    for text in texts:
        for piece in _pieces(_body(text), size):
            waiting = f"{waiting} {piece}" if waiting else piece
            if len(waiting) >= size:
                yield waiting
                waiting = ""
        if waiting and len(text) >= size:  # a book has ended; the next one begins a passage
            yield waiting
            waiting = ""
    if waiting:
        yield waiting


def _body(book: str) -> str:
    """Without Project Gutenberg's header and licence."""
    start = GUTENBERG_START.search(book)
    book = book[start.end() :] if start else book
    end = GUTENBERG_END.search(book)
    return book[: end.start()] if end else book


def _pieces(text: str, size: int) -> Iterator[str]:
    """Paragraphs as single lines; those of more than `size` characters in parts that end with a sentence or a word."""
    for paragraph in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        line = " ".join(paragraph.split())
        begin = 0
        while len(line) - begin > size:
            sentence = max(line.rfind(f"{mark} ", begin, begin + size) for mark in ".!?") + 1
            end = sentence or line.rfind(" ", begin + 1, begin + size) + 1 or begin + size
            yield line[begin:end].strip()
            begin = end
        if rest := line[begin:].strip():
            yield rest
