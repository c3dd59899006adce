"""The claims for readers and for programs: claims.md, claims.json, and the short table of index.md and index.html."""

import json
from math import inf
from typing import Any, NamedTuple

from preflab.report import captions
from preflab.report.cells.accuracy import CHANCE
from preflab.report.cells.load import Grid
from preflab.report.claims import verdicts
from preflab.report.claims.decide import Check, Claim, level
from preflab.report.claims.evidence import RESAMPLES
from preflab.report.claims.verdicts import CONTRADICTED, INCONCLUSIVE, NOT_RUN
from preflab.report.table import NOTHING

DIGITS = 6  # of the numbers in claims.json


class Line(NamedTuple):
    """A claim in one line."""

    number: int
    claim: str
    verdict: str
    ours: str
    seeds: str
    labels: str
    paper: str
    guessing: bool  # a reward model of the compared policies knows no more than chance


def lines(claims: list[Claim]) -> list[Line]:
    """Every claim with the check that stands for it."""
    found = []
    for claim in claims:
        check = claim.deciding
        ours, who = (numbers(check), _source(check.synthetic)) if check else (NOTHING, NOTHING)
        guessing = bool(claim.guessing)
        found.append(
            Line(claim.number, claim.text, claim.verdict, ours, _seeds(check), who, claim.paper, guessing=guessing)
        )
    return found


def care(claims: list[Claim]) -> str:
    """Which decided claims rest on reward models that learned nothing; empty if none does."""
    found = [str(claim.number) for claim in claims if claim.decided and claim.guessing]
    if not found:
        return ""
    return (
        f"Take care: among the decided claims {', '.join(found)} compare policies whose reward models guess (held-out "
        f"accuracy within 2 standard errors of the {100 * CHANCE:.0f} % of chance), so that they speak of this model "
        "more than of the method."
    )


def counts(claims: list[Claim]) -> str:
    """`4 claims reproduced, 1 contradicted, 2 inconclusive, 15 not run`."""
    found = [claim.verdict for claim in claims]
    names = (verdicts.REPRODUCED, CONTRADICTED, INCONCLUSIVE, NOT_RUN)
    return "claims: " + ", ".join(f"{found.count(name)} {name}" for name in names)


def markdown_table(claims: list[Claim]) -> str:
    """The lines as a table in Markdown."""
    heads = ["", "claim", "verdict", "ours", "seeds", "labels from", "in the paper"]
    rows = [f"| {' | '.join(heads)} |", "| --: | :-- | :-- | :-- | :-- | :-- | :-- |"]
    for line in lines(claims):
        verdict = f"**{line.verdict}**" + (" (a reward model guesses)" if line.guessing else "")
        texts = [str(line.number), line.claim, verdict, line.ours, line.seeds, line.labels, line.paper]
        rows.append(f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |")
    return "\n".join(rows)


def markdown(grid: Grid, claims: list[Claim], warning: str) -> str:
    """claims.md."""
    found = [f"# The paper's claims on the grid `{grid.name}`", "", warning, "", f"{counts(claims)}.".capitalize(), ""]
    found += [care(claims), ""] if care(claims) else []
    found += [markdown_table(claims), "", "## The rule", "", *_paragraphs(verdicts.RULE)]
    found += ["The bounds are ours (conf/claims.yaml): the paper draws its conclusions without any.", ""]
    for claim in claims:
        found += [f"## {claim.number}. {claim.text}", "", f"**{claim.verdict}**{_how_sure(claim)}", ""]
        found += [f"* In the paper: {claim.paper}.", f"* Tested: {claim.test}"]
        found += [f"* {check_text(check)}; {_origin(grid, check)}" for check in claim.checks]
        if claim.guessing:
            found.append(f"* Reward models that know no more than chance: of {', '.join(claim.guessing)}.")
        found += [f"* Not measured: {reason}." for reason in claim.missing]
        if text := settle_text(claim):
            found.append(f"* To settle it: {text}.")
        if claim.missing:
            found.append(f"* To run it: `{claim.run}`.")
        found.append("")
    return "\n".join(found)


def _paragraphs(texts: tuple[str, ...]) -> list[str]:
    return [line for text in texts for line in (text, "")]


def _how_sure(claim: Claim) -> str:
    return f" (intervals at {level(claim.alpha)})" if claim.checks else ""


def check_text(check: Check) -> str:
    """`judge prefers 5k offline to zero-shot: 91.2 [88.0, 94.1] % of contexts, must be above 70: reproduced`."""
    doubt = f", {check.doubt}" if check.doubt else ""
    return f"{check.text}: {numbers(check)}, must be {check.region}: {check.verdict}{doubt}"


def numbers(check: Check) -> str:
    """`91.2 [88.0, 94.1] % of contexts`."""
    mean, low, high = (f"{end:.{check.unit.decimals}f}" for end in check.interval)
    return f"{mean} [{low}, {high}] {check.unit.name}"


def _origin(grid: Grid, check: Check) -> str:
    """`2 seeds, 1024 contexts, synthetic labels, cells [2](index.md#cell-2) …`."""
    contexts = f"{check.contexts} contexts, " if check.contexts else ""
    found = captions.references(grid)
    cells = " ".join(f"[{found[cell]}](index.md#cell-{found[cell]})" for cell in check.cells)
    return f"seeds {_seeds(check)}, {contexts}labels {_source(check.synthetic)}, cells {cells}"


def _seeds(check: Check | None) -> str:
    return ", ".join(map(str, check.seeds)) or NOTHING if check else NOTHING


def _source(synthetic: bool) -> str:
    return "synthetic" if synthetic else "people"


def settle_text(claim: Claim) -> str:
    """`about 4,100 contexts with these seeds, or 6 seeds on these contexts`; empty for a claim that is not open."""
    if claim.verdict != INCONCLUSIVE:
        return ""
    doubts = [f"{check.text}: {check.doubt}; train them to equal KL" for check in claim.checks if check.doubt]
    found = claim.settle
    known = [f"{number:,} {unit}" for unit, number in found.items() if number is not None]
    never = " or ".join(unit for unit, number in found.items() if number is None)
    if known:
        alone = f" (no number of {never} alone)" if never else ""
        doubts.insert(0, f"at the variance seen here about {' or '.join(known)}{alone}")
    elif found:
        doubts.insert(0, f"at the variance seen here no number of {never} alone")
    return "; ".join(doubts)


def as_json(grid: Grid, claims: list[Claim]) -> str:
    """claims.json: what claims.md says, for programs."""
    about = {
        "grid": {"name": grid.name, "scale": grid.scale, "episode_scale": grid.episode_scale},
        "rule": list(verdicts.RULE),
        "alpha": verdicts.ALPHA,
        "resamples": RESAMPLES,
        "claims_run": sum(bool(claim.checks) for claim in claims),
        "claims": [_claim(claim) for claim in claims],
    }
    return json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _claim(claim: Claim) -> dict[str, Any]:
    contexts = [check.contexts for check in claim.checks if check.contexts]
    return {
        "id": claim.key,
        "number": claim.number,
        "claim": claim.text,
        "verdict": claim.verdict,
        "level": _rounded(1 - claim.alpha) if claim.checks else None,
        "paper": claim.paper,
        "test": claim.test,
        "seeds": min((len(check.seeds) for check in claim.checks), default=None),
        "contexts": min(contexts, default=None),
        "synthetic": any(check.synthetic for check in claim.checks) if claim.checks else None,
        "checks": [_check(check) for check in claim.checks],
        "missing": list(claim.missing),
        "settle": {**claim.settle, "text": settle_text(claim)} if claim.verdict == INCONCLUSIVE else None,
        "run": claim.run,
    }


def _check(check: Check) -> dict[str, Any]:
    estimate, low, high = map(_rounded, check.interval)
    region = check.finding.region
    return {
        "measure": check.settings["measure"],
        "text": check.text,
        "unit": check.unit.name,
        "estimate": estimate,
        "low": low,
        "high": high,
        "level": _rounded(1 - check.alpha),
        "level_to_contradict": _rounded(1 - check.alpha / check.of),
        "threshold": {
            "above": None if region.above == -inf else region.above,
            "below": None if region.below == inf else region.below,
        },
        "verdict": check.verdict,
        "doubt": check.doubt or None,
        "seeds": list(check.seeds),
        "contexts": check.contexts,
        "synthetic": check.synthetic,
        "guessing": list(check.guessing),
        "settle": check.settle or None,
        "cells": list(check.cells),
    }


def _rounded(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
