"""Floating-point operations of a stage: multiply and add of matrix products and attention, as the stages execute them.

With L layers of width w and P parameters in their matrices, V words, query Q and responses of R tokens, n of them:

    trunk, forward     2·P·(Q + nR)  +  4·L·w·(Q²/2 + n·(QR + R²/2))      (the query is read once for all n)
    head, forward      2·V·w·nR                                           (the vocabulary, on responses alone)
    training           3 × forward

Queries count in full, prefixes and suffixes not.  benchmarks/flops.py counts the same for what it measures.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

TRAINING = 3  # forward and backward, in forwards
SAMPLES = 4  # responses to a question
DRAWN = 2  # responses that are sampled for one that passes the end-token rule: what the first round takes


class Shape(NamedTuple):
    """Of a transformer; `inner`: width inside its MLP, `gated`: with a third matrix; `shared`: width of keys and
    values; `positions`: learned ones; `biases`: of every matrix and norm.
    """

    layers: int
    width: int
    vocabulary: int
    inner: int
    shared: int
    gated: bool = False
    positions: int = 0
    biases: bool = True

    @property
    def matrices(self) -> int:
        """Parameters in the matrices of all layers."""
        attention = 2 * self.width * (self.width + self.shared)
        return self.layers * (attention + (3 if self.gated else 2) * self.width * self.inner)

    @property
    def parameters(self) -> int:
        """All of them; the vocabulary counts once."""
        norm = self.width * (2 if self.biases else 1)
        biases = 3 * self.width + 2 * self.shared + self.inner if self.biases else 0  # q, k, v, output, MLP in and out
        return (
            self.matrices + self.layers * (2 * norm + biases) + norm + (self.vocabulary + self.positions) * self.width
        )

    def trunk(self, query: int, response: int, n: float = 1) -> float:
        """FLOPs of one forward pass over a query with n responses."""
        pairs = query**2 / 2 + n * (query * response + response**2 / 2)
        return 2.0 * self.matrices * (query + n * response) + 4.0 * self.layers * self.width * pairs

    def head(self, tokens: float) -> float:
        """FLOPs of the vocabulary matrix on so many tokens."""
        return 2.0 * self.vocabulary * self.width * tokens


def gpt2(layers: int, width: int, vocabulary: int = 50257, positions: int = 1024) -> Shape:
    return Shape(layers, width, vocabulary, 4 * width, width, positions=positions)


KNOWN = {  # models of conf/model/ that have to be fetched before their config.json can be read
    "gpt2": gpt2(12, 768),
    "gpt2-medium": gpt2(24, 1024),
    "gpt2-large": gpt2(36, 1280),
    "smollm2": Shape(30, 576, 49152, 1536, 192, gated=True, biases=False),
}


def shape(root: Path, name: str, settings: Mapping[str, Any] | None = None) -> Shape | None:
    """Of the base model `name`, with the `settings` of its stage; None if only its download could tell."""
    about = settings or {}
    if recipe := about.get("pretrain"):
        return gpt2(recipe["layers"], recipe["width"], recipe["vocab_size"], recipe["context"])
    model = about.get("model") or {}
    folders = [
        root / "models" / "base" / name,
        Path(__file__).parents[1] / "models" / "assets" / (model.get("path") or name),
    ]
    folders += [Path(model["path"])] if model.get("source") == "folder" else []
    for file in (folder / "config.json" for folder in folders):
        if file.exists():
            return of_config(json.loads(file.read_text()))
    return KNOWN.get(model.get("name") or name)


def of_config(config: Mapping[str, Any]) -> Shape:
    """From a config.json of transformers: GPT-2's, or one with the names of Llama."""
    if "n_embd" in config:
        found = gpt2(config["n_layer"], config["n_embd"], config["vocab_size"], config["n_positions"])
        return found._replace(inner=config.get("n_inner") or found.inner)
    width, heads = config["hidden_size"], config["num_attention_heads"]
    gated = "num_key_value_heads" in config
    size = config.get("head_dim") or width // heads
    return Shape(
        config["num_hidden_layers"],
        width,
        config["vocab_size"],
        config["intermediate_size"],
        size * config.get("num_key_value_heads", heads),
        gated=gated,
        biases=not gated,
    )


Settings = Mapping[str, Any]


def pretrain(owned: Settings, model: Shape, _queries: int | None) -> float:
    """FLOPs of training the model on the tokens of its recipe."""
    recipe = owned["pretrain"]
    sequence = model.trunk(recipe["length"], 0) + model.head(recipe["length"])
    return float(TRAINING * recipe["tokens"] / recipe["length"]) * sequence


def comparisons(owned: Settings, model: Shape, _queries: int | None) -> float:
    """FLOPs of sampling the responses of every comparison."""
    asked = owned["comparisons"]["num"] + owned["comparisons"]["heldout"]
    return asked * _question(model, *_lengths(owned))


def human_comparisons(owned: Settings, model: Shape, _queries: int | None) -> float:
    """FLOPs of the reference's samples, which set the scale of the scores; the labelled samples are given."""
    return owned["comparisons"]["heldout"] * _question(model, *_lengths(owned))


def reward(owned: Settings, model: Shape, _queries: int | None) -> float:
    """FLOPs of training a reward model, or of normalising the true score on samples."""
    query, response = _lengths(owned)
    if owned["direct"]:
        return float(owned["reward"]["normalize_samples"]) * (model.trunk(query, response) + model.head(response))
    return _training(model, query, response, owned["reward"], owned["initial"]["num"])


def ppo(owned: Settings, model: Shape, _queries: int | None) -> float:
    """FLOPs of a policy: rollouts, reference, reward model, epochs, and online labels.

    The reward model is counted for direct training too: 1 of 15 parts.
    """
    (query, response), policy = _lengths(owned), owned["policy"]
    trunk, head = model.trunk(query, response), model.head(response)
    total = policy["episodes"] * (3 * trunk + 2 * head + TRAINING * policy["epochs"] * (trunk + head))
    return float(total + (_online(model, query, response, owned["online"]) if owned["online"] else 0))


def sft(owned: Settings, model: Shape, queries: int | None) -> float | None:
    """FLOPs of every rate over the training set, and a validation of each and of the start.

    None where all `queries` are trained on and their number is not known yet.
    """
    query, response = _lengths(owned)
    settings = owned["sft"]
    train = settings["num_train"] if queries is None else min(queries, settings["num_train"] or queries)
    if train is None or settings["num_validation"] is None:
        return None
    trained = TRAINING * settings["lrs"] * settings["epochs"] * train
    validated = (settings["lrs"] + 1) * settings["num_validation"]
    return float(trained + validated) * (model.trunk(query, response) + model.head(response))


def evaluation(owned: Settings, model: Shape, _queries: int | None) -> float:
    """FLOPs of sampling and scoring the responses of an evaluation, and of the samples of the frontier."""
    query, response = _lengths(owned)
    trunk, head = model.trunk(query, response), model.head(response)
    total = owned["evaluation"]["contexts"] * (
        model.trunk(query, response, owned["n"]) + owned["n"] * (2 * trunk + 2 * head)
    )
    if frontier := owned.get("frontier"):
        samples = frontier["samples"]
        total += frontier["contexts"] * (model.trunk(query, response, samples) + model.head(samples * response))
    return float(total)


def _lengths(owned: Settings) -> tuple[int, int]:
    """Tokens of a query and of a response."""
    return owned["task"]["query_length"], owned["task"]["response_length"]


def _question(model: Shape, query: int, response: int) -> float:
    """Sampling the responses of one comparison."""
    drawn = SAMPLES * DRAWN
    return model.trunk(query, response, drawn) + model.head(drawn * response)


def _training(model: Shape, query: int, response: int, reward: Mapping[str, Any], labels: float) -> float:
    """A reward model on so many labels: its epochs, and normalisation before and after."""
    epochs = TRAINING * reward["epochs"] * labels * model.trunk(query, response, SAMPLES)
    times = reward["normalize_before"] + reward["normalize_after"]
    return epochs + times * reward["normalize_samples"] * (2 * model.trunk(query, response) + model.head(response))


def _online(model: Shape, query: int, response: int, online: Mapping[str, Any]) -> float:
    """Labels that come while the policy trains, and the reward models that are trained on them (paper §2.3)."""
    first, last, times = online["num_initial"], online["num_train"], online["retrainings"]
    asked = last - first + online["validation_share"] * last
    trained = [first + i / (times + 1) * (last - first) for i in range(1, times + 1)]
    trainings = sum(_training(model, query, response, online["reward"], labels) for labels in trained)
    return asked * _question(model, query, response) + trainings
