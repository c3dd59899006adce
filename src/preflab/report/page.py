"""Writes the report: index.md, a self-contained index.html, claims, samples, provenance, tables and figures."""

import json
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from preflab.report import captions, not_run, sections
from preflab.report.cells.results import GridResults
from preflab.report.claims import decide as claims_
from preflab.report.claims import page as page_claims
from preflab.report.claims.decide import Claim
from preflab.report.claims.verdicts import CONTRADICTED, INCONCLUSIVE, REPRODUCED
from preflab.report.figures.drawing import Figure
from preflab.report.samples import side_by_side
from preflab.report.sections import Part, Section
from preflab.report.table import Table
from preflab.report.tables import provenance

TITLE = "Fine-Tuning Language Models from Human Preferences"
TONES = {REPRODUCED: "holds", CONTRADICTED: "fails", INCONCLUSIVE: "open"}  # colours of the page
VERDICTS = (
    "Every check with its interval, the rule, and what would settle the open ones: [claims.md](claims.md); for "
    "programs [claims.json](claims.json)."
)


class ReportContents(NamedTuple):
    """Everything that is printed."""

    grid: GridResults
    claims: list[Claim]
    checks: Table  # of the claims
    sections: list[Section]  # by conf/report.yaml
    stages: Table
    provenance: Table

    @property
    def tables(self) -> list[Table]:
        """Those of results and of checks, from top to bottom."""
        parts = [part for section in self.sections for part in section.parts]
        return [part for part in parts if isinstance(part, Table)] + [self.checks]

    @property
    def figures(self) -> list[Figure]:
        """From top to bottom."""
        return [part for section in self.sections for part in section.parts if isinstance(part, Figure)]

    @property
    def filled(self) -> list[Section]:
        """The sections with something to show."""
        return [section for section in self.sections if section.parts]


def build(grid: GridResults, claims: Path, layout: Path) -> ReportContents:
    """Compute everything once; the files are only forms of it.

    `claims`: conf/claims.yaml; `layout`: conf/report.yaml.  Raises PreflabError for a mistake in either, and for
    samples that cannot be compared.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # products of the bootstrap are small: more threads take longer
        decided = claims_.decide(claims, grid)
        return ReportContents(
            grid,
            decided,
            claims_.table(grid, decided),
            sections.build(grid, layout),
            provenance.stages(grid),
            provenance.provenance(grid),
        )


def write(report: ReportContents, out: Path) -> list[Path]:
    """Write the report below `out` and return its files; tables and figures of an earlier one are removed."""
    for name in ("tables", "figures"):
        shutil.rmtree(out / name, ignore_errors=True)
    grid = report.grid
    files = {
        "index.md": markdown(report),
        "index.html": page(report),
        "samples.md": side_by_side.markdown(grid, warning(grid)),
        "claims.md": page_claims.markdown(grid, report.claims, warning(grid)),
        "claims.json": page_claims.as_json(grid, report.claims),
        "provenance.md": provenance.markdown(grid),
    }
    files["report.json"] = json.dumps(summary(report), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    for table in (*report.tables, report.stages, report.provenance):
        files[f"tables/{table.label}.csv"] = table.csv()
        files[f"tables/{table.label}.tex"] = table.latex()
    pictures = {f"figures/{figure.label}.png": figure.png for figure in report.figures}
    for figure in report.figures:
        files[f"figures/{figure.label}.svg"] = figure.svg
    for name, text in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name, pixels in pictures.items():
        (out / name).write_bytes(pixels)
    return [out / name for name in (*files, *pictures)]


def markdown(report: ReportContents) -> str:
    """index.md."""
    grid = report.grid
    care = page_claims.care(report.claims)
    lines = [f"# {TITLE}: the grid `{grid.name}`", "", warning(grid), "", "## Verdicts", ""]
    lines += [f"{page_claims.counts(report.claims).capitalize()}. {VERDICTS}", "", *([care, ""] if care else [])]
    lines += [page_claims.markdown_table(report.claims), ""]
    for section in report.filled:
        lines += [f"## {section.title}", "", *(_part_markdown(part) for part in section.parts)]
    if missing := missing_items(report):
        lines += ["## Not run on this grid", ""]
        lines += [f"* {title}. `{command}` builds it." for title, command in missing] + [""]
    lines += ["## Samples", "", f"[{side_by_side.SAMPLES} contexts side by side](samples.md).", ""]
    lines += ["## How this was made", ""]
    lines += [f"* {name}: {text}" for name, text in provenance.facts(grid)]
    lines += [
        "* Every number names its cells, and each cell its stages, runs and inputs: [provenance.md](provenance.md)"
    ]
    lines += ["", report.stages.markdown()]
    return "\n".join(lines).rstrip() + "\n"


def _part_markdown(part: Part) -> str:
    if isinstance(part, Table):
        return f'<a id="{part.label}"></a>\n\n{part.markdown()}'
    return f"![{part.alt}](figures/{part.label}.svg)\n\n*{part.caption}*\n"


def missing_items(report: ReportContents) -> list[tuple[str, str]]:
    """Title and command of the paper's tables and figures that the grid has no result for."""
    return not_run.lines({part.label for section in report.sections for part in section.parts})


def page(report: ReportContents) -> str:
    """index.html: styles and figures inside, no network."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("preflab.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    grid = report.grid
    return environment.get_template("page.html.j2").render(
        title=TITLE,
        grid=grid,
        warning=warning(grid),
        claims=[(line, TONES[line.verdict]) for line in page_claims.lines(report.claims)],
        claims_not_run=page_claims.not_run(report.claims),
        level=page_claims.LEVEL_TEXT,
        counts=page_claims.counts(report.claims).capitalize(),
        care=page_claims.care(report.claims),
        checks=report.checks.html(),
        sections=[(anchor(section.title), section.title, map(_part_html, section.parts)) for section in report.filled],
        not_run=missing_items(report),
        samples=side_by_side.samples(grid),
        facts=provenance.facts(grid),
        stages=report.stages.html(),
        cells=[(cell, captions.source_text(cell), provenance.lineage(cell, grid)) for cell in grid.cells],
        origin=provenance.origin,
    )


def anchor(title: str) -> str:
    """`which-policy-is-preferred` of a section's title."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _part_html(part: Part) -> str:
    import html

    if isinstance(part, Table):
        return part.html()
    svg = part.svg[part.svg.index("<svg") :]  # without its XML header, scaled by the page's style
    attributes = f'id="figure-{part.label}" role="img" aria-label="{html.escape(part.alt)}"'
    caption = html.escape(part.caption)
    narrow = ' class="narrow"' if part.narrow else ""
    return f"<figure{narrow} {attributes}>\n{svg}<figcaption>{caption}</figcaption></figure>\n"


def summary(report: ReportContents) -> dict[str, Any]:
    """report.json: verdicts and every table as it is printed, for programs."""
    grid = report.grid
    return {
        "grid": {"name": grid.name, "scale": grid.scale, "episode_scale": grid.episode_scale},
        "synthetic_labels": grid.synthetic,
        "claims": {claim.key: claim.verdict for claim in report.claims},
        "tables": {
            table.label: [
                dict(zip([column.key for column in table.columns], texts, strict=True)) | {"cells": list(row.cells)}
                for texts, row in table.shown()
            ]
            for table in report.tables
        },
    }


def warning(grid: GridResults) -> str:
    """The first paragraph: what these numbers are not."""
    labels = "a synthetic labeller" if grid.synthetic else "a file of human labels"
    labels += " or a file of human labels" if grid.mixed else ""
    return (
        f"Every label here comes from {labels} and every preference from a synthetic judge; in the paper "
        f"both come from people. Budgets are the paper's times {grid.scale} (labels) and "
        f"{grid.episode_scale} (episodes), and the model is far smaller: compare directions and shares, not "
        "absolute values."
    )
