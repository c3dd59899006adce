"""Tables 4, 5, 7, 8 and Figures 5 to 7, on made-up cells of four articles whose numbers can be worked out by hand."""

import csv
import io
from dataclasses import replace

import pytest

from preflab.report import not_run
from preflab.report.cells import summary_policies
from preflab.report.cells.results import Arm, CellResults, GridResults
from preflab.report.figures import summaries as summaries_figures
from preflab.report.figures.drawing import Figure
from preflab.report.figures.summaries import again, figure_5, figure_6, figure_7, new, origins
from preflab.report.samples import side_by_side
from preflab.report.table import Column, Table, TableRow
from preflab.report.tables import policies
from preflab.report.tables.summaries import (
    MATCHES,
    judge_note,
    protocol,
    table_4,
    table_5,
    table_7,
    table_8,
)


def all_tables(grid: GridResults) -> list[Table]:
    return [table for make in (table_4, table_5, table_7, table_8) for table in make(grid)]


def all_figures(grid: GridResults) -> list[Figure]:
    return [figure for make in (figure_5, figure_6, figure_7) for figure in make(grid)]


ARTICLES = [f"The cat number {i} sat on the mat. It was happy and it slept." for i in range(4)]
SETTINGS = {"task": {"temperature": 0.5, "truncate_token": ".", "truncate_after": 20, "response_length": 40}}
COMMAND = "python -m pipelines.grid claims && dvc repro"


def cell(name: str, more: dict, columns: dict | None = None, response: str = "Dogs ran.") -> CellResults:
    """A cell of cnndm; a column is a list by article or one number for all."""
    usual = {"task": "cnndm", "model": "tiny", "method": "rl", "labels": None, "collection": None, "ablation": "none"}
    usual |= {"seed": None, "num_train": 0, "episodes": 0, "kl_target": None, "labeller": "summary", "agreement": 0.46}
    usual |= {"synthetic": True, "overrides": {}, "prepare": "cnndm-tiny", "comparisons": "cnndm-tiny"}
    usual |= {"zero_shot": "cnndm-zero-shot", "evaluate": name}
    known = {"rouge1": 0.3, "rouge2": 0.1, "rougeLsum": 0.2, "supported": 0.0, "copies_start": 0.0, "judge": 0.0}
    known |= {"preamble": [0.0, 0.0, 1.0, 1.0], "vader": 0.0, "true_score": 0.0, "kl": 0.0} | (columns or {})
    samples = {key: value if isinstance(value, list) else [value] * 4 for key, value in known.items()}
    samples |= {"context": [0, 1, 2, 3], "query": ARTICLES, "response": [response] * 4}
    metrics = {"contexts": 4, "votes": 3, "votes_seed": 1, "judge_tau": 0.0, "true_score": 0.0, "true_score_se": 0.1}
    metrics |= {"length": 20.0, "ended": 0.9, "distinct_1": 0.2, "distinct_2": 0.4}
    return CellResults(name, usual | more, metrics, samples, {}, {}, {}, {}, {}, settings=SETTINGS)


def online(seed: int, **columns: object) -> CellResults:
    axes = {"labels": "60k", "collection": "online", "seed": seed, "num_train": 120}
    return cell(f"cnndm-60k-online-{seed}", axes, columns, "The cat number 1 sat. The cat number 1 sat.")


def grid_of(*cells: CellResults) -> GridResults:
    return GridResults("tiny", "1/500", "1/2500", cells)


ZERO_SHOT = cell("cnndm-zero-shot", {"method": "zero_shot"})
LEAD_3 = cell("cnndm-lead-3", {"method": "lead_3"}, {"judge": [0.0, 2.0, 0.0, 1.0], "rouge1": 0.6})
JUDGED = [1.0, 1.0, 0.0, 2.0]
ONLINE = [
    online(1, judge=JUDGED, rouge1=0.4, rouge2=0.1, supported=[1.0, 0.0, 1.0, 0.0]),
    online(2, judge=JUDGED, rouge1=0.5, rouge2=0.2, rougeLsum=0.4, supported=1.0, copies_start=[1.0, 1.0, 0.0, 1.0]),
]
GRID = grid_of(ZERO_SHOT, LEAD_3, *ONLINE)


def shown(table: Table | list[Table]) -> dict[str, dict[str, str]]:
    """A table as printed: first column -> column key -> text."""
    (table,) = table if isinstance(table, list) else [table]
    keys = [column.key for column in table.columns]
    return {texts[0]: dict(zip(keys, texts, strict=True)) for texts, _ in table.shown()}


def test_rouge_is_the_mean_over_seeds_and_articles_beside_the_papers():
    rows = shown(table_4(GRID))
    ours = rows["60k online"]
    # both seeds of a resample are the first in one of four, or the second; they lie √2 times as far from the mean
    assert ours["r1"] == "45.0 [37.9, 52.1]"
    assert ours["r2"] == "15.0 [7.9, 22.1]"
    assert ours["avg"] == "30.0 [20.6, 39.4]"  # (40 + 10 + 20)/3 and (50 + 20 + 40)/3
    assert (ours["task"], ours["seeds"], ours["labels"]) == ("CNN/DM", "1, 2", "60k × 1/500 = 120")
    assert [ours[f"paper_{kind}"] for kind in ("r2", "rl", "avg")] == ["15.48", "33.33", "28.73"]
    assert ours["where"] == "R-AVG notes, rest memory (0.95)"
    assert rows["lead-3"]["r1"] == "60.0 [60.0, 60.0]"
    assert "reference" not in rows  # it is what the others are held against


def test_the_protocol_of_rouge_is_printed():
    note = next(note for note in table_4(GRID)[0].notes if note.startswith("CNN/DM"))
    for words in ("rouge-score 0", "Porter-stemmed", "rougeLsum, split by sentencex", "sampled at T = 0.5"):
        assert words in note
    assert "cut at the first full stop after 20 tokens, at most 40 tokens" in note
    unknown = grid_of(*(replace(one, settings={}) for one in GRID.cells))
    assert "of length not recorded" in protocol(unknown, "cnndm")


def test_the_judge_compares_the_papers_pairs():
    rows, notes = shown(table_5(GRID)), " ".join(table_5(GRID)[0].notes)
    assert rows["60k online vs lead-3"]["wins"].startswith("62.5 [")  # won, lost, equal, won
    assert (rows["60k online vs lead-3"]["paper"], rows["60k online vs lead-3"]["where"]) == ("40", "notes")
    assert rows["60k online vs lead-3"]["seeds"] == "1, 2"
    assert rows["60k online vs zero-shot"]["wins"].startswith("87.5 [")  # an equal text counts ½
    assert list(rows) == ["60k online vs zero-shot", "60k online vs lead-3"]
    assert all(f"{a} vs {b}" in " ".join(rows) or f"{a} vs {b}" in notes for a, b in MATCHES)
    assert "ROUGE is perfect by definition" in judge_note(GRID)


def test_copied_starts_of_all_articles_and_of_those_with_a_preamble():
    ours = shown(table_7(GRID))["60k online"]
    assert ours["all"].startswith("37.5 [")  # 0 of 4 and 3 of 4
    assert ours["preamble"].startswith("25.0 [")  # 0 of 2 and 1 of 2
    assert (ours["contexts"], ours["with"]) == ("4", "2")
    assert (ours["paper"], ours["paper_preamble"]) == ("77.6", "1.4")
    bare = grid_of(ZERO_SHOT, online(1, preamble=0.0))
    assert shown(table_7(bare))["60k online"]["preamble"] == "–"


def test_accuracy_stands_beside_the_papers_thirty():
    (table,) = table_8(GRID)
    ours = shown(table)["60k online"]
    assert ours["supported"].startswith("75.0 [")
    assert (ours["contexts"], ours["paper"], ours["paper_of"]) == ("4", "97", "29/30")
    assert any(note.startswith("Limits: ") for note in table.notes)


def test_what_the_grid_lacks_is_named_with_its_command():
    for table in all_tables(GRID):
        name = "60k online vs supervised" if table.label == "table5" else "supervised"
        assert name not in {row.values["arm"] for row in table.rows}
        small, large = table.notes[-2:]
        assert small.startswith("Not run: CNN/DM: ")
        assert name in small
        assert small.endswith(f"`{COMMAND}` runs them.")
        assert large.endswith("30k online; TL;DR: all rows. `python -m pipelines.grid smollm2 && dvc repro` runs them.")


def test_supervised_rl_of_either_collection_has_the_papers_number():
    axes = {"method": "supervised_rl", "labels": "60k", "collection": "offline", "seed": 1}
    grid = grid_of(*GRID.cells, cell("supervised-rl", axes | {"overrides": {"method": "supervised_rl"}}))
    assert shown(table_4(grid))["supervised-rl 60k offline"]["paper_avg"] == "31.60"


def test_policies_that_the_paper_has_not_stand_below_it():
    axes = {"labels": "60k", "collection": "offline", "seed": 1, "num_train": 120}
    best = cell("best", axes | {"method": "best_of_n", "overrides": {"method": "best_of_n"}})
    ablated = cell("ablated", axes | {"ablation": "no_kl", "overrides": {"ablation": "no_kl"}})
    grid = grid_of(*GRID.cells, best, ablated)
    found = summary_policies.policies(grid, "cnndm")
    assert [entry.name for entry in found[-2:]] == ["best-of-n 60k offline", "60k offline, no_kl"]
    assert len(found) == len(summary_policies.POLICIES) + 2
    drawn = summaries_figures.drawn(grid, "cnndm")
    assert [entry.name for entry in drawn] == ["zero-shot", "lead-3", "60k online", "best-of-n 60k offline"]


def test_other_tasks_of_the_grid_are_left_out():
    other = {"task": "sentiment", "zero_shot": "sentiment-zero-shot", "labeller": "classifier"}
    style = [cell("sentiment-zero-shot", other | {"method": "zero_shot"})]
    style += [cell("sentiment-60k", other | {"labels": "60k", "collection": "online", "seed": 1, "num_train": 120})]
    for here, both in zip(all_tables(GRID), all_tables(grid_of(*GRID.cells, *style)), strict=True):
        assert shown(here) == shown(both)
        assert here.notes == both.notes
    assert all_tables(grid_of(*style)) == []
    assert all_figures(grid_of(*style)) == []


def test_a_grid_without_summaries_has_a_line_for_each_table_and_figure():
    lines = not_run.lines({"table4", "figure7"})
    assert ("Table 5. Which of two summaries is preferred", COMMAND) in lines
    assert not any(title.startswith(("Table 4.", "Figure 7.")) for title, _ in lines)


def test_a_text_in_place_of_a_number_has_the_same_form_in_every_file():
    columns = (Column("arm", "policy"), Column("ours", "ours", "interval", 1), Column("paper", "paper", "number", 0))
    row = TableRow({"arm": "supervised", "paper": 8.0, "ours": "not measured"}, ())
    table = Table(
        "table8", "Table 8", columns, (row, TableRow({"arm": "b"}, ())), {}, tuple(not_run.notes([("", "a", "smoke")]))
    )
    assert table.markdown().splitlines()[4] == "| supervised | not measured | 8 |  |"
    assert "Not run: a. `python -m pipelines.grid smoke && dvc repro` runs them." in table.markdown()
    assert '<td class="number">not measured</td>' in table.html()
    assert "<code>python -m pipelines.grid smoke &amp;&amp; dvc repro</code>" in table.html()
    assert r"supervised & not measured & 8 \\" in table.latex()
    assert r"\texttt{python -m pipelines.grid smoke \&\& dvc repro}" in table.latex()
    found = list(csv.reader(io.StringIO(table.csv())))
    assert found[0] == ["arm", "ours", "ours_low", "ours_high", "paper", "cells"]
    assert found[1] == ["supervised", "not measured", "", "", "8", ""]
    assert {len(line) for line in found} == {6}


def test_every_form_of_the_tables_of_summaries_can_be_written():
    tables = all_tables(GRID)
    assert len(tables) == 4
    for table in tables:
        rows = list(csv.reader(io.StringIO(table.csv())))
        assert {len(row) for row in rows} == {len(rows[0])}
        assert table.latex().count(r" \\") == len(table.rows) + 1
        assert table.html().count("<tr>") == len(table.rows) + 1


def shares(response: str, measure) -> dict[str, float]:
    arm = Arm("one", "cnndm, tiny", (cell("one", {}, response=response),))
    return {unit: share.mean for unit, share in measure(arm).items()}


def test_new_units_are_counted_over_all_summaries():
    found = shares("The cat number. Dogs ran.", new)
    assert found == {
        "1-grams": pytest.approx(2 / 5),  # dogs, ran
        "2-grams": pytest.approx(1 / 3),  # dogs ran
        "3-grams": 0.0,
        "sentences": 0.5,  # and no 4-grams
    }


def test_repeated_units_are_those_that_stood_before():
    found = shares("It was happy. It was happy. It ran.", again)
    assert found["1-grams"] == pytest.approx(4 / 8)
    assert found["2-grams"] == pytest.approx(2 / 5)
    assert (found["3-grams"], found["sentences"]) == (0.5, pytest.approx(1 / 3))


def test_copied_bigrams_by_their_place_in_the_source():
    # 14 words of the source are 13 bigrams: "the cat" is the first, "it slept" the last
    arm = Arm("one", "cnndm, tiny", (cell("one", {}, response="The cat ran. And it slept."),))
    found = origins(arm)
    assert found is not None
    # the bigrams: the cat, cat ran, ran and, and it, it slept; copied: places 0, 11 and 12 of 13, tenths 0, 8 and 9
    assert [part.mean for part in found.parts] == pytest.approx([1 / 3, *[0] * 7, 1 / 3, 1 / 3])
    assert found.copied == pytest.approx(3 / 5)
    nothing = Arm("none", "cnndm, tiny", (cell("none", {}, response="Nobody came."),))
    assert origins(nothing) is None


def test_figures_are_drawn_alike_each_time():
    drawn = {figure.label: figure.svg for figure in all_figures(grid_of(ZERO_SHOT, LEAD_3))}
    assert list(drawn) == ["figure5", "figure6", "figure7"]
    assert drawn == {figure.label: figure.svg for figure in all_figures(grid_of(ZERO_SHOT, LEAD_3))}
    assert all("Synthetic labels" in figure.caption for figure in all_figures(GRID))


def test_samples_of_summaries_stand_below_their_article_and_reference():
    cells = [replace(one, samples=one.samples | {"reference": ["A cat *slept*."] * 4}) for one in GRID.cells]
    lines = side_by_side.markdown(grid_of(*cells), "").splitlines()
    start = lines.index("### Article 1")
    assert lines[start + 2 : start + 8] == [
        f"> {ARTICLES[0]}",
        "",
        r"* **reference**: A cat \*slept\*.",
        "* **zero-shot** (+0.0): Dogs ran.",
        "* **lead-3** (+0.0): Dogs ran.",
        "* **60k online** (+0.0): The cat number 1 sat. The cat number 1 sat.",
    ]
    assert any(line.startswith("## CNN/DM (cnndm, tiny): Tables 6 and 13 to 18") for line in lines)


def test_tables_of_all_policies_take_those_without_kl_or_reward_model():
    grid = grid_of(ZERO_SHOT, LEAD_3, cell("cnndm-supervised-1", {"method": "supervised", "seed": 1}))
    assert shown(policies.cells(grid))["cnndm-supervised-1"]["kl"] == "–"
    assert "lead-3" in shown(policies.scores(grid))
