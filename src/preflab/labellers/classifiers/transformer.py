"""The paper's classifier r_s of the mock experiment: a small transformer that tells positive from negative (3.1.1).

The paper's has 6 layers, 8 heads and width 512 and learned from Amazon reviews; this one learns from the labelled
reviews of the corpus, with its own byte-level BPE.  The recipe is ours: windows of 16 tokens or more of a review with
the review's label, so that short texts are as familiar as long ones; AdamW, warm-up and linear fall, dropout 0.1.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from preflab.errors import PreflabError
from preflab.machine import runtime

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

PAD = 0
SHORTEST = 16  # tokens of a training window
WARMUP = 0.05  # of the steps
BATCH = 256  # texts that are scored at a time


@dataclass(frozen=True, slots=True)
class Shape:
    """Size of the model, as in the paper where it gives one; `length`: the first tokens of a text that are read."""

    layers: int = 6
    heads: int = 8
    width: int = 512
    vocabulary: int = 8192
    length: int = 128


@dataclass(slots=True)
class SentimentTransformer:
    """Log-odds that a text is positive."""

    shape: Shape
    tokenizer: "Tokenizer"
    network: "torch.nn.Module"

    def score(self, texts: list[str]) -> np.ndarray:
        """`[texts]` log-odds, float64."""
        import torch

        rows = _tokens(self.tokenizer, texts, self.shape.length)
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            batches = [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]
            logits = [self.network(_padded(batch, device)).double().cpu() for batch in batches]
        return torch.cat(logits).numpy() if logits else np.zeros(0)

    def accuracy(self, texts: list[str], labels: list[int]) -> float:
        """Share of texts on the right side of 0."""
        return float(np.mean((self.score(texts) > 0) == np.array(labels, dtype=bool)))

    def save(self, folder: Path, name: str) -> None:
        """`<name>.json` (shape and tokenizer) and `<name>.safetensors` (weights)."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        record = {"shape": asdict(self.shape), "tokenizer": json.loads(self.tokenizer.to_str())}
        (folder / f"{name}.json").write_text(json.dumps(record, sort_keys=True))
        weights = {key: value.cpu().contiguous() for key, value in self.network.state_dict().items()}
        save_file(weights, folder / f"{name}.safetensors")


def train(
    texts: list[str],
    labels: list[int],
    shape: Shape,
    epochs: int,
    batch_size: int,
    lr: float,
    threads: int,
    seed: int,
) -> SentimentTransformer:
    """Fit on texts with labels 0 and 1; deterministic for a number of `threads`.  `batch_size` in texts.

    Raises PreflabError if all labels are equal.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.functional import binary_cross_entropy_with_logits

    if len(set(labels)) < 2:
        raise PreflabError(f"corpus: {len(texts)} labelled texts, all of one label; a sentiment classifier needs both")
    device = runtime.start(threads)
    tokenizer = _train_tokenizer(texts, shape.vocabulary)
    rows = [row or [PAD] for row in _tokens(tokenizer, texts, None)]
    torch.manual_seed(runtime.seed_for(seed, "sentiment transformer"))  # initial weights and dropout
    network = _network(shape).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=0.01)
    steps = epochs * -(-len(rows) // batch_size)
    warmup = max(1, round(WARMUP * steps))
    target = torch.tensor(labels, dtype=torch.float32, device=device)
    rng = np.random.default_rng(runtime.seed_for(seed, "windows"))
    step = 0
    # the other kernels of attention add up in no fixed order on a GPU
    with sdpa_kernel(SDPBackend.MATH), runtime.progress(steps, "transformer") as bar:
        for _ in range(epochs):
            order = rng.permutation(len(rows))
            for chosen in np.array_split(order, -(-len(rows) // batch_size)):
                width = int(rng.integers(min(SHORTEST, shape.length), shape.length + 1))
                starts = [int(rng.integers(max(len(rows[i]) - width, 0) + 1)) for i in chosen]
                batch = [rows[i][start : start + width] for i, start in zip(chosen, starts, strict=True)]
                for group in optimizer.param_groups:
                    group["lr"] = lr * min(1.0, (step + 1) / warmup) * (1 - step / steps)
                logits = network(_padded(batch, device))
                loss = binary_cross_entropy_with_logits(logits, target[torch.from_numpy(chosen).to(device)])
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                step += 1
                bar.update()
    return SentimentTransformer(shape, tokenizer, network.eval())


def load(folder: Path, name: str, device: str = "cpu") -> SentimentTransformer:
    """What `SentimentTransformer.save` wrote; raises PreflabError if it did not."""
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    if not (folder / f"{name}.json").exists():
        raise PreflabError(f"{folder}/{name}.json: not found; the stage prepare trains it for labeller=transformer")
    record = json.loads((folder / f"{name}.json").read_text())
    shape = Shape(**record["shape"])
    network = _network(shape)
    network.load_state_dict(load_file(folder / f"{name}.safetensors"))
    tokenizer = Tokenizer.from_str(json.dumps(record["tokenizer"]))
    return SentimentTransformer(shape, tokenizer, network.to(device).eval())


def _network(shape: Shape) -> "torch.nn.Module":
    """Pre-norm encoder with learned positions; the mean of a text's last hidden states gives its log-odds."""
    import torch
    from torch import Tensor, nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(shape.vocabulary, shape.width)
            self.positions = nn.Embedding(shape.length, shape.width)
            nn.init.normal_(self.tokens.weight, std=0.02)
            nn.init.normal_(self.positions.weight, std=0.02)
            layer = nn.TransformerEncoderLayer(
                shape.width, shape.heads, 4 * shape.width, 0.1, "gelu", batch_first=True, norm_first=True
            )
            norm = nn.LayerNorm(shape.width)
            self.encoder = nn.TransformerEncoder(layer, shape.layers, norm, enable_nested_tensor=False)
            self.head = nn.Linear(shape.width, 1)

        def forward(self, tokens: Tensor) -> Tensor:
            """`[batch, length]` token ids to `[batch]` log-odds."""
            pads = tokens == PAD
            pads[:, 0] = False  # a text without a token is one pad
            hidden = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
            hidden = self.encoder(hidden, src_key_padding_mask=pads).masked_fill(pads[..., None], 0)
            return self.head(hidden.sum(1) / (~pads).sum(1, keepdim=True)).squeeze(1)

    return Network()


def _train_tokenizer(texts: list[str], vocabulary: int) -> "Tokenizer":
    """A byte-level BPE on lower-cased text; id 0 is the pad."""
    from tokenizers import ByteLevelBPETokenizer, Tokenizer

    trained = ByteLevelBPETokenizer(lowercase=True)
    trained.train_from_iterator(texts, vocabulary, special_tokens=["<pad>"], show_progress=False)
    return Tokenizer.from_str(trained.to_str())


def _tokens(tokenizer: "Tokenizer", texts: list[str], length: int | None) -> list[list[int]]:
    return [encoding.ids[:length] for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


def _padded(rows: list[list[int]], device: "torch.device") -> "torch.Tensor":
    """`[rows, longest]` token ids, padded on the right."""
    import torch

    longest = max(1, *map(len, rows))
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows], device=device)
