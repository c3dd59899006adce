"""Tables 4, 5, 7 and 8: the summarization tasks of a grid, a row for each policy of the paper and of the grid."""

from collections.abc import Callable
from typing import Any

from preflab.evaluate.statistics import Interval, bootstrap, bootstrap_ratio
from preflab.report import absent, captions
from preflab.report.cells import arms
from preflab.report.cells.arms import RESAMPLES, ZERO_SHOT, Arm
from preflab.report.cells.columns import ROUGE, AbsentError, stack
from preflab.report.cells.load import Grid
from preflab.report.cells.select import pairs
from preflab.report.cells.summarizers import LEAD_3, POLICIES, REFERENCE, SUPERVISED, Entry, cells, entries, tasks
from preflab.report.paper import summaries as paper
from preflab.report.paper.summaries import ONLINE, SUPERVISED_RL, TITLES
from preflab.report.table import NOTHING, Column, Row, Table, Value
from preflab.text.rouge import Protocol

Values = dict[str, Value]

OTHERS = (ZERO_SHOT, SUPERVISED, LEAD_3, REFERENCE, "60k offline", "15k online", "30k online", SUPERVISED_RL)
MATCHES = [(ONLINE, other) for other in OTHERS]
MATCHES += [(LEAD_3, other) for other in (SUPERVISED, REFERENCE, SUPERVISED_RL)]
ACCURACY = "ROUGE-1 with the reference summary plus the share of a summary's items that the source has"
JUDGES = {"summary": ACCURACY, "summary_nocopy": ACCURACY}  # by labeller
ENDS = {"\n": "line break", ".": "full stop"}

TASK = Column("task", "task")
LABELLED = (Column("labels", "labels"), Column("source", "labels from"), Column("seeds", "seeds"))
ARM = (Column("arm", "policy"), TASK, *LABELLED)
WHERE = Column("where", "from")
SEEDS = f"Brackets: {arms.METHOD}."


def all_tables(grid: Grid) -> list[Table]:
    """None for a grid without summaries."""
    return [table(grid) for table in (table_4, table_5, table_7, table_8)] if tasks(grid) else []


def measured(arm: Arm, column: str) -> Interval | None:
    """Mean over seeds and contexts of a column in the unit of columns.py; None where the arm has no such column."""
    try:
        return bootstrap(stack([(arm, column)]).tables[0], RESAMPLES)
    except AbsentError:
        return None


def table_4(grid: Grid) -> Table:
    """ROUGE; the references, which it is measured against, are left out."""

    def published(entry: Entry) -> Values:
        known = paper.TABLE_4.get((entry.task, entry.name))
        if known is None:
            return {}
        values: Values = {"paper_r1": known.one, "paper_r2": known.two, "paper_rl": known.longest}
        return values | {"paper_avg": known.average, "where": known.source}

    def ours(arm: Arm) -> Values:
        names = {"r1": "rouge1", "r2": "rouge2", "rl": "rougeLsum", "avg": ROUGE}
        return {key: measured(arm, name) for key, name in names.items()}

    titles = {"r1": "R-1", "r2": "R-2", "rl": "R-L", "avg": "R-AVG"}
    columns = (
        *ARM,
        *(Column(key, title, "interval", 1, 1 if key == "avg" else 100) for key, title in titles.items()),
        *(Column(f"paper_{key}", f"paper: {title}", "number", 2) for key, title in titles.items()),
        WHERE,
    )
    notes = [f"F-measures × 100 against the reference summary; R-AVG is the mean of the three. {SEEDS}"]
    notes += [protocol(grid, task) for task in tasks(grid)] + [paper.SOURCES]
    title = "Table 4. ROUGE of summaries"
    return _policies(grid, "table4", title, columns, "r1", published, ours, notes, leave_out=REFERENCE)


def protocol(grid: Grid, task: str) -> str:
    """How the task's summaries were made and scored, for each setting that its cells were evaluated with."""
    settings = [cell.settings["task"] for cell in cells(grid) if cell.row["task"] == task and cell.settings]
    found = dict.fromkeys(map(_protocol, settings)) or {Protocol("of length not recorded", None): None}
    texts = "; or ".join(one.describe() for one in found)
    return (
        f"{TITLES[task]}: {texts}. Lead-3 and references are not sampled; lead-3 is of the query, as policies see it."
    )


def _protocol(task: dict[str, Any]) -> Protocol:
    end, length = task["truncate_token"], f"at most {task['response_length']} tokens"
    cut = f"cut at the first {ENDS.get(end, repr(end))} after {task['truncate_after']} tokens, {length}"
    return Protocol(cut if end else length, task["temperature"])


def table_5(grid: Grid) -> Table:
    """Which of two policies' summaries the judge prefers."""
    rows, missing = [], []
    for task in tasks(grid):
        for a_name, b_name in MATCHES:
            known = paper.TABLE_5[task, a_name, b_name]
            values: Values = {"paper": known.value, "where": known.source}
            found = pairs(grid, task, POLICIES[a_name], POLICIES[b_name])
            beside = [(a, b) for a, b in found if b and arms.pairs(a, b)]
            rows += [_match(grid, a, b, values) for a, b in beside]
            if not beside:
                missing.append(Entry(task, f"{a_name} vs {b_name}", None))
                rows.append(absent.row(_named(missing[-1]) | values, "wins"))
    columns = (
        Column("arm", "A vs B"),
        TASK,
        Column("labels", "labels of A"),
        Column("labels_b", "labels of B"),
        *LABELLED[1:],
        Column("contexts", "articles", "number", 0),
        Column("wins", "ours: judge for A, %", "interval", 1, 100),
        Column("paper", "paper: people for A, %", "number", 0, 100),
        WHERE,
    )
    notes = [
        f"{SEEDS} Equal seeds are compared with each other on the same articles; equal texts count ½.",
        judge_note(grid),
        f"In the paper three people judged each of 1,024 articles. {paper.SOURCES}",
    ]
    title = "Table 5. Which of two summaries is preferred"
    return _table(grid, "table5", title, columns, rows, notes, missing)


def _match(grid: Grid, a: Arm, b: Arm, values: Values) -> Row:
    matched = arms.pairs(a, b)
    seeds = dict.fromkeys(str(cell.row["seed"]) for pair in matched for cell in pair if cell.row["seed"] is not None)
    ours: Values = {
        "arm": f"{a.name} vs {b.name}",
        "task": _task(grid, a),
        "labels": captions.labels_text(grid, a.first),
        "labels_b": captions.labels_text(grid, b.first),
        "source": captions.source_text(a.first),
        "seeds": ", ".join(seeds) or NOTHING,
        "contexts": len(arms.common([a, b])),
        "wins": arms.win_rate(a, b),
    }
    return Row(values | ours, tuple(dict.fromkeys([one.id for one, _ in matched] + [other.id for _, other in matched])))


def judge_note(grid: Grid) -> str:
    """Who labelled and who judged these summaries, and what that judge cannot say."""
    found = tuple(cells(grid))
    taus = sorted({f"{cell.metrics['judge_tau']:.3g}" for cell in found})
    names = sorted({JUDGES.get(cell.row["labeller"], f"that of {cell.row['labeller']}") for cell in found})
    note = (
        f"Labeller: {captions.labellers(Grid(grid.name, grid.scale, grid.episode_scale, found))}. Judge: "
        f"{'; '.join(names)}; majority of {found[0].metrics['votes']:.0f} noisy votes (τ = {', '.join(taus)})."
    )
    if ACCURACY in names:
        note += (
            " To this judge the reference's ROUGE is perfect by definition, and what is copied is supported: rows "
            "against references and lead-3 cannot show what people thought of them."
        )
    return note


def table_7(grid: Grid) -> Table:
    """Copying of the source's first three words."""

    def published(entry: Entry) -> Values:
        known = paper.TABLE_7.get((entry.task, entry.name))
        return {"paper": known[0], "paper_preamble": known[1], "where": paper.TABLE_7_SOURCE} if known else {}

    columns = (
        *ARM,
        Column("all", "ours: of all, %", "interval", 1, 100),
        Column("preamble", "ours: with a preamble, %", "interval", 1, 100),
        Column("contexts", "articles", "number", 0),
        Column("with", "with a preamble", "number", 0),
        Column("paper", "paper: of all, %", "number", 1, 100),
        Column("paper_preamble", "paper: with a preamble, %", "number", 1, 100),
        WHERE,
    )
    notes = [
        f"Summaries whose first three words are their source's; punctuation and case are ignored. {SEEDS}",
        "Preamble: the first word of a post is hi, hello, hey, ok, okay or so (TL;DR); a colon is in the first three "
        "words of an article (CNN/DM).",
        paper.SOURCES,
    ]
    title = "Table 7. Summaries that begin as their source does"
    return _policies(grid, "table7", title, columns, "all", published, starts, notes)


def starts(arm: Arm) -> Values:
    """How many begin as their source does, of all and of those with a preamble."""
    try:
        copies, preamble = stack([(arm, "copies_start"), (arm, "preamble")]).tables
    except AbsentError:
        return {}
    found: Values = {"all": bootstrap(copies, RESAMPLES)}
    found |= {"contexts": copies.shape[1], "with": int(preamble[0].sum())}
    if preamble.any():
        found["preamble"] = bootstrap_ratio(copies * preamble, preamble, RESAMPLES)
    return found


def table_8(grid: Grid) -> Table:
    """Accuracy by the faithfulness proxy."""
    items = paper.TABLE_8_ITEMS

    def published(entry: Entry) -> Values:
        known = paper.TABLE_8.get((entry.task, entry.name))
        if known is None:
            return {}
        return {"paper": known / items, "paper_of": f"{known}/{items}", "where": paper.TABLE_8_SOURCE}

    def ours(arm: Arm) -> Values:
        return {"supported": measured(arm, "supported"), "contexts": len(arms.common([arm]))}

    columns = (
        *ARM,
        Column("supported", "ours: supported by the proxy, %", "interval", 1),
        Column("contexts", "articles", "number", 0),
        Column("paper", "paper: accurate, %", "number", 0, 100),
        Column("paper_of", "of its summaries"),
        WHERE,
    )
    notes = [
        "Supported: the source has all numbers and capitalised words of each of the summary's sentences and, both "
        f"words in one of its own, at least half of the pairs of neighbouring content words. {SEEDS}",
        "Limits: the proxy sees words, not meaning. Whatever is copied is supported, also where it misleads out of its "
        "context; names that change places, a lost not, halves of two sentences in one mostly pass; a paraphrase "
        "mostly fails. It ranks policies that copy alike; a rise beside a rise of copying is the same finding twice.",
        f"In the paper the authors judged {items} summaries of each policy: one is 3.3 points. {paper.SOURCES}",
    ]
    title = "Table 8. Summaries that their source supports"
    return _policies(grid, "table8", title, columns, "supported", published, ours, notes)


def _policies(
    grid: Grid,
    label: str,
    title: str,
    columns: tuple[Column, ...],
    first: str,
    published: Callable[[Entry], Values],
    ours: Callable[[Arm], Values],
    notes: list[str],
    leave_out: str | None = None,
) -> Table:
    """A row for each policy, "not run" in the column `first` where there is none of it."""
    found = [one for task in tasks(grid) for one in entries(grid, task) if one.name != leave_out]
    rows = []
    for entry in found:
        if entry.arm is None:
            rows.append(absent.row(_named(entry) | published(entry), first))
        else:
            rows.append(Row(_of_arm(grid, entry.arm) | published(entry) | ours(entry.arm), entry.arm.ids))
    return _table(grid, label, title, columns, rows, notes, [entry for entry in found if entry.arm is None])


def _table(
    grid: Grid, label: str, title: str, columns: tuple[Column, ...], rows: list[Row], notes: list[str], no: list[Entry]
) -> Table:
    """With a note on the rows, and on the tasks, of which the grid has nothing."""
    names = [(f"{entry.name} ({TITLES[entry.task]})", _runs(entry.task, entry.name)) for entry in no]
    names += [(f"all of {title}", _runs(task)) for task, title in TITLES.items() if task not in tasks(grid)]
    notes = [*notes, *absent.notes(names)]
    caption = f"{title}. {captions.caption_mark(grid)}"
    return Table(label, caption, columns, tuple(rows), captions.references(grid), tuple(notes))


def _runs(task: str, name: str = "") -> str:
    """The grid that runs it."""
    return absent.LARGE if task == "tldr" or "30k" in name else absent.SUMMARIES


def _task(grid: Grid, arm: Arm) -> str:
    """`CNN/DM`, with the model where there are several, and with the axes in which the grid's arms differ."""
    task, model, *axes = arm.family.split(", ")
    several = len({cell.row["model"] for cell in cells(grid)}) > 1
    return ", ".join([TITLES[task], *([model] if several else []), *axes])


def _named(entry: Entry) -> Values:
    return {"arm": entry.name, "task": TITLES[entry.task]}


def _of_arm(grid: Grid, arm: Arm) -> Values:
    return {
        "arm": arm.name,
        "task": _task(grid, arm),
        "labels": captions.labels_text(grid, arm.first),
        "source": captions.source_text(arm.first),
        "seeds": captions.seeds_text(arm),
    }
