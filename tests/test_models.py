"""Padding, positions, truncation, sampling: every number equals that of single, unpadded sequences."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.tiny_model import END, PAD, VOCABULARY, gpt2, llama
from preflab.models import causal_lm
from preflab.sampling import rollout

LENGTHS = [6, 1, 4, 3]


def padded_queries() -> torch.Tensor:
    """Four right-padded queries of different lengths `[4, 6]`."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(VOCABULARY, (4, 6), generator=generator)
    for row, length in zip(rows, LENGTHS, strict=True):
        row[length:] = PAD
    return rows


@pytest.mark.parametrize("build", [gpt2, llama])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batch_equals_single_sequences(build, side):
    lm = build()
    rows = padded_queries()
    queries = causal_lm.left_pad(rows, PAD) if side == "left" else rows
    responses = torch.randint(VOCABULARY, (4, 5), generator=torch.Generator().manual_seed(1))
    tokens = torch.cat([queries, responses], 1)
    with torch.no_grad():
        if side == "left":
            got = causal_lm.response_logprobs(lm, tokens, 5, 0.7, PAD)
        hidden = causal_lm.hidden_states(lm.base_model, tokens, PAD)
        for i, length in enumerate(LENGTHS):
            alone = torch.cat([rows[i, :length], responses[i]])[None]
            logits = lm(alone).logits[0] / 0.7
            expected = logits.log_softmax(-1)[length - 1 : -1].gather(1, responses[i][:, None])[:, 0]
            if side == "left":
                torch.testing.assert_close(got[i], expected, atol=1e-5, rtol=0)
            states = lm.base_model(alone).last_hidden_state[0, length:]
            torch.testing.assert_close(hidden[i, -5:], states, atol=1e-5, rtol=0)


def test_inputs_by_hand():
    got = causal_lm.inputs(torch.tensor([[PAD, PAD, 7, 2], [5, PAD, 1, PAD]]), PAD)
    assert got.attention_mask.tolist() == [[0, 0, 1, 1], [1, 0, 1, 0]]
    assert got.position_ids.tolist() == [[0, 0, 0, 1], [0, 0, 1, 1]]
    assert got.input_ids.tolist() == [[0, 0, 7, 2], [5, 0, 1, 0]]


@given(st.lists(st.lists(st.integers(0, PAD), min_size=5, max_size=5), min_size=1, max_size=4))
def test_padding_sides_keep_the_tokens_in_order(rows):
    tokens = torch.tensor(rows)
    left, right = causal_lm.left_pad(tokens, PAD), causal_lm.right_pad(tokens, PAD)
    for row, to_left, to_right in zip(rows, left.tolist(), right.tolist(), strict=True):
        real = [t for t in row if t != PAD]
        pads = [PAD] * (len(row) - len(real))
        assert to_left == pads + real
        assert to_right == real + pads


def test_truncation_and_penalty_mask_by_hand():
    responses = torch.tensor(
        [
            [END, 1, END, 2, 4, END, 6, END],  # the first end token at index ≥ 4 is at 5
            [1, 2, 4, END, 5, 6, 7, 8],  # only before index 4
            [1, 2, 4, 5, END, 6, 7, 8],  # exactly at 4
            [1, 2, 4, 5, 6, 7, 8, END],  # the last token
        ]
    )
    assert causal_lm.truncate(responses, END, 4, PAD).tolist() == [
        [END, 1, END, 2, 4, END, PAD, PAD],
        [1, 2, 4, END, 5, 6, 7, 8],
        [1, 2, 4, 5, END, PAD, PAD, PAD],
        [1, 2, 4, 5, 6, 7, 8, END],
    ]
    assert causal_lm.has_end(responses, END, 4).tolist() == [True, False, True, True]


@pytest.mark.parametrize("build", [gpt2, llama])
def test_sampling_pass_equals_a_full_forward(build):
    lm = build()
    head = torch.nn.Linear(16, 1)
    queries = causal_lm.left_pad(padded_queries(), PAD)
    numbers, counts = rollout.random_numbers(12, 8, torch.device("cpu"), 3), torch.tensor([3, 1, 2, 6])
    ro = rollout.sample(lm, queries, numbers, 0.7, PAD, head, counts)
    assert ro.tokens.shape == (12, 14)
    assert ro.tokens[:, :6].tolist() == queries.repeat_interleave(counts, 0).tolist()
    assert len({tuple(r) for r in ro.responses[:3].tolist()}) == 3  # three different answers to one query
    with torch.no_grad():
        full = causal_lm.response_logprobs(lm, ro.tokens, 8, 0.7, PAD)
        values = head(causal_lm.hidden_states(lm.base_model, ro.tokens, PAD)[:, 5:-1]).squeeze(-1)
    torch.testing.assert_close(ro.logprobs, full, atol=1e-5, rtol=0)
    torch.testing.assert_close(ro.values, values, atol=1e-5, rtol=0)


def test_samples_follow_the_softmax_at_the_temperature():
    lm = gpt2()
    query = torch.tensor([[1, 2, 4]])
    head = torch.nn.Linear(16, 1)
    numbers = rollout.random_numbers(20_000, 1, torch.device("cpu"), 0)
    ro = rollout.sample(lm, query, numbers, 0.5, PAD, head, torch.tensor([20_000]))
    with torch.no_grad():
        p = (lm(query).logits[0, -1] / 0.5).softmax(-1)
    share = torch.bincount(ro.responses[:, 0], minlength=VOCABULARY) / 20_000
    assert (share - p).abs().max() < 5 * (0.25 / 20_000) ** 0.5  # five standard errors of the widest share
    entropy = -(p * p.log()).sum()
    torch.testing.assert_close(ro.entropy[0, 0], entropy, atol=1e-5, rtol=0)


@pytest.mark.parametrize("vocabulary", [5, 64, 128, 130, 1000])
def test_draw_inverts_the_cumulative_distribution(vocabulary):
    generator = torch.Generator().manual_seed(vocabulary)
    p = torch.rand(2000, vocabulary, generator=generator, dtype=torch.float64)
    p[:, ::3] = 0.0  # tokens that must never be drawn
    p /= p.sum(1, keepdim=True)
    uniform = torch.rand(2000, 1, generator=generator, dtype=torch.float64)
    token = rollout.draw(p, uniform)
    behind = p.cumsum(1).gather(1, token)
    assert (p.gather(1, token) > 0).all()
    assert ((uniform < behind + 1e-12) & (uniform >= behind - p.gather(1, token) - 1e-12)).all()


def test_dropout_is_off_and_policy_starts_at_the_reference():
    lm = gpt2()  # its config has dropout 0.1
    policy = causal_lm.Policy(gpt2())
    tokens = torch.cat([causal_lm.left_pad(padded_queries(), PAD), torch.ones(4, 5, dtype=torch.long)], 1)
    with torch.no_grad():
        logprobs, values = policy.evaluate(tokens, 5, 0.7, PAD)
        reference = causal_lm.response_logprobs(lm, tokens, 5, 0.7, PAD)
    assert torch.equal(logprobs, reference)  # KL of identical policies is exactly 0
    assert values.abs().max() == 0  # zero value head
