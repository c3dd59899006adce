"""Verdicts on the paper's claims, by the rule and the thresholds of conf/claims.yaml and by nothing else."""

from dataclasses import dataclass
from math import inf, sqrt
from pathlib import Path
from typing import Any, NamedTuple

from preflab.errors import PreflabError, did_you_mean
from preflab.evaluate.statistics import Interval
from preflab.report import captions, compare, tables
from preflab.report.compare import Arm, Family
from preflab.report.load import Grid
from preflab.report.table import Column, Row, Table, Value

HOLDS = "holds"
FAILS = "does not hold"
CROSSES = "undecided (interval crosses)"
KL_DIFFERS = "undecided (KL differs)"
MISSING = "undecided (policies missing)"


class Unit(NamedTuple):
    """What a measure is printed in; conf/claims.yaml gives its thresholds in the same."""

    name: str
    decimals: int
    factor: float


UNITS = {
    "win_rate": Unit("% of contexts", 1, 100),
    "reward_difference": Unit("SD of ρ", 2, 1),
    "kl_ratio": Unit("× target", 2, 1),
    "accuracy": Unit("% of comparisons", 1, 100),
    "accuracy_difference": Unit("% of comparisons", 1, 100),
}


BOUNDS = {"above": "above {}", "below": "below {}", "mean_above": "mean at least {}"}
CHECK_KEYS = ["measure", "of", "against", *BOUNDS, "errors", "kl_within"]


@dataclass(frozen=True, slots=True)
class Check:
    """Something measured, where it must lie, and whether it does."""

    text: str  # what is measured: "judge prefers 5k offline to zero-shot"
    unit: Unit
    interval: Interval  # in that unit
    region: str  # "above 70"
    verdict: str
    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the paper and its checks on this grid; `missing`: what the grid lacks policies for."""

    key: str
    text: str
    paper: str
    checks: tuple[Check, ...]
    missing: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """All checks hold, or one does not, or the first reason why it is undecided."""
        found = [check.verdict for check in self.checks] + [MISSING] * bool(self.missing)
        if FAILS in found:
            return FAILS
        return next((verdict for verdict in found if verdict != HOLDS), HOLDS)


def judge(interval: Interval, above: float = -inf, below: float = inf, mean_above: float = -inf) -> str:
    """Whether an interval lies between two bounds wholly (holds), not at all (does not hold) or in part.

    `mean_above`: what the mean itself must reach, or it does not hold.
    """
    if interval.mean < mean_above or interval.high <= above or interval.low >= below:
        return FAILS
    return HOLDS if interval.low > above and interval.high < below else CROSSES


def decide(path: Path, grid: Grid) -> list[Claim]:
    """Every claim of `path` on this grid."""
    from omegaconf import OmegaConf

    if not path.exists():
        raise PreflabError(f"{path}: not found; it holds the claims and their thresholds")
    entries: Any = OmegaConf.to_container(OmegaConf.load(path))
    found = compare.families(grid)
    claims = []
    for key, entry in entries.items():
        checks: list[Check] = []
        missing: list[str] = []
        for settings in entry["checks"]:
            _require_sound(settings, f"{path}: {key}")
            made = [check for family in found for check in _checks(settings, family)]
            checks += made
            if not made:
                missing.append(" vs ".join(settings[k] for k in ("of", "against") if k in settings))
        claims.append(Claim(key, entry["claim"], entry["paper"], tuple(checks), tuple(missing)))
    return claims


def _require_sound(settings: dict[str, Any], where: str) -> None:
    """An error for a misspelt key, an unknown measure, or a check that any number would pass."""
    for key in settings:
        if key not in CHECK_KEYS:
            raise PreflabError(f"{where}: {key}: no such key of a check; {did_you_mean(str(key), CHECK_KEYS)}")
    measure = settings.get("measure")
    if measure not in UNITS:
        raise PreflabError(f"{where}: measure={measure}: {did_you_mean(str(measure), list(UNITS))}")
    needed = ["of"] + ["errors"] * measure.startswith("accuracy") + ["kl_within"] * (measure == "reward_difference")
    needed += ["against"] * (measure not in ("kl_ratio", "accuracy"))
    if missing := [key for key in needed if key not in settings]:
        raise PreflabError(f"{where}: {measure}: {', '.join(missing)} missing")
    if not BOUNDS.keys() & settings.keys():
        raise PreflabError(f"{where}: {measure}: no bound; give it one or more of {', '.join(BOUNDS)}")


def _checks(settings: dict[str, Any], family: Family) -> list[Check]:
    """One check for a family, one for each of its adaptive policies, or none where an arm is missing."""
    bounds = {key: settings[key] for key in BOUNDS if key in settings}
    checked: list[tuple[Arm, Arm | None]] = []
    region = " and ".join(BOUNDS[key].format(value) for key, value in bounds.items())
    if settings["of"] == "adaptive":
        checked += [(arm, None) for arm in family.trained if arm.first.row["kl_target"]]
    elif (one := family.arm(settings["of"])) and "against" not in settings:
        checked.append((one, None))
    elif one and (two := family.arm(settings["against"])):
        checked.append((one, two))
    made = []
    for arm, other in checked:
        measured = _measure(settings, arm, other)
        if measured is None:
            continue
        share, text, comparable = measured
        unit = UNITS[settings["measure"]]
        interval = Interval(*(unit.factor * end for end in share))
        verdict = judge(interval, **bounds) if comparable else KL_DIFFERS
        arms = (arm, other) if other else (arm,)
        made.append(Check(text + captions.extra_axes(family), unit, interval, region, verdict, arms))
    return made


def _measure(settings: dict[str, Any], arm: Arm, other: Arm | None) -> tuple[Interval, str, bool] | None:
    """The interval, what it is of, and whether the two can be compared; None where no seed is common."""
    measure = settings["measure"]
    if measure == "kl_ratio":
        target = arm.first.row["kl_target"]
        return (
            Interval(*(end / target for end in compare.mean(arm, "kl"))),
            f"KL of {arm.name}, target {target:g}",
            True,
        )
    if measure == "accuracy":
        accuracy = tables.reward_accuracy(arm)
        return (
            _around(accuracy.mean, settings["errors"] * accuracy.error),
            f"held-out accuracy, {arm.name}",
            True,
        )
    assert other is not None, settings
    if measure == "accuracy_difference":
        one, two = tables.reward_accuracy(arm), tables.reward_accuracy(other)
        half = settings["errors"] * sqrt(one.error**2 + two.error**2)
        return _around(one.mean - two.mean, half), f"held-out accuracy, {arm.name} − {other.name}", True
    if measure == "win_rate":
        wins = compare.win_rate(arm, other)
        return wins and (wins, f"judge prefers {arm.name} to {other.name}", True)
    gap = compare.difference(arm, other, "labeller")
    kl = [compare.mean(each, "kl").mean for each in (arm, other)]
    equal = abs(kl[0] - kl[1]) <= settings["kl_within"] * max(kl)
    return gap and (gap, f"mock reward, {arm.name} − {other.name} (KL {kl[0]:.2f} and {kl[1]:.2f})", equal)


def _around(mean: float, half: float) -> Interval:
    return Interval(mean, mean - half, mean + half)


def table(grid: Grid, claims: list[Claim]) -> Table:
    """One row for each check."""
    rows = []
    for claim in claims:
        for check in claim.checks:
            labels = " vs ".join(captions.labels_text(grid, arm.first) for arm in check.arms)
            values: dict[str, Value] = {
                "claim": claim.text,
                "claim_verdict": claim.verdict,
                "check": check.text,
                "labels": labels,
                "source": captions.source_text(check.arms[0].first),
                "ours": check.interval,
                "unit": check.unit.name,
                "region": check.region,
                "verdict": check.verdict,
                "paper": claim.paper,
            }
            ids = tuple(dict.fromkeys(cell for arm in check.arms for cell in arm.ids))
            rows.append(Row(values, ids, check.unit.decimals))
    columns = (
        Column("claim", "claim of the paper"),
        Column("claim_verdict", "verdict"),
        Column("check", "what is measured"),
        Column("labels", "labels"),
        Column("source", "labels from"),
        Column("ours", "ours", "interval"),
        Column("unit", "unit"),
        Column("region", "must lie"),
        Column("verdict", "check"),
        Column("paper", "in the paper"),
    )
    notes = [
        f"A check {HOLDS} if its whole interval lies where it must, {FAILS} if all of it lies elsewhere or its mean "
        "misses a bound of the mean, else it is undecided. "
        f"A claim {HOLDS} if all its checks do and {FAILS} if one of them does not. "
        "The thresholds are ours (conf/claims.yaml).",
        f"Intervals: {compare.METHOD}; of accuracies: 3 standard errors against chance, 1.96 between models.",
    ]
    missing = [f"{claim.text} ({', '.join(claim.missing)})" for claim in claims if claim.missing]
    if missing:
        notes.append(f"Not decided, the grid lacks the policies: {'; '.join(missing)}.")
    title = f"Claims of the paper. {captions.caption_mark(grid)}"
    return Table("claims", title, columns, tuple(rows), captions.references(grid), tuple(notes))
