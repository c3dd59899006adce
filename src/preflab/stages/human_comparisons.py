"""Stage `human_comparisons`, in place of `comparisons`: human labels in the tokens of a cell's model.

    labels.parquet ── usable? ── tokens ── cut to the task ── train.parquet, heldout.parquet
    samples of the reference ── scorer and judge ─────────── labeller.json

Labels in GPT-2's token ids stay unchanged for a model with its vocabulary; for other models their text is tokenised
again.  The scale of the true score and the judge of the evaluation are still synthetic.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence

from preflab import comparisons, files, labellers
from preflab.comparisons import Comparison, agreement, synthetic
from preflab.comparisons.calibration import calibrate
from preflab.errors import PreflabError
from preflab.human_labels.readers import LabelRow
from preflab.human_labels.readers.openai_lm_human_preferences import TASKS
from preflab.human_labels.table import HumanLabel, read_labels
from preflab.human_labels.translate import Translator
from preflab.models import causal_lm
from preflab.sampling import passing, reference
from preflab.sampling.reference import Reference
from preflab.settings.method import TaskSettings
from preflab.settings.stages import ComparisonsStage
from preflab.stages import Result

BATCH = 512  # labels that are translated at a time
HELD_OUT = ("val", "test", "dev", "eval", "heldout")  # names of splits that are not for training begin like this
MOST = 2.0  # ours: labels longer than this many times the length that the task allows belong to another task


class Choice(NamedTuple):
    """A label in the model's tokens, without pads; `held_out`: its split is not for training."""

    query: list[int]
    samples: list[list[int]]
    best: int
    labeller: str
    file: str
    held_out: bool


def run(cfg: ComparisonsStage, *, labels: Path, queries: Path, model: Path, out: Path) -> Result:
    """Write `train.parquet`, `heldout.parquet`, `labeller.json` and `human.json` (the metrics) to `out`.

    Raises PreflabError if no label can be trained on, or none is left for training or for holding out.
    """
    file, ref = labels / "labels.parquet", reference.load(cfg.runtime, cfg.task, queries, model)
    counts: Counter[str] = Counter()
    choices = list(read(file, cfg.task, ref, model, counts))
    check(choices, cfg.task, file, counts)
    train, heldout = split(choices, cfg.comparisons.heldout)
    if not train or not heldout:
        raise PreflabError(
            f"{file}: {len(choices)} labels that can be trained on, and comparisons.heldout={cfg.comparisons.heldout} "
            f"leaves {len(train)} for training and {len(heldout)} held out; lower comparisons.heldout"
        )
    train = train[: cfg.comparisons.num]
    width = max([cfg.task.response_length, *(len(sample) for c in choices for sample in c.samples)])
    calibration, panel = calibrated(cfg, ref, queries)
    out.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", train), ("heldout", heldout)):
        padded = [_padded(choice, cfg, width, ref.prompt.pad_id) for choice in part]
        comparisons.write(padded, out / f"{name}.parquet")
    calibration.save(out / "labeller.json")
    train_queries = {tuple(choice.query) for choice in train}
    metrics: dict[str, float] = {
        **dict(sorted(counts.items())),
        "train": len(train),
        "heldout": len(heldout),
        "heldout_queries_in_train": sum(tuple(choice.query) in train_queries for choice in heldout),
        "judge_tau": round(calibration.judge_tau, 6),
        **agreement_between_humans(choices),
        **agreement_with_humans(heldout, ref, calibration, panel, cfg.comparisons.seed),
    }
    files.write_json(out / "human.json", metrics)
    return Result(metrics)


def read(file: Path, task: TaskSettings, ref: Reference, model: Path, counts: Counter[str]) -> Iterator[Choice]:
    """The usable labels in the file's order, cut to `task`; adds to `counts` what was left out or changed, and why."""
    translator = Translator(model, None)
    room = causal_lm.context_length(model) - task.query_length
    counts.update(dict.fromkeys(("labels", "retokenised", "broken", "queries_cut", "responses_cut"), 0))
    for batch in _batches(_usable(read_labels(file), task.name, counts)):
        rows = [_row(label) for label in batch]
        for label, translated in zip(batch, translator.translate(rows), strict=True):
            query, *samples = translated.ids or []
            counts["query_tokens"] += len(query)
            counts["response_tokens"] += sum(map(len, samples))
            counts["responses"] += len(samples)
            # a response continues the end of its query; a summary covers the beginning of its source
            shown = query[-task.query_length :] if task.suffix is None else query[: task.query_length]
            ended = _ended(samples, ref, room)
            counts["queries_cut"] += len(shown) < len(query)
            counts["responses_cut"] += sum(len(a) < len(b) for a, b in zip(ended, samples, strict=True))
            held_out = label.split.lower().startswith(HELD_OUT)
            yield Choice(shown, ended, label.best or 0, label.labeller, label.file, held_out)
    counts["retokenised"] = 0 if translator.keeps else translator.rows
    counts["broken"] = 0 if translator.keeps else translator.broken


def left_out(label: HumanLabel, task: str) -> str:
    """Why a label cannot be trained on; empty if it can."""
    if len(label.samples) == 1:
        return "ratings"
    if label.best is None:
        return "ties"
    if label.task != task and {label.task, task} <= set(TASKS):
        return "other_tasks"
    return "" if all(label.sample_ids or label.samples) else "empty"


def check(choices: Sequence[Choice], task: TaskSettings, file: Path, counts: Counter[str]) -> None:
    """Raises PreflabError if no label is usable, if labels differ in their number of samples, or are far too long."""
    if not choices:
        left = {name.removeprefix("left_out_"): n for name, n in sorted(counts.items()) if name.startswith("left_out_")}
        reasons = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in left.items())
        raise PreflabError(
            f"{file}: none of the {counts['labels']} labels can be trained on for task={task.name} ({reasons}); "
            "name a file with choices between two or more responses of this task"
        )
    sizes = Counter(len(choice.samples) for choice in choices)
    if len(sizes) > 1:
        numbers = ", ".join(f"{count} of {size}" for size, count in sorted(sizes.items()))
        raise PreflabError(f"{file}: choices between different numbers of samples ({numbers}); make a file of each")
    means = {
        "query_length": counts.pop("query_tokens") / len(choices),
        "response_length": counts.pop("response_tokens") / counts.pop("responses"),
    }
    for name, mean in means.items():
        if mean > MOST * getattr(task, name):
            raise PreflabError(
                f"{file}: {'queries' if name == 'query_length' else 'responses'} of {mean:.0f} tokens on average, "
                f"but task.{name}={getattr(task, name)}; take the task that the labels belong to, or set task.{name}"
            )


def split(choices: Sequence[Choice], count: int) -> tuple[list[Choice], list[Choice]]:
    """Choices for training, and at most `count` held out: those whose split says so, else the last ones of the file."""
    named = [choice for choice in choices if choice.held_out]
    if named:
        return [choice for choice in choices if not choice.held_out], named[:count]
    return list(choices[:-count]), list(choices[-count:])


def calibrated(
    cfg: ComparisonsStage, ref: Reference, queries: Path
) -> tuple[synthetic.Calibration, dict[str, labellers.Labeller]]:
    """The calibration as in the stage `comparisons`, on validation queries, with scorers and judge by name.

    Raises PreflabError as that stage does.
    """
    names = [*synthetic.scorers(cfg.labeller), cfg.labeller.judge]
    panel = {name: labellers.load(name, queries) for name in names}
    seed, n = cfg.comparisons.seed, passing.SAMPLES
    rows = passing.pick_queries(queries, "validation", cfg.comparisons.heldout, seed)
    tokens = causal_lm.left_pad(torch.tensor(rows, device=ref.queries.device), ref.prompt.pad_id)
    drawn = passing.passing(
        ref.lm, tokens, n, cfg.task, ref.prompt,
        cfg.comparisons.rollout_batch, cfg.comparisons.max_rounds, (seed, "heldout"), "sampling heldout",
    ).responses  # fmt: skip
    texts = (
        causal_lm.decode(ref.tokenizer, tokens.repeat_interleave(n, 0), ref.prompt.pad_id),
        causal_lm.decode(ref.tokenizer, drawn.flatten(0, 1), ref.prompt.pad_id),
    )
    scores = synthetic.by_scorer(panel, texts, n)
    return calibrate(cfg.labeller, scores, scores[cfg.labeller.judge]), panel


def agreement_between_humans(choices: Sequence[Choice]) -> dict[str, float]:
    """How often two humans chose alike, on questions that several answered; repeated answers of one make no pair."""
    asked: dict[tuple[tuple[int, ...], ...], dict[str, int]] = {}
    for number, choice in enumerate(choices):
        question = (tuple(choice.query), *map(tuple, choice.samples))
        asked.setdefault(question, {})[choice.labeller or f"\0{number}"] = choice.best
    between = agreement.between_labellers([list(answers.values()) for answers in asked.values()])
    return {"questions_asked_again": between.questions} | _finite({
        "agreement": between.share, "labellers_agree": between.share, "labellers_agree_se": between.error,
    })  # fmt: skip


def agreement_with_humans(
    heldout: Sequence[Choice],
    ref: Reference,
    calibration: synthetic.Calibration,
    panel: dict[str, labellers.Labeller],
    seed: int,
) -> dict[str, float]:
    """How often humans chose as the noisy judge does, and as the scorer of the true score does without noise.

    Without the numbers of a labeller that can score only queries of the corpus, as it needs their reference summaries.
    """
    n = len(heldout[0].samples)
    decode = ref.tokenizer.decode_batch
    texts = (
        [text for text in decode([c.query for c in heldout]) for _ in range(n)],
        decode([sample for c in heldout for sample in c.samples]),
    )
    chosen = [[choice.best] for choice in heldout]
    metrics: dict[str, float] = {}
    for name, scorer, tau in (
        ("judge", calibration.judge, calibration.judge_tau),
        ("scorer", calibration.scorer, 0.0),
    ):
        with suppress(PreflabError):
            scores = synthetic.scores(panel[scorer], texts, n)
            with_humans = agreement.with_judge(chosen, synthetic.choose(scores, tau, seed, "agreement", name))
            metrics |= {f"{name}_agrees": with_humans.share, f"{name}_agrees_se": with_humans.error}
    return _finite(metrics)


def _usable(labels: Iterable[HumanLabel], task: str, counts: Counter[str]) -> Iterator[HumanLabel]:
    for label in labels:
        counts["labels"] += 1
        if reason := left_out(label, task):
            counts[f"left_out_{reason}"] += 1
        else:
            yield label


def _batches(labels: Iterable[HumanLabel]) -> Iterator[list[HumanLabel]]:
    """Batches of labels that are all texts or all token ids."""
    for _, group in groupby(labels, lambda label: label.query_ids is None):
        while batch := list(islice(group, BATCH)):
            yield batch


def _row(label: HumanLabel) -> LabelRow:
    """The label as its reader returned it, but without pads."""
    if label.query_ids is None or label.sample_ids is None:
        return LabelRow(label.query, label.samples, label.best)
    return LabelRow(label.query_ids, label.sample_ids, label.best)


def _ended(samples: list[list[int]], ref: Reference, room: int) -> list[list[int]]:
    """The samples through their end token, and no longer than the model has `room`."""
    pad = ref.prompt.pad_id
    tokens = pad_sequence([torch.tensor(sample[:room]) for sample in samples], batch_first=True, padding_value=pad)
    return [[i for i in row if i != pad] for row in ref.prompt.truncate(tokens).tolist()]


def _padded(choice: Choice, cfg: ComparisonsStage, width: int, pad: int) -> Comparison:
    query = choice.query + [pad] * (cfg.task.query_length - len(choice.query))
    samples = [sample + [pad] * (width - len(sample)) for sample in choice.samples]
    return Comparison(
        query, samples, choice.best, choice.labeller or cfg.labeller.name, cfg.comparisons.seed, choice.file
    )


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items() if math.isfinite(value)}
