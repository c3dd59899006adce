"""What policy and reward model read of a query, and where a response ends."""

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from helpers.tiny_model import END, PAD, PROMPT, gpt2, policy_stage, task
from helpers.tiny_training import random_comparisons
from helpers.toy_reviews import WORDS
from preflab.errors import PreflabError
from preflab.models import causal_lm
from preflab.sampling import passing, reference, rollout
from preflab.sampling.prompt import prompt_of
from preflab.settings.method import RuntimeSettings
from preflab.training import ppo

CONTEXT = 32  # of tiny_model.gpt2
AROUND = PROMPT._replace(prefix=(8, 9), suffix=(4,))


def test_prefix_and_suffix_stand_at_the_real_tokens():
    queries = torch.tensor([[PAD, PAD, 5, 6], [1, 2, 7, 3]])
    assert AROUND.inputs(queries).tolist() == [[PAD, PAD, 8, 9, 5, 6, 4], [8, 9, 1, 2, 7, 3, 4]]
    assert PROMPT.inputs(queries) is queries


def test_without_an_end_token_responses_stay_whole_and_all_have_ended():
    responses = torch.tensor([[1, 2, END, 4, END, 6], [1, 1, 1, 1, 1, 1]])
    free = PROMPT._replace(end_id=None)
    assert free.truncate(responses) is responses
    assert free.ended(responses).tolist() == [True, True]
    assert PROMPT.truncate(responses).tolist() == [[1, 2, END, 4, END, PAD], [1] * 6]
    assert PROMPT.ended(responses).tolist() == [True, False]


def test_texts_of_a_task_become_tokens_of_the_model():
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    shape = prompt_of(task(prefix=f"{WORDS[2]} {WORDS[3]}", suffix=WORDS[4]), tokenizer, PAD)
    assert (shape.prefix, shape.suffix) == ((2, 3), (4,))
    assert shape.end_id == WORDS.index(".")
    assert prompt_of(task(truncate_token=None), tokenizer, PAD).end_id is None


def test_the_policy_reads_the_prefix_and_the_reward_does_not():
    lm, queries = gpt2(), causal_lm.left_pad(torch.tensor([c.query for c in random_comparisons(4)]), PAD)
    policy = causal_lm.Policy(lm)
    numbers = rollout.random_numbers(4, 8, queries.device, 1)
    ro = rollout.sample(lm, AROUND.inputs(queries), numbers, 0.7, PAD, policy.value_head)
    seen = []

    def score(given, _responses):
        seen.append(given)
        return torch.zeros(4)

    episodes = ppo.score(policy_stage(), lm, score, score, ro, queries, AROUND)
    assert all(given is queries for given in seen)
    assert episodes.tokens.shape == (4, 2 + queries.shape[1] + 1 + 8)
    torch.testing.assert_close(episodes.reference_logprobs, episodes.logprobs)  # the reference reads it too


def test_responses_for_labels_are_drawn_behind_prefix_and_suffix():
    lm, queries = gpt2(), causal_lm.left_pad(torch.tensor([c.query for c in random_comparisons(3)]), PAD)
    free = AROUND._replace(end_id=None)
    found = passing.passing(lm, queries, 2, task(), free, 6, 1, ("test",)).responses
    wrapped = passing.passing(
        lm, free.inputs(queries), 2, task(), PROMPT._replace(end_id=None), 6, 1, ("test",)
    ).responses
    assert torch.equal(found, wrapped)
    bare = passing.passing(lm, queries, 2, task(), PROMPT._replace(end_id=None), 6, 1, ("test",)).responses
    assert not torch.equal(found, bare)


def test_query_and_response_must_fit_into_the_context(tmp_path, model):
    long = task(response_length=CONTEXT - 5)  # and six tokens of query: one too many
    with pytest.raises(PreflabError, match=rf"task\.query_length=6, task\.response_length={CONTEXT - 5}: .*shorten"):
        reference.load(RuntimeSettings(1, "fp32"), long, tmp_path / "unread", model)
    reference.check_length(task(response_length=CONTEXT - 6), PROMPT, model)
    with pytest.raises(PreflabError, match=r"with the 3 of task\.prefix and task\.suffix"):
        reference.check_length(task(response_length=CONTEXT - 6), PROMPT._replace(prefix=(1, 2), suffix=(3,)), model)
