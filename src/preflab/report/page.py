"""Writes the report: index.md, a self-contained index.html, claims, samples, report.json, tables/ and figures/."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from preflab.report import absent, captions
from preflab.report.cells.load import Grid
from preflab.report.claims import decide as claims_
from preflab.report.claims import page as page_claims
from preflab.report.claims.decide import Claim
from preflab.report.claims.page import as_json, markdown_table
from preflab.report.claims.verdicts import CONTRADICTED, INCONCLUSIVE, NOT_RUN, REPRODUCED
from preflab.report.figures import preference
from preflab.report.figures.drawing import Figure
from preflab.report.samples import side_by_side
from preflab.report.table import Table
from preflab.report.tables import listed, provenance

TITLE = "Fine-Tuning Language Models from Human Preferences"
TONES = {REPRODUCED: "holds", CONTRADICTED: "fails", INCONCLUSIVE: "open", NOT_RUN: "none"}  # colours of the page


class Report(NamedTuple):
    """Everything that is printed."""

    grid: Grid
    claims: list[Claim]
    results: list[Table]  # tables of results, then of the claims' checks
    making: list[Table]  # wall times and provenance
    figures: list[Figure]


def build(grid: Grid, claims: Path, tables: Path) -> Report:
    """Compute everything once; the files are only forms of it."""
    results = listed.tables(grid, tables)
    decided = claims_.decide(claims, grid)
    results.append(claims_.table(grid, decided))
    return Report(
        grid,
        decided,
        results,
        [provenance.stages(grid), provenance.provenance(grid)],
        preference.all_figures(grid, results),
    )


def write(report: Report, out: Path) -> list[Path]:
    """Write the report below `out` and return its files; tables and figures of an earlier one are removed."""
    for name in ("tables", "figures"):
        shutil.rmtree(out / name, ignore_errors=True)
    files = {
        "index.md": markdown(report),
        "index.html": page(report),
        "samples.md": side_by_side.markdown(report.grid, warning(report.grid)),
        "claims.md": page_claims.markdown(report.grid, report.claims, warning(report.grid)),
        "claims.json": as_json(report.grid, report.claims),
    }
    files["report.json"] = json.dumps(summary(report), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    for table in report.results + report.making:
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


def markdown(report: Report) -> str:
    """index.md."""
    lines = [f"# {TITLE}: the grid `{report.grid.name}`", "", warning(report.grid), "", "## Verdicts", ""]
    care = page_claims.care(report.claims)
    lines += [f"{page_claims.counts(report.claims).capitalize()}. {VERDICTS}", "", *([care, ""] if care else [])]
    lines += [markdown_table(report.claims), "", "## Figures", ""]
    lines += [f"![{figure.alt}](figures/{figure.label}.svg)\n\n*{figure.caption}*\n" for figure in report.figures]
    lines += ["## Tables", ""]
    lines += [
        f'<a id="{table.label}"></a>\n\n{table.markdown()}' for table in report.results if table.label != "claims"
    ]
    lines += [f"{title}: not run; `{command}` builds it.\n" for title, command in not_run(report)]
    lines += [
        "## Samples",
        "",
        f"[{side_by_side.SAMPLES} contexts side by side](samples.md).",
        "",
        "## How this was made",
        "",
    ]
    lines += [f"* {name}: {text}" for name, text in provenance.facts(report.grid)]
    lines += ["", report.making[0].markdown(), "## Provenance", "", PROVENANCE, ""]
    for cell in report.grid.cells:
        number = captions.references(report.grid)[cell.id]
        lines += [f'<a id="cell-{number}"></a>**{number}. {cell.id}** ({captions.source_text(cell)})', ""]
        for kind, instance, record in provenance.lineage(cell, report.grid):
            lines.append(f"* {kind} `{instance}`: {origin(record)}")
            inputs = sorted(record["inputs"].items()) if record else []
            lines += [f"  * input `{path}`, md5 `{md5}`" for path, md5 in inputs]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def not_run(report: Report) -> list[tuple[str, str]]:
    """Title and command of the paper's tables and figures of which the grid has nothing."""
    return absent.lines({table.label for table in report.results} | {figure.label for figure in report.figures})


VERDICTS = (
    "Every check with its interval, the rule, and what would settle the open ones: [claims.md](claims.md); for "
    "programs [claims.json](claims.json)."
)

PROVENANCE = (
    "Every number above names its cells by number; here is what each cell leads back to. The same as one "
    "table: [tables/provenance.csv](tables/provenance.csv)."
)


def page(report: Report) -> str:
    """index.html: styles and figures inside, no network."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("preflab.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    by_label = {table.label: table.html() for table in report.results + report.making}
    source = Path(__file__).with_name("page.html.j2").read_text()
    return environment.get_template("page.html.j2").render(
        title=TITLE,
        grid=report.grid,
        warning=warning(report.grid),
        claims=[(line, TONES[line.verdict]) for line in page_claims.lines(report.claims)],
        counts=page_claims.counts(report.claims).capitalize(),
        care=page_claims.care(report.claims),
        tables=by_label,
        more=[table.label for table in report.results if f"tables.{table.label} " not in source],  # without a place
        figures={figure.label: (figure, inline(figure.svg)) for figure in report.figures},
        not_run=not_run(report),
        samples=side_by_side.samples(report.grid),
        facts=provenance.facts(report.grid),
        cells=[(cell, captions.source_text(cell), provenance.lineage(cell, report.grid)) for cell in report.grid.cells],
        origin=origin,
    )


def summary(report: Report) -> dict[str, Any]:
    """report.json: verdicts and every table as it is printed, for programs."""
    return {
        "grid": {
            "name": report.grid.name,
            "scale": report.grid.scale,
            "episode_scale": report.grid.episode_scale,
        },
        "synthetic_labels": report.grid.synthetic,
        "claims": {claim.key: claim.verdict for claim in report.claims},
        "tables": {
            table.label: [
                dict(zip([column.key for column in table.columns], texts, strict=True)) | {"cells": list(row.cells)}
                for texts, row in table.shown()
            ]
            for table in report.results
        },
    }


def warning(grid: Grid) -> str:
    """The first paragraph: what these numbers are not."""
    labels = "synthetic labeller" if grid.synthetic else "file of people's choices"
    labels += " or a file of people's choices" if grid.mixed else ""
    return (
        f"Every label here comes from a {labels} and every preference from a synthetic judge; in the paper "
        f"both come from people. Budgets are the paper's times {grid.scale} (labels) and "
        f"{grid.episode_scale} (episodes), and the model is far smaller: compare directions and shares, not "
        "absolute values."
    )


def origin(record: dict[str, Any] | None) -> str:
    """Where one stage's output comes from."""
    if record is None:
        return provenance.CACHED
    run = f"MLflow run {record['run_id']}" if record["run_id"] else "not in MLflow"
    return f"{run}, commit {provenance.commit(record)}, params sha256 {record['params_sha256'][:12]}"


def inline(svg: str) -> str:
    """An SVG file as an element of the page: without its XML header, scaled by the page's style."""
    return svg[svg.index("<svg") :]
