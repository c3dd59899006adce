"""The claims for readers and for programs: claims.md, claims.json, and the short table of index.md and index.html."""

import json
from math import inf
from typing import Any, NamedTuple

from preflab.evaluate.statistics import LEVEL, RESAMPLES
from preflab.report import captions
from preflab.report.cells.accuracy import CHANCE
from preflab.report.cells.results import Arm, GridResults
from preflab.report.claims import verdicts
from preflab.report.claims.decide import Check, Claim, level
from preflab.report.claims.verdicts import CONTRADICTED, INCONCLUSIVE, NOT_RUN
from preflab.report.table import NOTHING, link

DIGITS = 6  # of the numbers in claims.json
LEVEL_TEXT = f"{100 * LEVEL:.0f} %"


class ClaimLine(NamedTuple):
    """A claim in one line."""

    number: int
    claim: str
    verdict: str
    level: str  # of the interval that decided
    ours: str  # estimate and 95 % interval, as tables print them
    seeds: str
    labels: str
    paper: str
    guessing: bool  # a reward model of the compared policies is no better than chance


def lines(claims: list[Claim]) -> list[ClaimLine]:
    """Every claim that was run, with its deciding check."""
    table = []
    for claim in claims:
        if claim.verdict != NOT_RUN and (check := claim.deciding):
            texts = (claim.text, claim.verdict, level(check.deciding_alpha), numbers(check), _seeds(check))
            guessing = bool(claim.guessing)
            table.append(ClaimLine(claim.number, *texts, _source(check.synthetic), claim.paper, guessing))
    return table


def not_run(claims: list[Claim]) -> list[tuple[str, str]]:
    """The numbers of the claims that were not run, by the command that runs them: `3, 5`, `python -m …`."""
    by_command: dict[str, list[str]] = {}
    for claim in claims:
        if claim.verdict == NOT_RUN:
            by_command.setdefault(claim.run, []).append(str(claim.number))
    return [(", ".join(numbers_), command) for command, numbers_ in by_command.items()]


def care(claims: list[Claim]) -> str:
    """Which decided claims rest on reward models that learned nothing; empty if none does."""
    guessing = [str(claim.number) for claim in claims if claim.decided and claim.guessing]
    if not guessing:
        return ""
    return (
        f"Take care: among the decided claims {', '.join(guessing)} compare policies whose reward models guess "
        f"(held-out accuracy within 2 standard errors of the {100 * CHANCE:.0f} % of chance), so that their verdicts "
        "say more about this model than about the method."
    )


def counts(claims: list[Claim]) -> str:
    """`claims: 4 reproduced, 1 contradicted, 2 inconclusive, 15 not run`."""
    of_claims = [claim.verdict for claim in claims]
    names = (verdicts.REPRODUCED, CONTRADICTED, INCONCLUSIVE, NOT_RUN)
    return "claims: " + ", ".join(f"{of_claims.count(name)} {name}" for name in names)


def markdown_table(claims: list[Claim]) -> str:
    """The lines as a table in Markdown, and below it the claims that were not run."""
    heads = ["", "claim", "verdict", "at level", f"ours, {LEVEL_TEXT}", "seeds", "labels from", "in the paper"]
    rows = [f"| {' | '.join(heads)} |", "| --: | :-- | :-- | --: | :-- | :-- | :-- | :-- |"]
    for line in lines(claims):
        verdict = f"**{line.verdict}**" + (" (a reward model guesses)" if line.guessing else "")
        texts = [str(line.number), line.claim, verdict, line.level, line.ours, line.seeds, line.labels, line.paper]
        rows.append(f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |")
    rows = rows if len(rows) > 2 else []
    missing = [
        f"Not run: {'claims' if ',' in ids else 'claim'} {ids}. `{command}` runs {'them' if ',' in ids else 'it'}."
        for ids, command in not_run(claims)
    ]
    return "\n".join([*rows, *(["", *_paragraphs(missing)] if missing else [])]).strip()


def markdown(grid: GridResults, claims: list[Claim], warning: str) -> str:
    """claims.md."""
    text = [f"# The paper's claims on the grid `{grid.name}`", "", warning, "", f"{counts(claims)}.".capitalize(), ""]
    text += [care(claims), ""] if care(claims) else []
    text += [markdown_table(claims), "", "## The rule", "", *_paragraphs(verdicts.RULE)]
    text += ["The bounds are ours (conf/claims.yaml): the paper draws its conclusions without any.", ""]
    for claim in claims:
        text += [f"## {claim.number}. {claim.text}", "", f"**{claim.verdict}**{_how_sure(claim)}", ""]
        text += [f"* In the paper: {claim.paper}.", f"* Tested: {claim.test}"]
        text += [f"* {check_text(check)} ({_origin(grid, check)})" for check in claim.checks]
        if claim.guessing:
            text.append(f"* Reward models that are no better than chance: of {', '.join(claim.guessing)}.")
        text += [f"* Not measured: {reason}." for reason in claim.missing]
        if settle := settle_text(claim):
            text.append(f"* {settle}")
        if claim.missing:
            text.append(f"* To run it: `{claim.run}`.")
        text.append("")
    return "\n".join(text)


def _paragraphs(texts: list[str] | tuple[str, ...]) -> list[str]:
    return [line for text in texts for line in (text, "")]


def _how_sure(claim: Claim) -> str:
    return f" (level {level(claim.alpha)})" if claim.checks else ""


def check_text(check: Check) -> str:
    """`judge prefers 5k offline to zero-shot: 91.2 [88.0, 94.1] % of contexts; required above 70 %: met`."""
    doubt = f", {check.doubt}" if check.doubt else ""
    at_level = "" if check.deciding_alpha == check.alpha else f" at level {level(check.deciding_alpha)}"
    return f"{check.text}: {numbers(check)}; required {check.region}: {check.outcome}{at_level}{doubt}"


def numbers(check: Check) -> str:
    """`91.2 [88.0, 94.1] % of contexts`: the estimate and its 95 % interval."""
    mean, low, high = (f"{end:.{check.unit.decimals}f}" for end in check.interval)
    return f"{mean} [{low}, {high}] {check.unit.name}"


def _origin(grid: GridResults, check: Check) -> str:
    """`seeds 1, 2, 1024 contexts, synthetic labels; [5k offline](provenance.md#cell-2) × 2 seeds, …`."""
    contexts = f"{check.contexts} contexts, " if check.contexts else ""
    arms = ", ".join(_arm_link(grid, arm) for arm in dict.fromkeys(check.arms))
    return f"seeds {_seeds(check)}, {contexts}{_source(check.synthetic)} labels; {arms}"


def _arm_link(grid: GridResults, arm: Arm) -> str:
    """The arm's name, a link to its first cell, and the number of its seeds."""
    seeds = f" × {len(arm.cells)} seeds" if len(arm.cells) > 1 else ""
    return link(captions.references(grid), arm.first.id, arm.name) + seeds


def _seeds(check: Check) -> str:
    return ", ".join(map(str, check.seeds)) or NOTHING


def _source(synthetic: bool) -> str:
    return "synthetic" if synthetic else "human"


def settle_text(claim: Claim) -> str:
    """How much data, or what else, would settle an inconclusive claim, as sentences; empty for the others.

    `Would need about 152 seeds at the variance observed; more contexts alone would not help.`
    """
    if claim.verdict != INCONCLUSIVE:
        return ""
    needs = claim.settle
    enough = [f"{number:,} {unit}" for unit, number in needs.items() if number is not None]
    never = " or ".join(unit for unit, number in needs.items() if number is None)
    sentences = []
    if enough:
        alone = f"; more {never} alone would not help" if never else ""
        sentences.append(f"Would need about {' or '.join(enough)} at the variance observed{alone}.")
    elif never:
        sentences.append(f"More {never} alone would not help.")
    doubtful = [check for check in claim.checks if check.doubt]
    sentences += [f"Not at equal KL: {check.text}: {check.doubt}; train both to equal KL." for check in doubtful]
    return " ".join(sentences)


def as_json(grid: GridResults, claims: list[Claim]) -> str:
    """claims.json: what claims.md says, for programs."""
    about = {
        "grid": {"name": grid.name, "scale": grid.scale, "episode_scale": grid.episode_scale},
        "rule": list(verdicts.RULE),
        "alpha": verdicts.ALPHA,
        "level": LEVEL,
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
    _, deciding_low, deciding_high = map(_rounded, check.deciding_interval)
    region = check.finding.region
    return {
        "measure": check.settings["measure"],
        "text": check.text,
        "unit": check.unit.name,
        "estimate": estimate,
        "low": low,
        "high": high,
        "level": LEVEL,
        "deciding": {"level": _rounded(1 - check.deciding_alpha), "low": deciding_low, "high": deciding_high},
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
