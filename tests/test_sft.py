"""Supervised fine-tuning: examples, loss, dropout, the sweep of learning rates, resuming, learning, clear errors."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import settings as without_deadline
from hypothesis import strategies as st
from omegaconf import OmegaConf
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers import models as tokenizer_models

from helpers import reference_ppo
from helpers.tiny_model import END, PAD, VOCABULARY, gpt2, llama, task
from preflab.errors import PreflabError
from preflab.machine import checkpoint
from preflab.models import causal_lm, sources
from preflab.records import tracking
from preflab.settings import method, stages
from preflab.settings.data import ModelSettings
from preflab.settings.load import parse
from preflab.stages import sft as stage
from preflab.training import sft, sft_examples

WORDS = ["<|endoftext|>", "good", "bad", ".", "film", "plot", "we", "saw", "it", "the", "tldr"]
SUFFIX, GOOD, BAD, TLDR = 0, 1, 2, 10
CONTEXT = 32  # of tiny_model.gpt2
TINY = causal_lm.load_tokenizer(sources.ASSETS / "tiny")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """A token is a word."""
    assert len(WORDS) == VOCABULARY
    assert WORDS[END] == "."
    found = Tokenizer(tokenizer_models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="it"))
    found.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return found


def settings(seed: int = 1, **changes: object) -> stages.SftStage:
    """Quick fine-tuning at three rates; `task_…` changes go to the task."""
    base = {
        "lrs": 3, "lr_low": 1e-4, "lr_high": 1e-2, "epochs": 1, "batch_size": 8, "dropout": 0.1, "adam": "tf",
        "adam_eps": 1e-5, "num_train": None, "num_validation": None,
    }  # fmt: skip
    of_task = {k[5:]: v for k, v in changes.items() if k.startswith("task_")}
    of_sft = {k: v for k, v in changes.items() if not k.startswith("task_")}
    return stages.SftStage(
        task(**of_task), method.SftSettings(**(base | of_sft)), method.RuntimeSettings(1, "fp32"), seed
    )  # type: ignore[arg-type]


def rows(count: int, seed: int, length: int = 6) -> list[tuple[list[int], str]]:
    """Films: three to six words, one of them good or bad, and a summary that tells which."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    found = []
    for _ in range(count):
        words = [draw(4, 10) for _ in range(draw(3, length + 1))]
        verdict = draw(GOOD, BAD + 1)
        words[draw(0, len(words))] = verdict
        found.append((words, f"tldr {WORDS[verdict]}"))
    return found


def write(folder: Path, split: str, films: list[tuple[list[int], str | None]], length: int = 6) -> None:
    """One split as the stage prepare leaves it."""
    folder.mkdir(exist_ok=True)
    table = {
        "text": [" ".join(WORDS[i] for i in query) for query, _ in films],
        "tokens": [query + [PAD] * (length - len(query)) for query, _ in films],
        "reference": pa.array([reference for _, reference in films], pa.string()),
    }
    pq.write_table(pa.table(table), folder / f"{split}.parquet")


def prepared(folder: Path, train: int = 40, validation: int = 16, references: bool = True) -> Path:
    for seed, (split, count) in enumerate({"train": train, "validation": validation}.items()):
        write(folder, split, [(query, text if references else None) for query, text in rows(count, seed)])
    return folder


def examples(count: int, tokenizer: Tokenizer, seed: int = 0, **changes: object) -> sft_examples.Examples:
    queries, references = zip(*rows(count, seed), strict=True)
    return sft_examples.pairs(queries, references, task(**changes), tokenizer, PAD, [9], [SUFFIX])


def run(
    folder: Path, data: sft_examples.Data, cfg: stages.SftStage, log: object = lambda _row, _step: None
) -> tuple[sft.SftResult, dict[str, torch.Tensor]]:
    lm = gpt2(width=32)
    result = sft.train(lm, data, cfg, PAD, folder, log)  # type: ignore[arg-type]
    assert not lm.training
    return result, lm.state_dict()


# --- examples ---------------------------------------------------------------------------------------------------------


def test_a_pair_by_hand(tokenizer):
    # fmt: off
    #       prefix | query | suffix | tldr good | end tokens, through index 4 of the response
    pair = [9,       5, 6, 7, SUFFIX,  TLDR, GOOD, END, END, END]
    # fmt: on
    references = ["tldr good", "bad"]
    found = sft_examples.pairs([[5, 6, 7], [5]], references, task(truncate_after=4), tokenizer, PAD, [9], [SUFFIX])
    assert found.tokens.tolist() == [pair, [9, 5, SUFFIX, BAD, END, END, END, END, PAD, PAD]]
    assert found.begin.tolist() == [5, 3]
    assert found.cut == 0


def test_a_reference_ends_once_or_is_cut_at_the_length_of_a_response(tokenizer):
    references = ["it .", "it", "it it it", "it it it it"]
    shape = {"truncate_after": 0, "response_length": 3}
    found = sft_examples.pairs([[5]] * 4, references, task(**shape), tokenizer, PAD)
    responses = [[i for i in row if i != PAD][1:] for row in found.tokens.tolist()]
    assert responses == [[8, END], [8, END], [8, 8, 8], [8, 8, 8]]
    assert found.cut == 1  # the third lost its end token only


@without_deadline(deadline=None)  # machines are busy
@given(st.text("ab \n", min_size=1, max_size=9).filter(str.strip), st.sampled_from(["\n\nTL;DR:", "\n\nTL;DR:\n", ""]))
def test_one_space_stands_before_a_reference_unless_the_suffix_ends_in_one(reference, suffix):
    tokenizer = TINY
    suffix_ids = tokenizer.encode(suffix).ids
    shape = task(truncate_token="\n", truncate_after=0, response_length=30)
    found = sft_examples.pairs([tokenizer.encode("b").ids], [reference], shape, tokenizer, 4096, (), suffix_ids)
    text = tokenizer.decode(found.tokens[0].tolist())
    assert text == f"b{suffix}{'' if suffix.endswith(chr(10)) else ' '}{reference.strip()}\n"


def test_passages_count_every_token_but_the_first():
    found = sft_examples.passages([[5, 6, 7], [5], [6, 7]], PAD)
    assert found.tokens.tolist() == [[5, 6, 7], [6, 7, PAD]]  # one token predicts nothing
    assert found.begin.tolist() == [1, 1]


def test_references_decide_between_pairs_and_passages(tmp_path, tokenizer):
    cfg = settings(num_train=7)
    paired = sft_examples.load(cfg, prepared(tmp_path / "pairs"), tokenizer, PAD, CONTEXT, [9], [SUFFIX])
    whole = sft_examples.load(cfg, prepared(tmp_path / "passages", references=False), tokenizer, PAD, CONTEXT)
    assert (paired.paired, whole.paired) == (True, False)
    assert (len(paired.train.tokens), len(paired.validation.tokens), len(whole.train.tokens)) == (7, 16, 7)
    assert paired.train.begin.min() >= 5
    assert set(whole.train.begin.tolist()) == {1}
    queries = [query for query, _ in rows(40, 0)]
    for row, begin in zip(paired.train.tokens.tolist(), paired.train.begin.tolist(), strict=True):
        assert row[1 : begin - 1] in queries  # between prefix and suffix


# --- loss -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [gpt2, llama])
def test_loss_equals_the_plain_one_and_padding_does_not_matter(build, tokenizer):
    lm, data = build(), examples(6, tokenizer)
    expected, alone = [], []
    for k, (row, begin) in enumerate(zip(data.tokens, data.begin.tolist(), strict=True)):
        count = int((row != PAD).sum()) - begin
        expected.append(-reference_ppo.response_logprobs(lm, row[None], count, 1.0, PAD)[0])
        alone.append(sft.token_losses(lm, data, torch.tensor([k]), PAD))
    together = sft.token_losses(lm, data, torch.arange(6), PAD)
    torch.testing.assert_close(together, torch.cat(expected), atol=1e-5, rtol=0)
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)
    wider = data._replace(tokens=torch.nn.functional.pad(data.tokens, (0, 5), value=PAD))
    assert torch.equal(sft.token_losses(lm, wider, torch.arange(6), PAD), together)
    assert sft.validate(lm, data, 4, PAD) == pytest.approx(torch.cat(expected).mean().item(), abs=1e-5)


def test_gradients_equal_those_of_the_plain_loss(tokenizer):
    data = examples(3, tokenizer)
    ours, theirs = gpt2(), gpt2()
    sft.token_losses(ours, data, torch.arange(3), PAD).mean().backward()
    losses = []
    for row, begin in zip(data.tokens, data.begin.tolist(), strict=True):
        real = row[row != PAD]
        logits = theirs(real[None]).logits[0, begin - 1 : -1]
        losses.append(torch.nn.functional.cross_entropy(logits, real[begin:], reduction="none"))
    torch.cat(losses).mean().backward()
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, atol=1e-5, rtol=1e-4, msg=name)


# --- rates ------------------------------------------------------------------------------------------------------------


def test_the_papers_eight_rates_by_hand():
    rates = sft.learning_rates(settings(lrs=8, lr_low=1e-4, lr_high=3e-4).sft)
    assert rates == pytest.approx([1e-4 * 3 ** (i / 7) for i in range(8)], rel=1e-12)
    assert (rates[0], rates[3], rates[7]) == pytest.approx((1e-4, 1.60133e-4, 3e-4), rel=1e-5)
    assert sft.learning_rates(settings(lrs=1, lr_low=2e-4, lr_high=2e-4).sft) == [2e-4]


def test_cosine_by_hand():
    got = [sft.cosine(0.8, done, 4) for done in range(5)]
    assert got == pytest.approx([0.8, 0.4 + 0.4 * math.sqrt(0.5), 0.4, 0.4 - 0.4 * math.sqrt(0.5), 0.0])


def test_the_best_rate_is_kept_and_every_rate_follows_its_cosine(tmp_path, tokenizer):
    data = sft_examples.Data(examples(40, tokenizer), examples(20, tokenizer, seed=1), True)
    cfg = settings(lr_low=1e-5, lr_high=1.0)  # too low, fitting, far too high
    result, weights = run(tmp_path, data, cfg)
    losses = [row["validation_loss"] for row in result.rates]
    assert [row["lr"] for row in result.rates] == pytest.approx([1e-5, 1e-5 * math.sqrt(1e5), 1.0])
    assert result.best == 1
    assert losses[1] == min(losses) < result.base_loss
    again = gpt2(width=32)
    again.load_state_dict(weights)
    assert sft.validate(again, data.validation, 8, PAD) == losses[1]  # its weights, not those of the last rate
    best = result.rates[1]["lr"]
    alone, single = run(tmp_path / "alone", data, settings(lrs=1, lr_low=best, lr_high=best))
    assert alone.rates == [result.rates[1]]  # no rate sees what another did
    assert all(torch.equal(single[name], weights[name]) for name in weights)
    shape = [(row["rate"], row["step"]) for row in result.curve]
    assert shape == [(rate, step) for rate in (1, 2, 3) for step in range(5)]
    assert [row["lr"] for row in result.curve[5:10]] == pytest.approx(
        [result.rates[1]["lr"] * math.cos(math.pi * step / 10) ** 2 for step in range(5)]  # (1 + cos 2x)/2 = cos² x
    )


def test_a_loss_that_is_not_finite_names_the_rate(tmp_path, tokenizer):
    data = sft_examples.Data(examples(40, tokenizer), examples(8, tokenizer, seed=1), True)
    with pytest.raises(PreflabError, match=r"sft\.lr_high: the loss is nan at step \d of 5 with .* rate 1e\+30"):
        run(tmp_path, data, settings(lrs=1, lr_low=1e30, lr_high=1e30))


# --- dropout ----------------------------------------------------------------------------------------------------------


def test_dropout_is_on_in_training_and_off_in_validation(tmp_path, tokenizer):
    seen = {True: 0, False: 0}
    seeds = []

    def note(module, _inputs):
        gradients = torch.is_grad_enabled()
        assert module.training == gradients
        assert module.p == 0.3
        seen[gradients] += 1
        if gradients and module is lm.transformer.drop:
            seeds.append(torch.initial_seed())

    lm = gpt2()
    layers = [module for module in lm.modules() if isinstance(module, torch.nn.Dropout)]
    assert len(layers) == 1 + 2 * 3  # embeddings; attention and two residuals in each of two blocks
    called = [lm.transformer.drop, *(block.attn.resid_dropout for block in lm.transformer.h)]
    for layer in called:
        layer.register_forward_pre_hook(note)
    data = sft_examples.Data(examples(16, tokenizer), examples(16, tokenizer, seed=1), True)
    sft.train(lm, data, settings(dropout=0.3), PAD, tmp_path, lambda _row, _step: None)
    assert seen == {True: 3 * (3 * 2), False: 3 * (4 * 2)}  # layers × (rates × steps); × (1 + rates validations × 2)
    assert seeds == seeds[:2] * 3  # each rate drops the same …
    assert seeds[0] != seeds[1]  # … and each step something else
    assert all(layer.p == 0.3 for layer in layers)  # the attention's share is handed to its kernel


@pytest.mark.parametrize("build", [gpt2, llama])
def test_dropout_changes_the_loss_by_its_seed_only(build, tokenizer):
    lm, data = build(), examples(8, tokenizer)
    sft.set_dropout(lm, 0.5)

    def loss(seed):
        torch.manual_seed(seed)
        return sft.token_losses(lm, data, torch.arange(8), PAD).mean().item()

    lm.train()
    assert loss(1) == loss(1) != loss(2)
    assert sft.validate(lm, data, 8, PAD) == sft.validate(lm, data, 8, PAD) == pytest.approx(loss(1), abs=1e-6)
    lm.train()
    sft.set_dropout(lm, 0.0)
    assert loss(1) == loss(2)


def test_a_model_without_dropout_is_refused():
    with pytest.raises(PreflabError, match=r"sft\.dropout=0\.1: Linear has no dropout; set sft\.dropout=0"):
        sft.set_dropout(torch.nn.Linear(1, 1), 0.1)
    sft.set_dropout(torch.nn.Linear(1, 1), 0.0)


# --- the sweep --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stop", "by_clock"), [(5, False), (7, False), (7, True), (10, True), (13, True)])
def test_a_resumed_sweep_equals_an_uninterrupted_one(tmp_path, tokenizer, monkeypatch, stop, by_clock):
    data = sft_examples.Data(examples(40, tokenizer), examples(8, tokenizer, seed=1), True)
    whole, weights = run(tmp_path / "whole", data, settings())
    monkeypatch.setattr(checkpoint.Every, "due", lambda _self: by_clock)
    steps = []

    def killed(row, step):
        if "loss" in row:
            steps.append(step)
            if step == stop and len(steps) == stop:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", data, settings(), killed)
    resumed, again = run(tmp_path / "cut", data, settings(), killed)
    first = stop if by_clock else (stop - 1) // 5 * 5 + 1  # five steps a rate; the step that was killed is not saved
    assert steps == [*range(1, stop + 1), *range(first, 16)]
    assert resumed == whole
    assert all(torch.equal(again[name], weights[name]) for name in weights)


def test_a_finished_sweep_only_reads_its_checkpoint(tmp_path, tokenizer):
    data = sft_examples.Data(examples(16, tokenizer), examples(8, tokenizer, seed=1), True)
    first, weights = run(tmp_path, data, settings())
    steps = []
    second, again = run(tmp_path, data, settings(), lambda _row, step: steps.append(step))
    assert steps == []
    assert second == first
    assert all(torch.equal(again[name], weights[name]) for name in weights)


def test_another_seed_is_another_sweep(tmp_path, tokenizer):
    data = sft_examples.Data(examples(16, tokenizer), examples(8, tokenizer, seed=1), True)
    assert run(tmp_path / "1", data, settings(1))[0] != run(tmp_path / "2", data, settings(2))[0]


# --- learning, and the stage ------------------------------------------------------------------------------------------


def test_a_model_learns_to_summarise_and_serves_as_a_base_model(tmp_path, tokenizer):
    base, out = tmp_path / "base", tmp_path / "out"
    gpt2(width=32).save_pretrained(base)
    tokenizer.save(str(base / "tokenizer.json"))
    (base / "tokenizer_config.json").write_text("{}")
    cfg = settings(epochs=2, batch_size=16, lrs=2, lr_low=1e-4, lr_high=1e-2, task_truncate_after=2)
    metrics, curve = stage.run(
        cfg, queries=prepared(tmp_path / "queries", 640, 100), model=base, out=out,
        log=tracking.SilentRecord(), work=tmp_path / "checkpoints",
    )  # fmt: skip
    assert metrics["lr"] == pytest.approx(1e-2)
    assert metrics["base_validation_loss"] > 1.5
    assert metrics["validation_loss"] < 0.1
    assert (metrics["steps"], metrics["num_train"], metrics["num_validation"], len(curve)) == (80, 640, 100, 160)
    assert metrics["rates"]["2"]["validation_loss"] == metrics["validation_loss"]
    assert metrics["rates"]["1"]["validation_loss"] > metrics["validation_loss"]
    json.dumps(metrics)

    sources.build(ModelSettings("tuned", "folder", str(out)), tmp_path / "again")  # a base model as any other
    tuned = causal_lm.load_causal_lm(tmp_path / "again", torch.device("cpu"))
    assert causal_lm.load_tokenizer(tmp_path / "again").to_str() == tokenizer.to_str()
    right = 0
    for query, summary in rows(50, seed=9):
        tokens = list(query)
        for _ in range(3):
            tokens.append(int(tuned(torch.tensor([tokens])).logits[0, -1].argmax()))
        right += tokenizer.decode(tokens[len(query) :]) == f"{summary} ."
    assert right >= 45


def test_passages_are_learned_too(tmp_path, tokenizer):
    folder = prepared(tmp_path / "queries", 320, 40, references=False)
    data = sft_examples.load(settings(), folder, tokenizer, PAD, CONTEXT)
    result, _ = run(tmp_path / "checkpoints", data, settings(lrs=1, lr_low=1e-2, lr_high=1e-2))
    assert result.rates[0]["validation_loss"] < result.base_loss - 1


# --- bad input --------------------------------------------------------------------------------------------------------


def test_pairs_longer_than_the_context_are_refused(tmp_path, tokenizer):
    cfg = settings(task_response_length=CONTEXT - 6 - 2)
    folder = prepared(tmp_path)
    sft_examples.load(cfg, folder, tokenizer, PAD, CONTEXT, [9], [SUFFIX])
    message = (
        r"task\.query_length=6, task\.response_length=24: with 2 tokens of prefix and 1 of suffix up to 33 .* of 32"
    )
    with pytest.raises(PreflabError, match=message):
        sft_examples.load(cfg, folder, tokenizer, PAD, CONTEXT, [9, 9], [SUFFIX])


@pytest.mark.parametrize("nothing", [None, "", " \n"])
def test_a_missing_reference_names_its_row(tmp_path, tokenizer, nothing):
    folder = prepared(tmp_path)
    write(folder, "validation", [([5, 6], "it"), ([5, 6], nothing), ([5, 6], nothing)])
    with pytest.raises(PreflabError, match=r"validation\.parquet: row 1 has no reference \(2 of 3 rows have none\)"):
        sft_examples.load(settings(), folder, tokenizer, PAD, CONTEXT)


def test_a_prompt_without_references_is_refused(tmp_path, tokenizer):
    folder = prepared(tmp_path, references=False)
    with pytest.raises(PreflabError, match=r"train\.parquet: no row has a reference, but the task has a prefix"):
        sft_examples.load(settings(), folder, tokenizer, PAD, CONTEXT, (), [SUFFIX])


def test_splits_of_two_kinds_are_refused(tmp_path, tokenizer):
    folder = prepared(tmp_path)
    write(folder, "validation", [([5, 6], None)])
    with pytest.raises(PreflabError, match=r"validation\.parquet: no row has a reference, unlike those of .*train"):
        sft_examples.load(settings(), folder, tokenizer, PAD, CONTEXT)


def test_queries_of_another_length_are_refused(tmp_path, tokenizer):
    with pytest.raises(PreflabError, match=r"train\.parquet: queries of 6 tokens, expected task\.query_length=5"):
        sft_examples.load(settings(task_query_length=5), prepared(tmp_path), tokenizer, PAD, CONTEXT)


def test_passages_of_one_token_are_refused(tmp_path, tokenizer):
    for split in ("train", "validation"):
        write(tmp_path, split, [([5], None), ([6], None)])
    with pytest.raises(PreflabError, match=r"train\.parquet: no passage has two tokens or more"):
        sft_examples.load(settings(), tmp_path, tokenizer, PAD, CONTEXT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lrs": 0}, r"sft\.lrs=0: must be a whole number from 1 to 1,000"),
        ({"lr_low": 0.1}, r"sft\.lr_high=0\.01: must be above sft\.lr_low=0\.1, or set sft\.lrs=1"),
        ({"lrs": 1}, r"sft\.lrs=1: the only rate is sft\.lr_low=0\.0001; set sft\.lr_high=0\.01 to it too"),
        ({"dropout": 1.0}, r"sft\.dropout=1\.0: must be a number of at least 0 and below 1"),
        ({"adam": "tff"}, r"sft\.adam=tff: did you mean 'tf'"),
        ({"batch_size": 0, "num_train": -1}, r"sft\.batch_size=0: must be .*; sft\.num_train=-1: must be .*, or null"),
    ],
)
def test_settings_are_checked(changes, message):
    cfg = settings(**changes)
    plain_settings = {part: asdict(getattr(cfg, part)) for part in ("task", "sft", "runtime")} | {"seed": 1}
    with pytest.raises(PreflabError, match=message):
        parse("sft", plain_settings, "params")


def test_the_choices_in_conf_are_whole_and_checked():
    folder = Path(__file__).parents[1] / "conf" / "sft"
    paper, small = (OmegaConf.to_container(OmegaConf.load(folder / f"{name}.yaml")) for name in ("paper", "small"))
    assert small.pop("defaults") == ["paper", "_self_"]
    others = {part: asdict(getattr(settings(), part)) for part in ("task", "runtime")} | {"seed": 1}
    cfg = parse("sft", others | {"sft": paper}, "conf").sft
    assert (cfg.lrs, cfg.lr_low, cfg.lr_high, cfg.epochs, cfg.dropout) == (8, 1e-4, 3e-4, 1, 0.1)  # the paper's
    parse("sft", others | {"sft": paper | small}, "conf")
