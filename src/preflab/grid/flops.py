"""Floating-point operations (FLOPs) of a stage: a multiply or an add of a matrix product or of attention is one each.

L layers of width w, P parameters in their matrices, a vocabulary of V, a query of Q tokens, n responses of R tokens:

    trunk, forward     2·P·(Q + nR)  +  4·L·w·(Q²/2 + n·(QR + R²/2))      (the query is read once for all n)
    head, forward      2·V·w·nR                                           (logits of the responses alone)
    training           3 × forward

Queries are counted with their full length; prefixes and suffixes are not counted.  benchmarks/flops.py counts alike.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

TRAINING = 3  # a forward and a backward pass, in forward passes
SAMPLES = 4  # responses of a comparison
DRAWN = 2  # responses sampled for each that passes the end-token rule, as in the first round of sampling


class Shape(NamedTuple):
    """The sizes of a transformer.

    `inner`: width inside its MLP; `shared`: width of keys and of values; `gated`: the MLP has a third matrix;
    `positions`: the number of learned positions; `biases`: every matrix and norm has one.
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
        """All parameters; input and output embeddings, which are tied, count once."""
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
        """FLOPs of the vocabulary matrix on a number of tokens."""
        return 2.0 * self.vocabulary * self.width * tokens


def gpt2(layers: int, width: int, vocabulary: int = 50257, positions: int = 1024) -> Shape:
    """The shape of a model of GPT-2's architecture."""
    return Shape(layers, width, vocabulary, 4 * width, width, positions=positions)


SHAPES = {  # of the models of conf/model/ whose config.json is only there once they are fetched
    "gpt2": gpt2(12, 768),
    "gpt2-medium": gpt2(24, 1024),
    "gpt2-large": gpt2(36, 1280),
    "smollm2": Shape(30, 576, 49152, 1536, 192, gated=True, biases=False),
}


def shape(root: Path, name: str, settings: Mapping[str, Any] | None = None) -> Shape | None:
    """The shape of the base model `name`; None if it has not been fetched and is not in SHAPES.

    `settings`: those that the stage of the base model owns, if they are at hand.
    """
    owned = settings or {}
    if recipe := owned.get("pretrain"):
        return gpt2(recipe["layers"], recipe["width"], recipe["vocab_size"], recipe["context"])
    model = owned.get("model") or {}
    folders = [
        root / "models" / "base" / name,
        Path(__file__).parents[1] / "models" / "assets" / (model.get("path") or name),
    ]
    folders += [Path(model["path"])] if model.get("source") == "folder" else []
    for file in (folder / "config.json" for folder in folders):
        if file.exists():
            return of_config(json.loads(file.read_text()))
    return SHAPES.get(model.get("name") or name)


def of_config(config: Mapping[str, Any]) -> Shape:
    """The shape by a config.json of transformers, with the keys of GPT-2 or of Llama.

    Raises KeyError if the file has neither.
    """
    if "n_embd" in config:
        shape = gpt2(config["n_layer"], config["n_embd"], config["vocab_size"], config["n_positions"])
        return shape._replace(inner=config.get("n_inner") or shape.inner)
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
    num = owned["comparisons"]["num"] + owned["comparisons"]["heldout"]
    return num * _comparison(model, *_lengths(owned))


def human_comparisons(owned: Settings, model: Shape, _queries: int | None) -> float:
    """FLOPs of sampling the reference's responses that set the scale of the scores."""
    return owned["comparisons"]["heldout"] * _comparison(model, *_lengths(owned))


def reward(owned: Settings, model: Shape, _queries: int | None) -> float:
    """FLOPs of training a reward model, or of normalising the true score on samples."""
    query, response = _lengths(owned)
    if owned["direct"]:
        return float(owned["reward"]["normalize_samples"]) * (model.trunk(query, response) + model.head(response))
    return _training(model, query, response, owned["reward"], owned["initial"]["num"])


def ppo(owned: Settings, model: Shape, _queries: int | None) -> float:
    """FLOPs of training a policy: rollouts, reference, reward model, epochs, and online labels.

    The reward model is counted for direct training too: 1 of 15 parts.
    """
    (query, response), policy = _lengths(owned), owned["policy"]
    trunk, head = model.trunk(query, response), model.head(response)
    total = policy["episodes"] * (3 * trunk + 2 * head + TRAINING * policy["epochs"] * (trunk + head))
    return float(total + (_online(model, query, response, owned["online"]) if owned["online"] else 0))


def sft(owned: Settings, model: Shape, queries: int | None) -> float | None:
    """FLOPs of training at every rate, and of the validation losses of each and of the start.

    None if all `queries` are trained on and their number is not known yet.
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
    """The number of tokens of a query and of a response."""
    return owned["task"]["query_length"], owned["task"]["response_length"]


def _comparison(model: Shape, query: int, response: int) -> float:
    """FLOPs of sampling the responses of one comparison."""
    drawn = SAMPLES * DRAWN
    return model.trunk(query, response, drawn) + model.head(drawn * response)


def _training(model: Shape, query: int, response: int, reward: Mapping[str, Any], labels: float) -> float:
    """FLOPs of a reward model on `labels` labels: its epochs, and normalisation before and after."""
    epochs = TRAINING * reward["epochs"] * labels * model.trunk(query, response, SAMPLES)
    times = reward["normalize_before"] + reward["normalize_after"]
    return epochs + times * reward["normalize_samples"] * (2 * model.trunk(query, response) + model.head(response))


def _online(model: Shape, query: int, response: int, online: Mapping[str, Any]) -> float:
    """FLOPs of the comparisons collected while the policy trains, and of the reward models retrained on them (§2.3)."""
    first, last, times = online["num_initial"], online["num_train"], online["retrainings"]
    collected = last - first + online["validation_share"] * last
    trained = [first + i / (times + 1) * (last - first) for i in range(1, times + 1)]
    trainings = sum(_training(model, query, response, online["reward"], labels) for labels in trained)
    return collected * _comparison(model, query, response) + trainings
