"""Files of human labels, written in the schema of each format from the same answers."""

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

PAD = 50259
QUERY_LENGTH, RESPONSE_LENGTH = 8, 4


@dataclass(frozen=True)
class Answer:
    """Someone's choice among texts."""

    query: str
    samples: tuple[str, ...]
    best: int
    labeller: str = ""


def ids(text: str, length: int) -> list[int]:
    """A text as token ids: its letters' codes, padded on the right."""
    return [ord(letter) for letter in text] + [PAD] * (length - len(text))


def letters(tokens: list[int]) -> str:
    """The text of `ids`."""
    return "".join(chr(token) for token in tokens if token != PAD)


def lm_human_preferences(answer: Answer) -> dict[str, Any]:
    samples = {f"sample{i}": ids(sample, RESPONSE_LENGTH) for i, sample in enumerate(answer.samples)}
    return {"query": ids(answer.query, QUERY_LENGTH), **samples, "best": answer.best}


def summarize_from_feedback(answer: Answer) -> dict[str, Any]:
    return {
        "info": {"id": "t3_1", "post": answer.query, "title": "a title", "subreddit": "AskReddit"},
        "summaries": [{"text": sample, "policy": f"sup{i}", "note": None} for i, sample in enumerate(answer.samples)],
        "choice": answer.best,
        "worker": answer.labeller,
        "batch": "batch9",
        "split": "train",
        "extra": {"confidence": 8},
    }


def hh_rlhf(answer: Answer) -> dict[str, Any]:
    chosen, rejected = answer.samples
    start = f"\n\nHuman: {answer.query}\n\nAssistant:"
    return {"chosen": start + chosen, "rejected": start + rejected}


def trl(answer: Answer) -> dict[str, Any]:
    chosen, rejected = answer.samples
    return {"prompt": answer.query, "chosen": chosen, "rejected": rejected}


def label_studio(answer: Answer) -> dict[str, Any]:
    value = {"selected": ("left", "right")[answer.best]}
    result = {"id": "r", "type": "pairwise", "from_name": "pick", "to_name": "answer1", "value": value}
    annotation = {"id": 7, "completed_by": answer.labeller, "result": [result], "was_cancelled": False}
    data = {"prompt": answer.query, "answer1": answer.samples[0], "answer2": answer.samples[1]}
    return {"id": 1, "data": data, "annotations": [annotation], "predictions": [], "meta": {"batch": 1}}


def argilla(answer: Answer) -> dict[str, Any]:
    names = [f"response-{i}" for i in range(len(answer.samples))]
    order = [names[answer.best], *(name for i, name in enumerate(names) if i != answer.best)]
    return {
        "id": "0001",
        "fields": {"prompt": answer.query, **dict(zip(names, answer.samples, strict=True))},
        "metadata": {"origin": "web"},
        "suggestions": {"preference": {"value": None, "score": None, "agent": None}},
        "responses": {"preference": [{"value": order, "user_id": answer.labeller}]},
        "vectors": {"v": [0.5]},
        "_server_id": None,
    }


def plain(answer: Answer) -> dict[str, Any]:
    samples = {f"sample{i}": sample for i, sample in enumerate(answer.samples)}
    return {"query": answer.query, **samples, "best": answer.best, "labeller": answer.labeller, "task": "tldr"}


FORMATS: dict[str, Callable[[Answer], dict[str, Any]]] = {
    "argilla": argilla,
    "hh_rlhf": hh_rlhf,
    "label_studio": label_studio,
    "openai_lm_human_preferences": lm_human_preferences,
    "openai_summarize_from_feedback": summarize_from_feedback,
    "plain": plain,
    "trl": trl,
}


def json_lines(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def json_array(records: list[dict[str, Any]]) -> bytes:
    return json.dumps(records).encode()


def as_csv(records: list[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(records[0]))
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode()


def parquet(records: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), sink)
    return sink.getvalue()


CONTAINERS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "jsonl": json_lines,
    "json": json_array,
    "csv": as_csv,
    "parquet": parquet,
}
FLAT = {"hh_rlhf", "plain", "trl"}  # what CSV can hold


def write(path: Path, data: bytes) -> Path:
    """A file of these bytes, gzipped or zipped (as `labels/NAME`) by its name."""
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(data, mtime=0))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"labels/{path.stem}", data)
    else:
        path.write_bytes(data)
    return path


def gpt2_folder(path: Path) -> Path:
    """A vocabulary of GPT-2's size and form whose first tokens are the letters of ASCII by their codes."""
    path.mkdir()
    shown = {code: chr(code) if 33 <= code <= 126 else chr(256 + code) for code in range(33)} | {127: chr(289)}
    tokens = [shown.get(code, chr(code)) for code in range(128)]
    vocabulary = {token: i for i, token in enumerate(tokens + [f"<{i}>" for i in range(128, 50256)])}
    (path / "encoder.json").write_text(json.dumps({**vocabulary, "<|endoftext|>": 50256}))
    return path
