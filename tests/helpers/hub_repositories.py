"""Models and data sets of a few kilobytes for hub_server."""

import gzip
import io
import json
import random

WEIGHTS = random.Random(0).randbytes(60_000)
TOY = {"config.json": b'{"model_type": "gpt2"}', "tokenizer.json": b"{}", "tokenizer_config.json": b"{}"}
CARD = b"""---
configs:
- config_name: 1.0.0
  data_files: [{split: train, path: 1.0.0/train-*}]
- config_name: 3.0.0
  data_files: [{split: train, path: 3.0.0/train-*}, {split: test, path: 3.0.0/test-*}]
---
"""


def parquet(rows: list[dict[str, object]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


def news(split: str, count: int) -> list[dict[str, object]]:
    words = random.Random(split)
    return [
        {"article": f"{split} {i}: {words.randbytes(30).hex()}.", "highlights": f"News {i}.", "id": str(i)}
        for i in range(count)
    ]


def jsonl(rows: list[dict[str, object]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


REPOSITORIES = {
    ("model", "org/toy"): TOY | {"model.safetensors": WEIGHTS, "pytorch_model.bin": b"pickle", "README.md": b"# toy"},
    ("model", "org/pickled"): TOY | {"pytorch_model.bin": b"pickle"},
    ("dataset", "org/news"): {
        "README.md": CARD,
        "3.0.0/train-00000-of-00002.parquet": parquet(news("train", 300)),
        "3.0.0/train-00001-of-00002.parquet": parquet(news("more", 200)),
        "3.0.0/test-00000-of-00001.parquet": parquet(news("test", 40)),
        "1.0.0/train-00000-of-00001.parquet": parquet(news("old", 10)),
    },
    ("dataset", "org/posts"): {
        "train.jsonl": jsonl([{"content": f"Post {i}.", "summary": None if i < 5 else "A post."} for i in range(400)]),
    },
    ("dataset", "org/packed"): {
        "data/train.jsonl.gz": gzip.compress(jsonl([{"text": f"Text {i}.", "label": i % 2} for i in range(30)])),
        "data/valid.jsonl.gz": gzip.compress(jsonl([{"text": "Other.", "label": 1}])),
        "README.md": b"# packed",
    },
    ("dataset", "org/code"): {"code.py": b"raise SystemExit('code of a repository was run')\n", "README.md": b"# code"},
    ("dataset", "org/pickles"): {"train.tar": b"tar", "README.md": b"# pickles"},
}
