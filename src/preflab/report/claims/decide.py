"""The paper's claims (conf/claims.yaml) on a grid: each check measured, and the verdicts by the rule of verdicts.py."""

from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from preflab.errors import PreflabError, did_you_mean
from preflab.evaluate.statistics import LEVEL, Interval
from preflab.report import captions
from preflab.report.cells.accuracy import guesses
from preflab.report.cells.columns import NotMeasuredError
from preflab.report.cells.results import Arm, GridResults
from preflab.report.cells.selection import ANY, described, pairs, problems
from preflab.report.claims import measures, verdicts
from preflab.report.claims.measures import MEASURES, ArmPair, Measurement
from preflab.report.claims.verdicts import CONTRADICTED, INCONCLUSIVE, REPRODUCED, Case, Finding, Region
from preflab.report.table import Column, Table, TableRow, Value

TASK = "sentiment"  # of a claim that names none
CLAIM_KEYS = ["claim", "paper", "test", "run", "task", "checks"]
OUTCOMES = {REPRODUCED: "met", CONTRADICTED: "not met", INCONCLUSIVE: "undecided"}  # of a check, by its verdict
CHECK_KEYS = ["measure", "of", "against", "above", "below", "kl_within", "over", "seeds"]


@dataclass(frozen=True, slots=True)
class Check:
    """Something measured, where it must lie, and the verdict of its interval at the claim's α."""

    settings: dict[str, Any]  # the entry of conf/claims.yaml
    text: str  # what is measured: "judge prefers 5k offline to zero-shot"
    finding: Finding
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    contexts: int | None
    doubt: str  # why it decides nothing, whatever its interval; empty for a check that may decide
    alpha: float = 1  # of the claim
    of: int = 1  # how many checks the claim has

    @property
    def unit(self) -> measures.Unit:
        """Of its estimate, its interval and its bounds."""
        return MEASURES[self.settings["measure"]].unit

    @property
    def interval(self) -> Interval:
        """The estimate and its interval at LEVEL, as tables print it."""
        return self.finding.evidence.interval(1 - LEVEL)

    @property
    def deciding_interval(self) -> Interval:
        """The same at the level that decides."""
        return self.finding.evidence.interval(self.deciding_alpha)

    @property
    def deciding_alpha(self) -> float:
        """The claim's α; to contradict one of several checks, its share of it."""
        return self.alpha / self.of if self.verdict == CONTRADICTED else self.alpha

    @property
    def verdict(self) -> str:
        """Reproduced, contradicted or inconclusive: the rule for this check alone."""
        return self.finding.verdict(self.alpha, self.of)

    @property
    def outcome(self) -> str:
        """`met`, `not met` or `undecided`."""
        return OUTCOMES[self.verdict]

    @property
    def region(self) -> str:
        """`above 0.75 and below 1.25`."""
        bounds = [f"{key} {self.settings[key]:g}" for key in ("above", "below") if key in self.settings]
        return " and ".join(bounds) + self.unit.sign

    @property
    def cells(self) -> tuple[str, ...]:
        """The ids of all cells that it was measured on."""
        return tuple(dict.fromkeys(cell for arm in self.arms for cell in arm.ids))

    @property
    def synthetic(self) -> bool:
        """Whether some of its cells have synthetic labels."""
        return any(cell.row["synthetic"] for arm in self.arms for cell in arm.cells)

    @property
    def guessing(self) -> tuple[str, ...]:
        """The arms whose reward models are no better than chance: the check then says little about the method."""
        return tuple(dict.fromkeys(arm.name for arm in self.arms if guesses(arm)))

    @property
    def settle(self) -> dict[str, int | None]:
        """How many contexts or seeds would settle it; {} unless it is inconclusive for lack of them."""
        return self.finding.settle(self.alpha, self.of) if self.verdict == INCONCLUSIVE else {}


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the paper, its checks on this grid, and why others could not be measured (`missing`)."""

    number: int
    key: str
    text: str
    paper: str
    test: str
    run: str  # the command that builds the missing cells
    checks: tuple[Check, ...]
    missing: tuple[str, ...]
    alpha: float

    @property
    def case(self) -> Case:
        """Its findings, as the rule takes them."""
        return Case(tuple(check.finding for check in self.checks), not self.missing)

    @property
    def verdict(self) -> str:
        """Reproduced, contradicted, inconclusive or not run."""
        return self.case.verdict(self.alpha)

    @property
    def decided(self) -> bool:
        """Whether it is reproduced or contradicted."""
        return self.verdict in (REPRODUCED, CONTRADICTED)

    @property
    def guessing(self) -> tuple[str, ...]:
        """The arms of all checks whose reward models are no better than chance."""
        return tuple(dict.fromkeys(name for check in self.checks for name in check.guessing))

    @property
    def deciding(self) -> Check | None:
        """The check that a single line about the claim shows: the furthest from being reproduced."""
        outside = min(self.checks, key=lambda check: check.finding.p_outside, default=None)
        if self.verdict == CONTRADICTED:
            return outside
        return max(self.checks, key=lambda check: check.finding.p_inside, default=None)

    @property
    def settle(self) -> dict[str, int | None]:
        """What would settle an inconclusive claim; {} for the others, and where policies are not at equal KL."""
        open_ = [check.settle for check in self.checks if check.verdict == INCONCLUSIVE]
        return verdicts.most(open_) if self.verdict == INCONCLUSIVE else {}


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The entries of conf/claims.yaml by key.

    Raises PreflabError for a missing file or key, a misspelt key, and a check that is not sound.
    """
    import yaml

    if not path.exists():
        raise PreflabError(f"{path}: not found; it holds the claims and their bounds")
    try:
        entries = yaml.safe_load(path.read_text())
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise PreflabError(f"{path}: cannot be read ({' '.join(str(error).split())}); mend it") from error
    for key, entry in entries.items():
        where = f"{path}: {key}"
        for name in entry:
            if name not in CLAIM_KEYS:
                raise PreflabError(f"{where}: {name}: no such key of a claim; {did_you_mean(str(name), CLAIM_KEYS)}")
        if missing := [name for name in CLAIM_KEYS if name not in entry and name != "task"]:
            raise PreflabError(f"{where}: {', '.join(missing)} missing")
        for settings in entry["checks"]:
            _require_sound(settings, where)
    return dict(entries)


def _require_sound(settings: dict[str, Any], where: str) -> None:
    """Raises PreflabError for a misspelt key, an unknown measure, or a check that any number would pass."""
    for key in settings:
        if key not in CHECK_KEYS:
            raise PreflabError(f"{where}: {key}: no such key of a check; {did_you_mean(str(key), CHECK_KEYS)}")
    measure = settings.get("measure")
    if measure not in MEASURES:
        raise PreflabError(f"{where}: measure={measure}: {did_you_mean(str(measure), list(MEASURES))}")
    if missing := [key for key in ("of", *MEASURES[measure].needs) if key not in settings]:
        raise PreflabError(f"{where}: {measure}: {', '.join(missing)} missing")
    if not {"above", "below"} & settings.keys():
        raise PreflabError(f"{where}: {measure}: no bound; give it above, below or both")
    for side in ("of", "against"):
        if side in settings and (problem := problems(settings[side], f"{where}: {measure}: {side}")):
            raise PreflabError(problem)


def decide(path: Path, grid: GridResults) -> list[Claim]:
    """Every claim of `path` on this grid, in the order of the file."""
    entries = read(path)
    measured = [_measure_all(entry, grid) for entry in entries.values()]
    cases = [Case(tuple(check.finding for check in checks), not missing) for checks, missing in measured]
    claims = []
    rows = zip(entries.items(), measured, verdicts.holm(cases), strict=True)
    for number, ((key, entry), (checks, missing), alpha) in enumerate(rows, 1):
        final = tuple(_at(check, alpha, len(checks)) for check in checks)
        texts = (entry["claim"], entry["paper"], entry["test"], entry["run"])
        claims.append(Claim(number, key, *texts, final, tuple(dict.fromkeys(missing)), alpha))
    return claims


def _at(check: Check, alpha: float, of: int) -> Check:
    return replace(check, alpha=alpha, of=of)


def _measure_all(entry: dict[str, Any], grid: GridResults) -> tuple[list[Check], list[str]]:
    """The checks of a claim on each of its tasks that the grid has, and the reasons why others were not measured."""
    task_or_tasks = entry.get("task", TASK)
    tasks = task_or_tasks if isinstance(task_or_tasks, list) else [task_or_tasks]
    present = [task for task in tasks if any(cell.row["task"] == task for cell in grid.cells)]
    checks: list[Check] = []
    missing: list[str] = []
    for settings in entry["checks"]:
        measured, reasons = [], []
        for task in present:
            for of, against in pairs(grid, task, settings["of"], settings.get("against")):
                try:
                    measured.append(_check(ArmPair(grid, of, against, settings), len(tasks) > 1))
                except NotMeasuredError as error:
                    reasons.append(str(error))
        checks += measured
        missing += reasons if measured or reasons else [_lacking(settings, tasks)]
    return checks, missing


def _check(pair: ArmPair, name_task: bool) -> Check:
    settings = pair.settings
    measurement: Measurement = MEASURES[settings["measure"]].function(pair)
    if len(measurement.seeds) < settings.get("seeds", 0):
        needs = f"needs {settings['seeds']} seeds, the grid has {len(measurement.seeds)}"
        raise NotMeasuredError(f"{measurement.text}: {needs}")
    doubt = ""
    if settings.get("kl_within", ANY) != ANY:
        a, b, equal = measures.kl_gap(pair)
        doubt = "" if equal else f"KL {a:.2f} and {b:.2f} differ by more than {100 * settings['kl_within']:.0f} %"
    arms = (pair.of, pair.against) if pair.against else (pair.of,)
    axes = pair.of.family.split(", ")[2:]
    text = measurement.text + (f" ({', '.join(axes)})" if axes else "")
    region = Region(settings.get("above", -inf), settings.get("below", inf))
    finding = Finding(measurement.evidence, region, comparable=not doubt)
    task = f"{pair.of.first.row['task']}: " if name_task else ""
    return Check(settings, task + text, finding, arms, tuple(measurement.seeds), measurement.contexts, doubt)


def _lacking(settings: dict[str, Any], tasks: list[str]) -> str:
    sides = [described(settings[side]) for side in ("of", "against") if side in settings]
    return f"the grid lacks the cells of {' against '.join(f'({side})' for side in sides)} in {' or '.join(tasks)}"


def table(grid: GridResults, claims: list[Claim]) -> Table:
    """One row for each check that could be measured."""
    rows = []
    for claim in claims:
        for check in claim.checks:
            values: dict[str, Value] = {
                "claim": f"{claim.number}. {claim.text}",
                "claim_verdict": claim.verdict,
                "check": check.text,
                "labels": " vs ".join(captions.labels_text(grid, arm.first) for arm in check.arms),
                "source": captions.source_text(check.arms[0].first),
                "seeds": captions.seeds_text(check.arms[0]),
                "ours": check.interval,
                "unit": check.unit.name,
                "region": check.region,
                "outcome": check.outcome + (f" ({check.doubt})" if check.doubt else ""),
                "level": level(check.deciding_alpha),
                "paper": claim.paper,
            }
            rows.append(TableRow(values, check.cells, check.unit.decimals))
    columns = (
        Column("claim", "claim of the paper"),
        Column("claim_verdict", "verdict"),
        Column("check", "measured"),
        Column("labels", "labels"),
        Column("source", "labels from"),
        Column("seeds", "seeds"),
        Column("ours", "ours", "interval"),
        Column("unit", "unit"),
        Column("region", "required"),
        Column("outcome", "check"),
        Column("level", "at level"),
        Column("paper", "in the paper"),
    )
    notes = [*verdicts.RULE, "The bounds are ours (conf/claims.yaml): the paper draws its conclusions without any."]
    return captions.table(grid, "claims", "Checks of the paper's claims", columns, rows, notes, folded=True)


def level(alpha: float) -> str:
    """`99.17 %`."""
    return f"{100 * (1 - alpha):.2f} %"
