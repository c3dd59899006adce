"""Tables 4, 5, 7 and 8: the summarization tasks of a grid, a row for each policy of the paper and of the grid."""

from collections.abc import Callable
from typing import Any

from preflab.evaluate.statistics import Interval, bootstrap, bootstrap_ratio
from preflab.report import captions, not_run
from preflab.report.cells import arms
from preflab.report.cells.columns import ROUGE, SHARES, NotMeasuredError, stack
from preflab.report.cells.results import ZERO_SHOT, Arm, GridResults
from preflab.report.cells.selection import pairs
from preflab.report.cells.summary_policies import (
    LEAD_3,
    POLICIES,
    REFERENCE,
    SUPERVISED,
    SummaryPolicy,
    cells,
    policies,
    tasks,
)
from preflab.report.paper import summaries as paper
from preflab.report.paper.summaries import ONLINE, SUPERVISED_RL, TITLES
from preflab.report.table import NOTHING, Column, Table, TableRow, Value
from preflab.text import rouge

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


def measured(arm: Arm, column: str) -> Interval | None:
    """Mean over seeds and contexts of a column in the unit of columns.py; None where the arm has no such column."""
    try:
        return bootstrap(stack([(arm, column)]).tables[0], low=0, high=100 if column in {*SHARES, ROUGE} else 1)
    except NotMeasuredError:
        return None


def table_4(grid: GridResults) -> list[Table]:
    """ROUGE; the references, which it is measured against, are left out."""

    def published(policy: SummaryPolicy) -> Values:
        rouge = paper.TABLE_4.get((policy.task, policy.name))
        if rouge is None:
            return {}
        values: Values = {"paper_r1": rouge.one, "paper_r2": rouge.two, "paper_rl": rouge.longest}
        return values | {"paper_avg": rouge.average, "where": rouge.source}

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
    notes += [protocol(grid, task) for task in tasks(grid)]
    title = "Table 4. ROUGE of summaries"
    return _policies(grid, "table4", title, columns, published, ours, notes, leave_out=REFERENCE)


def protocol(grid: GridResults, task: str) -> str:
    """How the task's summaries were sampled and scored, for each setting that its cells were evaluated with."""
    settings = [cell.settings["task"] for cell in cells(grid) if cell.row["task"] == task and cell.settings]
    texts = "; or ".join(dict.fromkeys(map(_protocol, settings)) or [rouge.protocol("of length not recorded", None)])
    return (
        f"{TITLES[task]}: {texts}. Lead-3 and references are not sampled; lead-3 is of the query, as policies see it."
    )


def _protocol(task: dict[str, Any]) -> str:
    end, length = task["truncate_token"], f"at most {task['response_length']} tokens"
    cut = f"cut at the first {ENDS.get(end, repr(end))} after {task['truncate_after']} tokens, {length}"
    return rouge.protocol(cut if end else length, task["temperature"])


def table_5(grid: GridResults) -> list[Table]:
    """Which of two policies' summaries the judge prefers; none for a grid without summaries."""
    if not tasks(grid):
        return []
    rows, missing = [], []
    for task in tasks(grid):
        for a_name, b_name in MATCHES:
            published = paper.TABLE_5[task, a_name, b_name]
            values: Values = {"paper": published.value, "where": published.source}
            comparable = pairs(grid, task, POLICIES[a_name], POLICIES[b_name])
            judged = [(a, b) for a, b in comparable if b and arms.pairs(a, b)]
            rows += [_match(grid, a, b, values) for a, b in judged]
            if not judged:
                missing.append(SummaryPolicy(task, f"{a_name} vs {b_name}", None))
    columns = (
        Column("arm", "A vs B"),
        TASK,
        Column("labels", "labels of A"),
        Column("labels_b", "labels of B"),
        *LABELLED[1:],
        Column("contexts", "articles", "number", 0),
        Column("wins", "ours: judge for A, %", "interval", 1, 100),
        Column("paper", "paper: humans for A, %", "number", 0, 100),
        WHERE,
    )
    notes = [
        f"{SEEDS} Equal seeds are compared with each other on the same articles; equal texts count ½.",
        judge_note(grid),
        "In the paper three people judged each of 1,024 articles.",
    ]
    title = "Table 5. Which of two summaries is preferred"
    return _table(grid, "table5", title, columns, rows, notes, missing)


def _match(grid: GridResults, a: Arm, b: Arm, values: Values) -> TableRow:
    seed_pairs = arms.pairs(a, b)
    seeds = dict.fromkeys(str(cell.row["seed"]) for pair in seed_pairs for cell in pair if cell.row["seed"] is not None)
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
    return TableRow(values | ours, tuple(dict.fromkeys([x.id for x, _ in seed_pairs] + [y.id for _, y in seed_pairs])))


def judge_note(grid: GridResults) -> str:
    """Who labelled and who judged these summaries, and what that judge cannot say."""
    summaries = cells(grid)
    taus = sorted({f"{cell.metrics['judge_tau']:.3g}" for cell in summaries})
    names = sorted({JUDGES.get(cell.row["labeller"], f"that of {cell.row['labeller']}") for cell in summaries})
    note = (
        f"Labeller: {captions.labellers(summaries)}. Judge: {'; '.join(names)}; majority of "
        f"{summaries[0].metrics['votes']:.0f} noisy votes (τ = {', '.join(taus)})."
    )
    if ACCURACY in names:
        note += (
            " To this judge the reference's ROUGE is perfect by definition, and what is copied is supported: rows "
            "against references and lead-3 cannot show what people thought of them."
        )
    return note


def table_7(grid: GridResults) -> list[Table]:
    """Copying of the source's first three words."""

    def published(policy: SummaryPolicy) -> Values:
        shares = paper.TABLE_7.get((policy.task, policy.name))
        return {"paper": shares[0], "paper_preamble": shares[1], "where": paper.TABLE_7_SOURCE} if shares else {}

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
    ]
    title = "Table 7. Summaries that begin as their source does"
    return _policies(grid, "table7", title, columns, published, starts, notes)


def starts(arm: Arm) -> Values:
    """How many summaries begin as their source does, of all and of those with a preamble."""
    try:
        copies, preamble = stack([(arm, "copies_start"), (arm, "preamble")]).tables
    except NotMeasuredError:
        return {}
    values: Values = {"all": bootstrap(copies, low=0, high=1)}
    values |= {"contexts": copies.shape[1], "with": int(preamble[0].sum())}
    if preamble.any():
        values["preamble"] = bootstrap_ratio(copies * preamble, preamble)
    return values


def table_8(grid: GridResults) -> list[Table]:
    """Accuracy by the faithfulness proxy."""
    items = paper.TABLE_8_ITEMS

    def published(policy: SummaryPolicy) -> Values:
        accurate = paper.TABLE_8.get((policy.task, policy.name))
        if accurate is None:
            return {}
        return {"paper": accurate / items, "paper_of": f"{accurate}/{items}", "where": paper.TABLE_8_SOURCE}

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
        "Supported: for each sentence of the summary, the source has all of its numbers and capitalised words, and at "
        "least half of its pairs of neighbouring content words stand together in one sentence of the source. "
        f"{SEEDS}",
        "Limits: the proxy sees words, not meaning. What is copied counts as supported, even where it misleads "
        "without its context; exchanged names, a lost not and halves of two sentences joined in one mostly pass; a "
        "paraphrase mostly fails. It is fair only between policies that copy equally much.",
        f"In the paper the authors judged {items} summaries of each policy: one is 3.3 points.",
    ]
    title = "Table 8. Summaries that their source supports"
    return _policies(grid, "table8", title, columns, published, ours, notes)


def _policies(
    grid: GridResults,
    label: str,
    title: str,
    columns: tuple[Column, ...],
    published: Callable[[SummaryPolicy], Values],
    ours: Callable[[Arm], Values],
    notes: list[str],
    leave_out: str | None = None,
) -> list[Table]:
    """A row for each policy that the grid has."""
    listed = [policy for task in tasks(grid) for policy in policies(grid, task) if policy.name != leave_out]
    rows = [
        TableRow(_of_arm(grid, policy.arm) | published(policy) | ours(policy.arm), policy.arm.ids)
        for policy in listed
        if policy.arm
    ]
    return _table(grid, label, title, columns, rows, notes, [policy for policy in listed if policy.arm is None])


def _table(
    grid: GridResults,
    label: str,
    title: str,
    columns: tuple[Column, ...],
    rows: list[TableRow],
    notes: list[str],
    missing: list[SummaryPolicy],
) -> list[Table]:
    """With a note on the policies, and on the tasks, that the grid lacks; none without any row."""
    if not rows:
        return []
    names = [(TITLES[policy.task], policy.name, _runs(policy.task, policy.name)) for policy in missing]
    names += [(TITLES[task], "all rows", _runs(task)) for task in TITLES if task not in tasks(grid)]
    return [captions.table(grid, label, title, columns, rows, [*notes, *not_run.notes(names)])]


def _runs(task: str, name: str = "") -> str:
    """The grid that runs this policy of a task."""
    return not_run.LARGE if task == "tldr" or "30k" in name else not_run.SUMMARIES


def _task(grid: GridResults, arm: Arm) -> str:
    """`CNN/DM`, with the model where there are several, and with the axes in which the grid's arms differ."""
    task, model, *axes = arm.family.split(", ")
    several = len({cell.row["model"] for cell in cells(grid)}) > 1
    return ", ".join([TITLES[task], *([model] if several else []), *axes])


def _of_arm(grid: GridResults, arm: Arm) -> Values:
    return {
        "arm": arm.name,
        "task": _task(grid, arm),
        "labels": captions.labels_text(grid, arm.first),
        "source": captions.source_text(arm.first),
        "seeds": captions.seeds_text(arm),
    }
