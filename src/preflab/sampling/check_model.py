"""The check of the stage `model`: this project computes the same with a base model as the model's plain forward pass.

A random batch of queries of different lengths, padded on the left, goes through log-probabilities, a greedy and a
sampled continuation and the trunk of a reward model.  Every row is compared with the model's plain forward pass over
that row alone: no pads, no cache, no explicit positions.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from preflab.errors import PreflabError
from preflab.machine import runtime
from preflab.models import causal_lm, reward_model
from preflab.sampling import rollout

LENGTHS = (16, 1, 6, 11)  # tokens of the queries (ours)
RESPONSE = 6  # tokens (ours)
TEMPERATURE = 0.7  # paper §2.2
GREEDY = 1e-4  # ours: a temperature at which the likeliest token is certain, but for ties
TOLERANCE = 1e-4  # of log-probabilities (ours): sums in another order differ by 1e-6 in a small model
TIE = 20 * GREEDY  # logits that are nearer are a tie: e^-20 is the chance of the lesser


def check(folder: Path) -> None:
    """Raises PreflabError unless the base model in `folder` loads whole and its numbers agree, in fp32."""
    tokenizer, vocabulary = causal_lm.load_tokenizer(folder), causal_lm.pad_id(folder)
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if largest >= vocabulary:
        raise PreflabError(
            f"{folder}: tokenizer.json has ids up to {largest}, config.json says vocab_size={vocabulary}; expected at "
            f"least {largest + 1}: take the tokenizer that belongs to these weights"
        )
    context = causal_lm.context_length(folder)
    config = json.loads((folder / "config.json").read_text())
    name = (config.get("architectures") or [config.get("model_type", "a model without model_type")])[0]
    with torch.random.fork_rng(), _refused(folder, name):
        device = runtime.start(torch.get_num_threads())
        lm = causal_lm.load_causal_lm(folder, device).requires_grad_(False)
        difference = differences(lm, vocabulary, context)
    if difference:
        raise PreflabError(
            f"{folder}: {name} is not supported: {difference} not equal to those of the model's plain forward pass; "
            "take a base model of another architecture"
        )


@torch.no_grad()
def differences(lm: Any, vocabulary: int, context: int) -> str:
    """Names of what differs from the plain forward pass by more than TOLERANCE; empty if nothing does.

    `lm` in eval mode; `vocabulary` its number of ids, `context` its longest sequence in tokens.
    """
    response = min(RESPONSE, max(context // 2, 1))
    queries = _queries(lm, vocabulary, context - response)
    uniform = rollout.random_numbers(len(queries), response, queries.device, "check", "uniform")
    greedy = rollout.sample(lm, queries, uniform, GREEDY, vocabulary).responses
    sampled = rollout.sample(lm, queries, uniform, TEMPERATURE, vocabulary)
    worst = dict.fromkeys(("log-probabilities", "greedy continuation", "sampled continuation", "hidden states"), 0.0)

    def note(what: str, difference: Tensor) -> None:
        worst[what] = max(worst[what], float(difference.nan_to_num(torch.inf).amax()))

    for responses in (greedy, sampled.responses):
        tokens = torch.cat([queries, responses], 1)
        logits = _plain_logits(lm, tokens, response, vocabulary)
        expected = _chosen(logits, responses)
        ours = causal_lm.response_logprobs(lm, tokens, response, TEMPERATURE, vocabulary)
        note("log-probabilities", _excess(ours, expected))
        if responses is greedy:
            gap = logits.amax(2) - logits.gather(2, responses[:, :, None])[:, :, 0]
            note("greedy continuation", gap - TIE)
        else:
            note("sampled continuation", _excess(sampled.logprobs, expected))
            note("sampled continuation", _outside(logits, responses, uniform) - TOLERANCE)
    note("hidden states", _score_difference(lm, queries, torch.stack([greedy, sampled.responses], 1), vocabulary))
    return ", ".join(what for what, size in worst.items() if size > 0)


def _queries(lm: Any, vocabulary: int, longest: int) -> Tensor:
    """Random left-padded queries `[4, query]` of at most `longest` tokens, without the model's special tokens."""
    config = lm.config.to_dict()
    special = {value for key, value in config.items() if key.endswith("_token_id") and isinstance(value, int)}
    ordinary = torch.tensor([i for i in range(vocabulary) if i not in special])
    picked = torch.randint(len(ordinary), (len(LENGTHS), max(LENGTHS)), generator=runtime.generator("cpu", "check"))
    rows = ordinary[picked]
    for row, length in zip(rows, LENGTHS, strict=True):
        row[min(length, longest) :] = vocabulary
    return causal_lm.left_pad(rows[:, :longest], vocabulary).to(lm.device)


def _plain_logits(lm: Any, tokens: Tensor, response: int, pad_id: int) -> Tensor:
    """Logits `[batch, response, vocabulary]` before each of the last tokens, every row alone and without pads."""
    return torch.stack([lm(input_ids=row[row != pad_id][None]).logits[0, -response - 1 : -1] for row in tokens]).float()


def _chosen(logits: Tensor, responses: Tensor) -> Tensor:
    """Log-probabilities `[batch, response]` of the responses at TEMPERATURE."""
    return (logits / TEMPERATURE).log_softmax(2).gather(2, responses[:, :, None])[:, :, 0]


def _excess(ours: Tensor, expected: Tensor) -> Tensor:
    """How far `ours` is off beyond the tolerance; negative where it is within."""
    return (ours - expected).abs() - TOLERANCE * expected.abs().clamp(min=1)


def _outside(logits: Tensor, responses: Tensor, uniform: Tensor) -> Tensor:
    """How far each random number is outside the part of the cumulative distribution that is its token's."""
    p = (logits / TEMPERATURE).double().softmax(2)
    upper = p.cumsum(2).gather(2, responses[:, :, None])[:, :, 0]
    lower = upper - p.gather(2, responses[:, :, None])[:, :, 0]
    return torch.maximum(lower - uniform, uniform - upper)


def _score_difference(lm: Any, queries: Tensor, samples: Tensor, pad_id: int) -> Tensor:
    """How far the reward model's scores of `samples` `[batch, 2, response]` are off those of its rows read alone."""
    model = reward_model.RewardModel(lm.base_model, causal_lm.width(lm), runtime.generator("cpu", "check", "head"))
    model = model.to(lm.device).requires_grad_(False)
    rows = torch.cat([queries.repeat_interleave(2, 0), samples.flatten(0, 1)], 1)
    alone = [lm.base_model(input_ids=row[row != pad_id][None]).last_hidden_state[0, -1] for row in rows]
    return _excess(model.compare(queries, samples, pad_id).flatten(), model.score(torch.stack(alone).float()))


@contextmanager
def _refused(folder: Path, name: str) -> Iterator[None]:
    """Turn any exception of the architecture's code, which is not ours, into a PreflabError that names it."""
    try:
        yield
    except PreflabError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0][:200]
        raise PreflabError(
            f"{folder}: {name} is not supported: it fails on a small batch ({reason}); take a base model of another "
            "architecture"
        ) from error
