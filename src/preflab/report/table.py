"""One table, four forms: Markdown, HTML, LaTeX and CSV hold the same numbers, formatted in one place."""

import csv
import html
import io
import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from preflab.evaluate.statistics import Interval

NOTHING = "–"
TEXTS = ("text", "quote")  # kinds of column
_CODE = re.compile(r"`([^`]*)`")  # a command in a note


class WithError(NamedTuple):
    """A mean and its standard error."""

    mean: float
    error: float


Value = str | float | Interval | WithError | None


@dataclass(frozen=True, slots=True)
class Column:
    """A heading and how the numbers below it are shown: multiplied by `factor`, with `decimals`."""

    key: str
    title: str
    kind: Literal["text", "quote", "number", "interval", "error"] = "text"  # quote: what a model said, long
    decimals: int = 2
    factor: float = 1

    @property
    def csv_keys(self) -> list[str]:
        """The heads of its columns in CSV: an interval has its ends too, an error its standard error."""
        more = {"interval": ["low", "high"], "error": ["se"]}.get(self.kind, [])
        return [self.key, *(f"{self.key}_{end}" for end in more)]

    def numbers(self, row: "TableRow") -> list[str]:
        """The row's value as shown, one piece for each column in CSV; empty strings where there is none."""
        value = row.values.get(self.key)
        if value is None:
            return [""] * len(self.csv_keys)
        if isinstance(value, str):
            return [value] + [""] * (len(self.csv_keys) - 1)
        pieces = value if isinstance(value, tuple) else (value,)
        decimals = self.decimals if row.decimals is None else row.decimals
        return [f"{self.factor * piece:.{decimals}f}" for piece in pieces]

    def show(self, row: "TableRow") -> str:
        """`0.91 [0.88, 0.94]`, `0.91 ± 0.02`, `0.91` or the text."""
        pieces = self.numbers(row)
        if not pieces[0]:
            return NOTHING
        if isinstance(row.values[self.key], str):  # "not measured" may stand where a number would
            return pieces[0]
        if self.kind == "interval":
            return f"{pieces[0]} [{pieces[1]}, {pieces[2]}]"
        return f"{pieces[0]} ± {pieces[1]}" if self.kind == "error" else pieces[0]


@dataclass(frozen=True, slots=True)
class TableRow:
    """Values by column key, the cells that they come from, and decimals if the row has its own unit."""

    values: dict[str, Value]
    cells: tuple[str, ...]
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A captioned table.

    `label` names its files; `references` numbers the cells as the provenance does; `folded`: the page shows its caption
    and unfolds it on a click.
    """

    label: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    references: dict[str, int]
    notes: tuple[str, ...] = field(default=())
    folded: bool = False

    def shown(self) -> list[tuple[list[str], TableRow]]:
        """The texts of each row, as every form but CSV prints them."""
        return [([column.show(row) for column in self.columns], row) for row in self.rows]

    def markdown(self) -> str:
        """For index.md: the numbers of the cells are links to provenance.md."""
        heads = [column.title for column in self.columns] + ["cells"]
        rule = [":--" if column.kind in TEXTS else "--:" for column in self.columns] + [":--"]
        lines = [f"**{self.caption}**", "", _line(heads), _line(rule)]
        for plain, row in self.shown():
            texts = [
                one_line(text) if column.kind == "quote" else text.replace("|", r"\|").replace("\n", " ")
                for column, text in zip(self.columns, plain, strict=True)
            ]
            links = " ".join(link(self.references, cell) for cell in row.cells)
            lines.append(_line([*texts, links]))
        return "\n".join([*lines, "", *(f"{note}  " for note in self.notes)]).rstrip() + "\n"

    def html(self) -> str:
        """For index.html: the numbers of the cells are links to the provenance on the same page."""
        head = "".join(f"<th{_align(column)}>{html.escape(column.title)}</th>" for column in self.columns)
        body = []
        for texts, row in self.shown():
            links = " ".join(map(self._link, row.cells))
            data = zip(self.columns, texts, strict=True)
            cells = "".join(f"<td{_align(column)}>{_soften(column, html.escape(text))}</td>" for column, text in data)
            body.append(f'<tr>{cells}<td class="cells">{links}</td></tr>')
        notes = "".join("<p>" + _CODE.sub(r"<code>\1</code>", html.escape(note)) + "</p>" for note in self.notes)
        figure = (
            f'<figure class="table" id="{self.label}"><figcaption>{html.escape(self.caption)}</figcaption>\n'
            f'<div class="scroll"><table><thead><tr>{head}<th class="cells">cells</th></tr></thead>\n'
            "<tbody>\n" + "\n".join(body) + f'\n</tbody></table></div>\n<div class="notes">{notes}</div></figure>\n'
        )
        title = html.escape(self.caption.partition(". ")[0])
        return f"<details><summary>{title}</summary>\n{figure}</details>\n" if self.folded else figure

    def _link(self, cell: str) -> str:
        number = self.references[cell]
        return f'<a href="#cell-{number}" title="{html.escape(cell)}">{number}</a>'

    def latex(self) -> str:
        """A floating table for `\\usepackage{booktabs}`; the superscripts count the rows of cells.csv."""
        width = 0.75 / max(1, sum(column.kind == "quote" for column in self.columns))  # the rest is for names
        kinds = {"text": "l", "quote": rf"p{{{width:.2f}\linewidth}}"}
        spec = "".join(kinds.get(column.kind, "r") for column in self.columns)
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_tex(self.caption)}}}",
            rf"\label{{tab:{self.label}}}",
        ]
        lines += [r"\footnotesize\setlength{\tabcolsep}{3pt}", rf"\begin{{tabular}}{{{spec}}}", r"\toprule"]
        lines += [" & ".join(_tex(column.title) for column in self.columns) + r" \\", r"\midrule"]
        for texts, row in self.shown():
            numbers = ",".join(str(self.references[cell]) for cell in row.cells)
            mark = rf"\textsuperscript{{{numbers}}}" if numbers else ""
            lines.append(" & ".join([_tex(texts[0]) + mark, *map(_tex, texts[1:])]) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [r"\par\footnotesize " + _CODE.sub(r"\\texttt{\1}", _tex(note)) for note in self.notes]
        return "\n".join([*lines, r"\end{table}"]) + "\n"

    def csv(self) -> str:
        """The numbers as shown, the ends of intervals in columns of their own; the last column names the cells."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([key for column in self.columns for key in column.csv_keys] + ["cells"])
        for row in self.rows:
            pieces = [piece for column in self.columns for piece in column.numbers(row)]
            writer.writerow([*pieces, " ".join(row.cells)])
        return out.getvalue()


def link(references: dict[str, int], cell: str, text: str = "") -> str:
    """A link of Markdown to a cell's provenance, by its number or by `text`."""
    return f"[{text or references[cell]}](provenance.md#cell-{references[cell]})"


def _line(texts: list[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def one_line(text: str) -> str:
    """Model text inside a Markdown table: no line breaks, no pipes, no markup."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    for character in "\\|*_`[]":
        text = text.replace(character, "\\" + character)
    return text


def _align(column: Column) -> str:
    return {"text": "", "quote": ' class="quote"'}.get(column.kind, ' class="number"')


def _soften(column: Column, text: str) -> str:
    """The interval or the standard error in a lighter colour than its mean."""
    mean, space, rest = text.partition(" ")
    if column.kind in ("interval", "error") and rest.startswith(("[", "±")):
        return f'{mean}{space}<span class="interval">{rest}</span>'
    return text


_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "…": r"\ldots{}",
}
_TEX |= {"×": r"$\times$", "±": r"$\pm$", "≥": r"$\geq$", "−": "$-$", "½": r"$\tfrac12$", "⁰": "$^0$"}
_TEX |= {"τ": r"$\tau$", "ρ": r"$\rho$"} | {character: "\\" + character for character in "&%$#_{}"}


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)
