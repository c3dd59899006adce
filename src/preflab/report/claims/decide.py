"""The paper's claims (conf/claims.yaml) on a grid: each check measured, and the verdicts by the rule of verdicts.py."""

from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from preflab.errors import PreflabError, did_you_mean
from preflab.evaluate.statistics import Interval
from preflab.report import captions
from preflab.report.cells.accuracy import guesses
from preflab.report.cells.arms import Arm
from preflab.report.cells.columns import AbsentError
from preflab.report.cells.load import Grid
from preflab.report.cells.select import ANY, described, pairs, problems
from preflab.report.claims import measures, verdicts
from preflab.report.claims.measures import MEASURES, Asked, Measured
from preflab.report.claims.verdicts import CONTRADICTED, INCONCLUSIVE, REPRODUCED, Case, Finding, Region
from preflab.report.table import Column, Row, Table, Value

TASK = "sentiment"  # of a claim that names none
CLAIM_KEYS = ["claim", "paper", "test", "run", "task", "checks"]
CHECK_KEYS = ["measure", "of", "against", "above", "below", "kl_within", "over", "seeds"]


@dataclass(frozen=True, slots=True)
class Check:
    """Something measured, where it must lie, and what its interval at the claim's α says."""

    settings: dict[str, Any]  # the entry of conf/claims.yaml
    text: str  # what is measured: "judge prefers 5k offline to zero-shot"
    finding: Finding
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    contexts: int | None
    doubt: str  # why it decides nothing, whatever its interval; empty if it may
    alpha: float = 1  # of the claim
    of: int = 1  # how many checks the claim has

    @property
    def unit(self) -> measures.Unit:
        return MEASURES[self.settings["measure"]].unit

    @property
    def interval(self) -> Interval:
        return self.finding.evidence.interval(self.alpha)

    @property
    def verdict(self) -> str:
        return self.finding.verdict(self.alpha, self.of)

    @property
    def region(self) -> str:
        """`above 0.75 and below 1.25`."""
        return " and ".join(f"{key} {self.settings[key]:g}" for key in ("above", "below") if key in self.settings)

    @property
    def cells(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cell for arm in self.arms for cell in arm.ids))

    @property
    def synthetic(self) -> bool:
        return any(cell.row["synthetic"] for arm in self.arms for cell in arm.cells)

    @property
    def guessing(self) -> tuple[str, ...]:
        """The arms whose reward models know no more than chance: the check then speaks of them, not of the method."""
        return tuple(dict.fromkeys(arm.name for arm in self.arms if guesses(arm)))

    @property
    def settle(self) -> dict[str, int | None]:
        return self.finding.settle(self.alpha, self.of) if self.verdict == INCONCLUSIVE else {}


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the paper, its checks on this grid, and why others could not be measured (`missing`)."""

    number: int
    key: str
    text: str
    paper: str
    test: str
    run: str  # the command that runs what is missing
    checks: tuple[Check, ...]
    missing: tuple[str, ...]
    alpha: float

    @property
    def case(self) -> Case:
        return Case(tuple(check.finding for check in self.checks), not self.missing)

    @property
    def verdict(self) -> str:
        return self.case.verdict(self.alpha)

    @property
    def decided(self) -> bool:
        return self.verdict in (REPRODUCED, CONTRADICTED)

    @property
    def guessing(self) -> tuple[str, ...]:
        """As of a check, of all of them."""
        return tuple(dict.fromkeys(name for check in self.checks for name in check.guessing))

    @property
    def deciding(self) -> Check | None:
        """The check that stands for the claim where there is room for one: the furthest from being reproduced."""
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
    """The entries of conf/claims.yaml by key; a PreflabError names what is wrong with them."""
    from omegaconf import OmegaConf

    if not path.exists():
        raise PreflabError(f"{path}: not found; it holds the claims and their bounds")
    entries: Any = OmegaConf.to_container(OmegaConf.load(path))
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
    """An error for a misspelt key, an unknown measure, or a check that any number would pass."""
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


def decide(path: Path, grid: Grid) -> list[Claim]:
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


def _measure_all(entry: dict[str, Any], grid: Grid) -> tuple[list[Check], list[str]]:
    """The checks of a claim on every one of its tasks that the grid has, and what is missing for others."""
    wanted = entry.get("task", TASK)
    tasks = wanted if isinstance(wanted, list) else [wanted]
    here = [task for task in tasks if any(cell.row["task"] == task for cell in grid.cells)]
    checks: list[Check] = []
    missing: list[str] = []
    for settings in entry["checks"]:
        made, absent = [], []
        for task in here:
            for of, against in pairs(grid, task, settings["of"], settings.get("against")):
                try:
                    made.append(_check(Asked(grid, of, against, settings), len(tasks) > 1))
                except AbsentError as error:
                    absent.append(str(error))
        checks += made
        missing += absent if made or absent else [_lacking(settings, tasks)]
    return checks, missing


def _check(asked: Asked, name_task: bool) -> Check:
    settings = asked.settings
    found: Measured = MEASURES[settings["measure"]].function(asked)
    if len(found.seeds) < settings.get("seeds", 0):
        raise AbsentError(f"{found.text}: needs {settings['seeds']} seeds, the grid has {len(found.seeds)}")
    doubt = ""
    if settings.get("kl_within", ANY) != ANY:
        one, other, equal = measures.kl_gap(asked)
        doubt = "" if equal else f"KL {one:.2f} and {other:.2f} differ by more than {100 * settings['kl_within']:.0f} %"
    arms = (asked.of, asked.against) if asked.against else (asked.of,)
    axes = asked.of.family.split(", ")[2:]
    text = found.text + (f" ({', '.join(axes)})" if axes else "")
    region = Region(settings.get("above", -inf), settings.get("below", inf))
    finding = Finding(found.evidence, region, comparable=not doubt)
    task = f"{asked.of.first.row['task']}: " if name_task else ""
    return Check(settings, task + text, finding, arms, tuple(found.seeds), found.contexts, doubt)


def _lacking(settings: dict[str, Any], tasks: list[str]) -> str:
    sides = [described(settings[side]) for side in ("of", "against") if side in settings]
    return f"the grid lacks the cells of {' against '.join(f'({side})' for side in sides)} in {' or '.join(tasks)}"


def table(grid: Grid, claims: list[Claim]) -> Table:
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
                "level": level(check.alpha),
                "unit": check.unit.name,
                "region": check.region,
                "verdict": check.verdict + (f" ({check.doubt})" if check.doubt else ""),
                "paper": claim.paper,
            }
            rows.append(Row(values, check.cells, check.unit.decimals))
    columns = (
        Column("claim", "claim of the paper"),
        Column("claim_verdict", "verdict"),
        Column("check", "what is measured"),
        Column("labels", "labels"),
        Column("source", "labels from"),
        Column("seeds", "seeds"),
        Column("ours", "ours", "interval"),
        Column("level", "interval"),
        Column("unit", "unit"),
        Column("region", "must lie"),
        Column("verdict", "check"),
        Column("paper", "in the paper"),
    )
    notes = [*verdicts.RULE, "The bounds are ours (conf/claims.yaml): the paper draws its conclusions without any."]
    title = f"Checks of the paper's claims. {captions.caption_mark(grid)}"
    return Table("claims", title, columns, tuple(rows), captions.references(grid), tuple(notes))


def level(alpha: float) -> str:
    """`99.17 %`."""
    return f"{100 * (1 - alpha):.2f} %"
