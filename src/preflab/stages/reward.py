"""Stage `reward`: train a reward model on comparisons, or normalise the true score for direct training."""

from functools import partial
from pathlib import Path

from preflab.comparisons import Comparison, read, synthetic
from preflab.errors import PreflabError
from preflab.machine import parallel
from preflab.models import reward_model
from preflab.sampling import reference
from preflab.sampling.reference import Reference
from preflab.settings.stages import RewardStage
from preflab.stages import Log, Result
from preflab.training import reward, scoring, shared_network

COLUMNS = ["step", "loss", "accuracy", "lr"]


def run(cfg: RewardStage, *, queries: Path, model: Path, comparisons: Path, out: Path, log: Log) -> Result:
    """Write the reward to `out`; raises PreflabError if there are fewer comparisons than `cfg.initial.num`."""
    ref = reference.load(cfg.runtime, cfg.task, queries, model)
    if cfg.direct:
        return _direct(cfg, ref, queries, model, comparisons, out)
    labels = _labels(cfg, comparisons / "train.parquet")
    language = partial(shared_network.language_loss, reference=ref.lm, task=cfg.task, prompt=ref.prompt)
    training = reward.train(
        ref.lm, labels, ref.queries, cfg.task, cfg.reward, ref.prompt, cfg.seed,
        added_loss=language if cfg.reward.shared else None,
    )  # fmt: skip
    for row in training.curve:
        log.metrics({name: value for name, value in row.items() if name != "step"}, step=int(row["step"]))
    if parallel.rank() == 0:
        reward_model.save(training.model, out, model)
    return Result(_metrics(cfg, training, comparisons / "heldout.parquet", ref), training.curve)


def _direct(cfg: RewardStage, ref: Reference, queries: Path, model: Path, labelled: Path, out: Path) -> Result:
    """The true score as a reward: only its normalisation is computed."""
    scorer = synthetic.load_calibration(labelled).scorer
    score = scoring.normalize_true_score(cfg, ref.lm, queries, ref.tokenizer, ref.queries, ref.prompt, scorer)
    if parallel.rank() == 0:
        scoring.save_true_score(out, model, score.gain, score.bias, scorer)
    return Result({"direct": 1, "gain": score.gain, "bias": score.bias})


def _labels(cfg: RewardStage, file: Path) -> list[Comparison]:
    labels = read(file)
    if cfg.initial.num > len(labels):
        raise PreflabError(
            f"{file}: holds {len(labels)} comparisons, labels {cfg.initial.name} needs {cfg.initial.num}; raise "
            "comparisons.num, or with human labels take fewer: another `labels`, a smaller scale, or fewer "
            "comparisons.heldout"
        )
    return labels[: cfg.initial.num]


def _metrics(cfg: RewardStage, training: reward.Training, heldout: Path, ref: Reference) -> dict[str, float]:
    """Held-out figures, and the mean loss of the last fifth of the training."""
    figures = reward.evaluate(training.model, read(heldout), ref.prompt.pad_id, ref.queries.device)
    last = training.curve[-max(len(training.curve) // 5, 1) :]
    return {
        "heldout_accuracy": figures.accuracy,
        "heldout_accuracy_se": figures.accuracy_se,
        "heldout_loss": figures.loss,
        "expected_calibration_error": figures.ece,
        "train_loss": sum(row["loss"] for row in last) / len(last),
        "gain": training.model.gain.item(),
        "bias": training.model.bias.item(),
        "num_train": cfg.initial.num,
    }
