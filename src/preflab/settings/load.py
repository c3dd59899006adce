"""The settings of every stage as typed schemas, and the checks that need more than a type.

Each stage reads one file `params/<stage>/<id>.yaml` that holds only the settings it owns.  `load` merges that file into
the stage's schema (a misspelt key or a wrong type is an error) and then reports every failed check at once.
Values and their sources (paper / released code / ours) stand in conf/.  No torch here.
"""

import math
from dataclasses import fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from preflab import corpora, labellers
from preflab.errors import PreflabError, did_you_mean
from preflab.human_labels import readers
from preflab.settings.data import (
    CORPUS_SOURCES,
    LABEL_SOURCES,
    MODEL_SOURCES,
    ComparisonsSettings,
    CorpusSettings,
    HumanLabelsSettings,
    LabellerSettings,
    ModelSettings,
    QuerySettings,
)
from preflab.settings.method import (
    ADAMS,
    PENALTIES,
    EvaluationSettings,
    FrontierSettings,
    OnlineSettings,
    PolicySettings,
    RewardSettings,
    RuntimeSettings,
    SftSettings,
    TaskSettings,
)
from preflab.settings.stages import STAGES, PpoStage, RewardStage
from preflab.text import cleaning

Stage = TypeVar("Stage")


def register_resolvers() -> None:
    """`${budget:N,SCALE,MULTIPLE}`: the paper's budget N × SCALE, rounded down to a multiple (at least one)."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("budget", budget, replace=True)


def budget(full: int, scale: object, multiple: int) -> int:
    """`budget(5000, "1/20", 8)` is 248: 250 rounded down to a multiple of 8 (as the released code's 4,992 of 5,000)."""
    try:
        scaled = int(full * Fraction(str(scale)))
    except (ValueError, ZeroDivisionError) as error:
        raise PreflabError(f"scale={scale}: expected a number or a fraction such as 1/20") from error
    if scaled <= 0:
        raise PreflabError(f"scale={scale}: {full} × {scale} leaves nothing; take a larger scale")
    multiple = max(multiple, 1)  # a batch of 0 is reported by `check`
    return max(scaled // multiple, 1) * multiple


def load(stage: str, path: Path) -> Any:
    """The settings of one stage instance from its params file, typed and checked; all problems at once."""
    from omegaconf import OmegaConf

    if not path.exists():
        raise PreflabError(f"{path}: not found; `dvc repro params` writes it from conf/")
    return parse(stage, OmegaConf.load(path), str(path))


def parse(stage: str, settings: Any, where: str) -> Any:
    """`settings` (a mapping) as an instance of the stage's schema; `where` names them in errors."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    schema = STAGES[stage]
    if problems := unknown_keys(schema, OmegaConf.to_container(OmegaConf.create(settings), resolve=True)):
        raise PreflabError(f"{where}: " + "; ".join(problems))
    try:
        typed = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), settings))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "?"
        raise PreflabError(f"{where}: {key}: {str(error).splitlines()[0]}") from error
    if problems := check(typed):
        raise PreflabError(f"{where}: " + "; ".join(problems))
    return typed


def unknown_keys(schema: type, settings: Any, prefix: str = "") -> list[str]:
    """A sentence for each key that the schema does not have, with the nearest that it has."""
    known = get_type_hints(schema)
    problems = []
    for key, value in settings.items():
        if key not in known:
            problems.append(f"{prefix}{key}: no such setting; {did_you_mean(str(key), list(known))}")
            continue
        inner = [known[key], *getattr(known[key], "__args__", ())]
        nested = next((t for t in inner if is_dataclass(t)), None)
        parts = {f"[{i}]": one for i, one in enumerate(value)} if isinstance(value, list) else {"": value}
        for place, part in parts.items():
            if isinstance(part, dict) and isinstance(nested, type):
                problems += unknown_keys(nested, part, f"{prefix}{key}{place}.")
    return problems


def wrong_keys(schema: type, settings: Any, prefix: str) -> list[str]:
    """`unknown_keys`, and a sentence for each key that is missing."""
    problems = unknown_keys(schema, settings, prefix)
    for key, kind in get_type_hints(schema).items():
        if key not in settings:
            problems.append(f"{prefix}{key}: missing; give it a value")
        elif isinstance(settings[key], dict) and is_dataclass(kind) and isinstance(kind, type):
            problems += [p for p in wrong_keys(kind, settings[key], f"{prefix}{key}.") if p not in problems]
    return problems


def check(settings: Any) -> list[str]:
    """Every problem that a type cannot see, as `key=value: what is wrong; what to do`."""
    problems: list[str] = []

    def need(condition: bool, message: str) -> None:
        if not condition:
            problems.append(message)

    for entry in fields(settings):
        part = getattr(settings, entry.name)
        if isinstance(part, CorpusSettings):
            problems += _check_corpus(entry.name, part)
        if isinstance(part, ModelSettings):
            problems += _check_model(part)
        if isinstance(part, TaskSettings):
            need(part.temperature > 0, f"task.temperature={part.temperature}: must be above 0")
            need(part.response_length > 0, f"task.response_length={part.response_length}: must be above 0")
            need(
                part.truncate_token is None or 0 <= part.truncate_after < part.response_length,
                f"task.truncate_after={part.truncate_after}: "
                f"must be an index inside task.response_length={part.response_length}",
            )
        if isinstance(part, QuerySettings | TaskSettings):
            need(part.query_length > 0, f"task.query_length={part.query_length}: must be above 0")
        if isinstance(part, RuntimeSettings):
            need(part.threads > 0, f"runtime.threads={part.threads}: must be above 0")
            choices = ["auto", "bf16", "fp32"]
            need(
                part.precision in choices,
                f"runtime.precision={part.precision}: {did_you_mean(part.precision, choices)}",
            )
        if isinstance(part, LabellerSettings):
            problems += _check_labeller(part)
        if isinstance(part, HumanLabelsSettings):
            problems += _check_label_file(part)
        if isinstance(part, EvaluationSettings):
            need(part.votes % 2 == 1, f"evaluation.votes={part.votes}: must be odd, or majorities tie")
            problems += _above_zero("evaluation", part, "contexts", "votes", "rollout_batch")
        if isinstance(part, FrontierSettings):
            problems += _above_zero("evaluation.frontier", part, "contexts", "samples")
            need(
                part.contexts <= settings.evaluation.contexts,
                f"evaluation.frontier.contexts={part.contexts}: more than "
                f"evaluation.contexts={settings.evaluation.contexts}",
            )
        if isinstance(part, ComparisonsSettings):
            problems += _above_zero("comparisons", part, "num", "heldout", "rollout_batch", "max_rounds")
        if isinstance(part, RewardSettings):
            problems += _check_reward(part)
        if isinstance(part, PolicySettings):
            problems += _check_policy(part)
        if isinstance(part, SftSettings):
            problems += _check_sft(part)
        if isinstance(part, OnlineSettings):
            problems += _check_reward(part.reward)
            starts = ["reference", "policy"]
            need(
                part.retrain_from in starts,
                f"collection.retrain_from={part.retrain_from}: {did_you_mean(part.retrain_from, starts)}",
            )
            need(
                part.num_initial <= part.num_train,
                f"collection.initial.num={part.num_initial}: more than labels.num_train={part.num_train}",
            )
    if isinstance(settings, PpoStage) and settings.online and settings.online.reward.shared:
        problems.append("reward.shared=true: trains on labels that are all there; take collection=offline")
    if isinstance(settings, RewardStage) and not settings.direct and settings.reward.batch_size > 0:
        need(
            settings.initial.num % settings.reward.batch_size == 0,
            f"labels.num_train={settings.initial.num}: "
            f"not a multiple of reward.batch_size={settings.reward.batch_size}",
        )
    return problems


def _above_zero(group: str, part: Any, *names: str) -> list[str]:
    """The counts of a part that must be above 0 and are not."""
    found = {name: getattr(part, name) for name in names}
    return [
        f"{group}.{name}={value}: must be above 0" for name, value in found.items() if value is not None and value <= 0
    ]


def _check_labeller(labeller: LabellerSettings) -> list[str]:
    scorers = dict.fromkeys([labeller.scorer, *(scorer for taste in labeller.pool for scorer in taste.weights)])
    problems = [problem for problem in map(labellers.problem, scorers) if problem]
    if problem := labellers.problem(labeller.judge, "judge"):
        problems.append(problem)
    if labeller.judge == labeller.scorer:
        problems.append(f"labeller.judge={labeller.judge}: the labeller itself; take another judge")
    if labeller.agreement is not None and not 0.25 < labeller.agreement < 1:
        problems.append(
            f"labeller.agreement={labeller.agreement}: must lie between 0.25 (chance) and 1, or be null",
        )
    if not 0 <= labeller.flip_rate < 0.75:
        problems.append(f"labeller.flip_rate={labeller.flip_rate}: must be at least 0 and below 0.75 (chance)")
    names = [taste.name for taste in labeller.pool]
    if len(names) == 1 or len(set(names)) < len(names):
        problems.append(f"labeller.pool: the names are {names}; give it two or more labellers of different names")
    for number, taste in enumerate(labeller.pool):
        if not any(taste.weights.values()) or not all(map(math.isfinite, taste.weights.values())):
            problems.append(f"labeller.pool[{number}].weights={taste.weights}: give a scorer a weight other than 0")
        if not 0 <= taste.noise < math.inf:
            problems.append(f"labeller.pool[{number}].noise={taste.noise}: must be 0 or above")
    return problems


def _check_label_file(labels: HumanLabelsSettings) -> list[str]:
    problems = []
    if labels.source not in LABEL_SOURCES:
        problems.append(f"labeller.human_labels.source={labels.source}: {did_you_mean(labels.source, LABEL_SOURCES)}")
    elif not labels.path:
        what = "a data set of the hub as REPOSITORY@COMMIT" if labels.source == "hub" else "your file or folder"
        problems.append(f"labeller.human_labels.path is not set: name {what}")
    elif labels.source == "hub" and not labels.file:
        problems.append(f"labeller.human_labels.file is not set: name a file of {labels.path}")
    elif labels.source == "path" and not Path(labels.path).expanduser().exists():
        problems.append(
            f"labeller.human_labels.path={labels.path}: no such file or folder (a relative path begins at {Path.cwd()})"
        )
    if labels.format is not None and labels.format not in readers.names():
        problems.append(f"labeller.human_labels.format={labels.format}: {did_you_mean(labels.format, readers.names())}")
    if not (0 <= labels.max_bad < 1 or (labels.max_bad >= 1 and labels.max_bad.is_integer())):
        problems.append(f"labeller.human_labels.max_bad={labels.max_bad}: must be a whole number, or a share below 1")
    return problems


def _check_corpus(group: str, corpus: CorpusSettings) -> list[str]:
    problems = _above_zero(group, corpus, "limit", "rows")
    if corpus.reader not in corpora.names():
        problems.append(f"{group}.reader={corpus.reader}: {did_you_mean(corpus.reader, corpora.names())}")
    if corpus.clean not in cleaning.CLEANERS:
        problems.append(f"{group}.clean={corpus.clean}: {did_you_mean(corpus.clean, list(cleaning.CLEANERS))}")
    if corpus.passage is not None and corpus.passage < 100:
        problems.append(f"{group}.passage={corpus.passage}: must be 100 characters or more, or null")
    if corpus.source not in CORPUS_SOURCES:
        problems.append(f"{group}.source={corpus.source}: {did_you_mean(corpus.source, CORPUS_SOURCES)}")
    elif corpus.source == "package" and not (corpus.package and corpus.version):
        problems.append(f"{group}.package={corpus.package}=={corpus.version}: name a package and its version")
    elif corpus.source != "package" and not corpus.path:
        what = "a data set of the hub as REPOSITORY@COMMIT" if corpus.source == "hub" else "your file or folder"
        problems.append(f"{group}.path is not set: name {what}")
    return problems


def _check_model(model: ModelSettings) -> list[str]:
    if model.source not in MODEL_SOURCES:
        return [f"model.source={model.source}: {did_you_mean(model.source, MODEL_SOURCES)}"]
    if model.source in ("asset", "hub", "folder") and not model.path:
        what = "a repository of the hub as REPOSITORY@COMMIT" if model.source == "hub" else "a folder"
        return [f"model.path is not set: name {what}"]
    return []


def _check_reward(reward: RewardSettings) -> list[str]:
    problems = _above_zero("reward", reward, "batch_size", "epochs", "normalize_samples", "rollout_batch")
    if reward.adam not in ADAMS:
        problems.append(f"reward.adam={reward.adam}: {did_you_mean(reward.adam, ADAMS)}")
    return problems


def _check_policy(policy: PolicySettings) -> list[str]:
    problems = _above_zero("policy", policy, "episodes", "batch_size", "nminibatches", "microbatch_size", "epochs")
    if policy.adam not in ADAMS:
        problems.append(f"policy.adam={policy.adam}: {did_you_mean(policy.adam, ADAMS)}")
    if policy.penalty not in PENALTIES:
        problems.append(f"policy.penalty={policy.penalty}: {did_you_mean(policy.penalty, PENALTIES)}")
    for name in ("reward_sign", "kl_sign"):
        if getattr(policy, name) not in (1, -1):
            problems.append(f"policy.{name}={getattr(policy, name)}: must be 1 or -1")
    if policy.batch_size > 0 and policy.episodes % policy.batch_size:
        problems.append(f"policy.episodes={policy.episodes}: not a multiple of policy.batch_size={policy.batch_size}")
    if policy.nminibatches > 0 and policy.batch_size % policy.nminibatches:
        problems.append(
            f"policy.batch_size={policy.batch_size}: not a multiple of policy.nminibatches={policy.nminibatches}"
        )
    if policy.adaptive_kl is not None and policy.adaptive_kl.target <= 0:
        problems.append(f"policy.adaptive_kl.target={policy.adaptive_kl.target}: must be above 0 nats")
    if policy.adaptive_kl is not None and policy.adaptive_kl.horizon <= 0:
        problems.append(f"policy.adaptive_kl.horizon={policy.adaptive_kl.horizon}: must be above 0 episodes")
    return problems


def _check_sft(sft: SftSettings) -> list[str]:
    counts = ("lrs", "lr_low", "lr_high", "epochs", "batch_size", "num_train", "num_validation")
    problems = _above_zero("sft", sft, *counts)
    if sft.adam not in ADAMS:
        problems.append(f"sft.adam={sft.adam}: {did_you_mean(sft.adam, ADAMS)}")
    if not 0 <= sft.dropout < 1:
        problems.append(f"sft.dropout={sft.dropout}: must lie between 0 (none) and 1")
    if sft.lrs > 1 and sft.lr_low >= sft.lr_high:
        problems.append(f"sft.lr_high={sft.lr_high}: must be above sft.lr_low={sft.lr_low}, or set sft.lrs=1")
    if sft.lrs == 1 and sft.lr_low != sft.lr_high:
        problems.append(f"sft.lrs=1: the only rate is sft.lr_low={sft.lr_low}; set sft.lr_high={sft.lr_high} to it too")
    return problems
