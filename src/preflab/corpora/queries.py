"""Queries as the original cuts them out of documents (released language/datasets.py:49-64).

query_files.py has what a query is, and the files that they are kept in.
"""

from typing import TYPE_CHECKING, Any

from preflab import corpora
from preflab.corpora.query_files import Query
from preflab.models.encoding import token_id
from preflab.settings.data import QuerySettings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PREFIX = 400  # ours: characters that hold the window of 9 reviews in 10; 256 or 640 take a third longer in all


def window(tokens: list[int], length: int, start: int | None, end: int | None) -> list[int] | None:
    """The query in one text: what follows the first `start`, at most `length` tokens, through the last `end` in these.

    None if the text has no such window.

        It | was | . | I | saw | it | . | We | left | .          length 5, start = end = "."
                       └──── query ────┘
    """
    if start is not None:
        if start not in tokens[:-1]:
            return None
        tokens = tokens[tokens.index(start) + 1 :]
    tokens = tokens[:length]
    if end is not None:
        if end not in tokens:
            return None
        tokens = tokens[: len(tokens) - tokens[::-1].index(end)]
    return tokens or None


def first_tokens(texts: list[str], tokenizer: "Tokenizer", length: int, start: int | None) -> list[list[int]]:
    """The tokens of each text, at least as far as its `window` reaches.

    Most windows lie in the first `PREFIX` characters, and tokenizers read word by word from the left: but for the last
    word of a prefix that ends before a space, its tokens are those of the whole text.  A text that is one long word to
    its tokenizer, or whose window ends later, is encoded whole.
    """

    def encode(texts: list[str]) -> list[Any]:
        return tokenizer.encode_batch(texts, add_special_tokens=False)

    prefixes = [text if len(text) <= PREFIX else text[:PREFIX].rpartition(" ")[0] for text in texts]
    encoded: list[list[int]] = []
    undecided = []
    for text, prefix, encoding in zip(texts, prefixes, encode(prefixes), strict=True):
        tokens = encoding.ids
        if len(prefix) < len(text):
            words = encoding.word_ids
            tokens = tokens[: words.index(words[-1])] if words else []
            begin = 0 if start is None else tokens.index(start) + 1 if start in tokens else len(tokens)
            if begin + length > len(tokens):
                undecided.append(len(encoded))
        encoded.append(tokens)
    for i, encoding in zip(undecided, encode([texts[i] for i in undecided]), strict=True):
        encoded[i] = encoding.ids
    return encoded


def queries(
    documents: list[corpora.Document], tokenizer: "Tokenizer", query: QuerySettings, pad_id: int
) -> list[Query]:
    """One of every document that has a window, in their order.

    Raises PreflabError if `query.start_text` or `query.end_text` is not one token.
    """
    start = token_id(tokenizer, query.start_text) if query.start_text else None
    end = token_id(tokenizer, query.end_text) if query.end_text else None
    cut = []
    encoded = first_tokens([document.text for document in documents], tokenizer, query.query_length, start)
    for document, tokens in zip(documents, encoded, strict=True):
        inside = window(tokens, query.query_length, start, end)
        if inside is not None:
            padded = inside + [pad_id] * (query.query_length - len(inside))
            cut.append(Query(tokenizer.decode(inside), padded, document.reference))
    return cut
