"""The report on fabricated cells of four contexts, whose numbers can be worked out by hand."""

import hashlib
import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.report_files import CELLS, COMMIT, QUERIES, make_grid, write
from preflab.errors import PreflabError
from preflab.report import captions, page
from preflab.report.cells.load import from_files
from preflab.report.claims import decide
from preflab.report.claims import page as page_claims
from preflab.report.claims.verdicts import CONTRADICTED, INCONCLUSIVE, NOT_RUN, REPRODUCED
from preflab.report.paper.style import FIGURE_2, FIGURE_2_EPISODES, FIGURE_3, FIGURE_3_KL
from preflab.report.samples import side_by_side
from preflab.report.table import Table
from preflab.report.tables import provenance as provenance_tables

ROOT = Path(__file__).parents[1]
CLAIMS = ROOT / "conf/claims.yaml"
TABLES = ROOT / "conf/report.yaml"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, dict]:
    root = tmp_path_factory.mktemp("grid")
    return root, make_grid(root, list(CELLS))


@pytest.fixture(scope="module")
def report(finished) -> page.ReportContents:
    root, about = finished
    return page.build(from_files(about, root), CLAIMS, TABLES)


def all_tables(report: page.ReportContents) -> list[Table]:
    return [*report.tables, report.stages, report.provenance]


def shown(report: page.ReportContents, label: str, task: str = "sentiment") -> dict[str, dict[str, str]]:
    """A table as printed, the rows of a task: first column but the task -> column key -> text."""
    table = next(table for table in all_tables(report) if table.label == label)
    keys = [column.key for column in table.columns]
    rows = [dict(zip(keys, texts, strict=True)) for texts, _ in table.shown()]
    first = next(key for key in keys if key != "task")
    return {row[first]: row for row in rows if row.get("task", task) == task}


def test_table_1_is_worked_out_by_hand(report):
    rows = shown(report, "table1")
    # seed 1: three of four; seed 2: two and a tie: (¾ + ⅝)/2 = 0.6875
    assert rows["5k offline vs zero-shot"]["wins"].startswith("68.8 [")
    assert rows["60k offline vs zero-shot"]["wins"] == "100.0 [100.0, 100.0]"
    assert rows["5k offline vs 60k offline"]["wins"] == "0.0 [0.0, 0.0]"
    assert rows["5k offline vs direct"]["wins"].startswith("50.0 [")  # four ties; then won, won, lost, lost
    assert rows["5k offline vs 5k online"]["wins"].startswith("50.0 [")  # seed 1 only: won, lost, won, lost
    assert rows["5k offline vs 5k online"]["seeds"] == "1"
    assert rows["5k offline vs zero-shot"]["seeds"] == "1, 2"
    assert rows["5k offline vs zero-shot"]["vader"].startswith("68.8 [")
    assert rows["direct vs zero-shot"]["wins"].startswith("68.8 [")  # ¾, then three ties and a win: (¾ + ⅝)/2


def test_table_1_has_the_papers_numbers_and_the_scale_beside_the_labels(report):
    rows = shown(report, "table1")
    published = {name: (row["paper"], row["paper_source"]) for name, row in rows.items() if row["paper"] != "–"}
    assert published == {
        "5k offline vs zero-shot": ("88.0", "Table 1, image"),
        "5k offline vs direct": ("77.0", "Table 1, image"),
        "5k offline vs 60k offline": ("48.0", "Table 1, image, its 20k"),
        "5k offline vs 5k online": ("50.0", "Table 1, image"),
        "60k offline vs zero-shot": ("87.1", "Figure 4, digitised, its 20k"),
    }
    assert rows["5k offline vs 60k offline"]["labels"] == "5k × 1/40 = 120"
    assert rows["5k offline vs 60k offline"]["labels_b"] == "60k × 1/40 = 1496"
    assert {row["source"] for row in rows.values()} == {"synthetic"}


def test_shares_of_direct_training(report):
    rows = shown(report, "figure2_end")
    assert [rows[arm]["share"] for arm in ("5k offline", "60k offline", "direct")] == ["33", "67", "100"]
    assert rows["5k offline"]["paper_share"] == f"{100 * (2.04 - 0.31) / (3.25 - 0.31):.0f}"
    assert rows["60k offline"]["reward"] == "2.00 [2.00, 2.00]"
    assert rows["5k online"]["paper"] == "–"


def test_reward_models_and_kl(report):
    rows = shown(report, "reward_models")
    assert rows["5k offline"]["accuracy"] == "36.0 ± 2.0"
    assert rows["60k offline"]["above"] == "10.5"  # (0.46 − 0.25) / 0.02
    assert rows["5k online"]["labels"] == "the first 120 (× 1/40)"
    cells = shown(report, "cells")
    assert (cells["sentiment-5k-offline-1"]["ratio"], cells["sentiment-5k-offline-1"]["on_target"]) == (
        "1.10",
        "yes",
    )
    assert cells["sentiment-direct-1"]["true_score"] == "3.00 ± 0.12"
    assert cells["sentiment-zero-shot"]["kl"] == "–"


def test_verdicts_of_the_fabricated_grid(report):
    verdicts = {claim.key: claim.verdict for claim in report.claims}
    assert len(verdicts) == 22
    assert {key: verdict for key, verdict in verdicts.items() if verdict != NOT_RUN} == {
        "five_thousand_suffice": INCONCLUSIVE,  # 68.8 % with four contexts
        "returns_saturate": CONTRADICTED,  # 5k loses everywhere
        "online_unnecessary": INCONCLUSIVE,
        "approaches_direct": CONTRADICTED,  # 2 of 3, not 80 %
        "faster_at_first": CONTRADICTED,  # the curves rise to 2 and 3
    }
    by_key = {claim.key: claim for claim in report.claims}
    share, more = by_key["approaches_direct"].checks
    assert share.interval == pytest.approx((200 / 3, 200 / 3, 200 / 3))
    assert (more.interval, more.region) == (pytest.approx((1, 1, 1)), "above 0")
    ratios = by_key["kl_on_target"].checks
    assert [check.interval.mean for check in ratios] == pytest.approx([1.1, 1, 1, 1])
    assert by_key["kl_on_target"].missing == (
        "the grid lacks the cells of (ablation fixed_kl) against (ablation none, kl_target any) in sentiment or mock",
    )


def test_rewards_at_different_kl_are_not_compared(tmp_path, monkeypatch):
    monkeypatch.setitem(CELLS, "sentiment-direct-1", ("direct", "offline", 1, [1, 1, 1, -1], 3.0, 9.0, None))
    names = ["sentiment-direct-1", "sentiment-60k-offline-1", "sentiment-5k-offline-1"]
    grid = from_files(make_grid(tmp_path, names), tmp_path)
    claim = {claim.key: claim for claim in decide.decide(CLAIMS, grid)}["approaches_direct"]
    assert [check.verdict for check in claim.checks] == [INCONCLUSIVE, REPRODUCED]
    assert claim.checks[0].doubt == "KL 6.00 and 9.00 differ by more than 25 %"
    assert claim.settle == {}  # no number of contexts or seeds mends that
    assert claim.verdict == INCONCLUSIVE


def test_a_small_grid_leaves_out_what_it_lacks_and_says_so(tmp_path):
    grid = from_files(make_grid(tmp_path, ["sentiment-5k-offline-1"]), tmp_path)
    small = page.build(grid, CLAIMS, TABLES)
    rows = shown(small, "table1")
    assert list(rows) == ["5k offline vs zero-shot"]
    assert not shown(small, "table1", "descriptiveness")
    assert small.tables[0].notes[-1].startswith("Not run: sentiment: 5k offline vs direct, ")
    assert "`python -m pipelines.grid claims && dvc repro`" in small.tables[0].notes[-1]
    assert "* Table 4. ROUGE of summaries. `python -m pipelines.grid claims && dvc repro` builds it." in page.markdown(
        small
    )
    assert "ablations" not in {table.label for table in small.tables}
    verdicts = {claim.key: claim.verdict for claim in small.claims}
    assert (verdicts["approaches_direct"], verdicts["five_thousand_suffice"]) == (NOT_RUN, INCONCLUSIVE)
    assert {path.name for path in page.write(small, tmp_path / "out")} >= {
        "index.html",
        "index.md",
        "figure2.svg",
        "figure2.png",
    }


NUMBER = re.compile(r"-?\d+\.\d+")


def test_every_form_of_a_table_holds_the_same_numbers(report):
    assert len(report.tables) >= 9
    for table in report.tables:
        want = [number for texts, _ in table.shown() for text in texts for number in NUMBER.findall(text)]
        assert want, table.label
        if any(column.kind == "quote" for column in table.columns):
            continue
        markdown = "\n".join(
            line.rpartition(" | ")[0] for line in table.markdown().splitlines()[4:] if line.startswith("|")
        )
        tex = table.latex().partition("\\midrule")[2].partition("\\bottomrule")[0]
        body = re.sub(r"<[^>]*>", " ", table.html().partition("<tbody>")[2].partition("</tbody>")[0])
        assert NUMBER.findall(markdown) == want
        assert NUMBER.findall(re.sub(r"\\textsuperscript\{[^}]*\}", "", tex)) == want
        assert NUMBER.findall(html.unescape(body)) == want
        assert NUMBER.findall(table.csv().partition("\n")[2]) == want


def test_every_table_says_synthetic_and_the_scale_in_itself(report, finished):
    root, _ = finished
    page.write(report, root / "out")
    for table in all_tables(report):
        assert "Synthetic labels and judge" in table.caption
        assert "1/40" in table.caption
        for text in (table.markdown(), table.html(), table.latex()):
            assert "Synthetic labels and judge" in text
    for table in report.tables:
        sources = {row.values.get("source") for row in table.rows if row.cells}
        assert sources == ({"synthetic"} if sources else set()), table.label
        if any("labels" in row.values for row in table.rows if row.cells):
            assert any("1/40" in str(row.values.get("labels")) for row in table.rows)


def test_every_number_leads_to_instance_run_inputs_and_commit(report):
    text = page.page(report)
    linked = set(re.findall(r'href="#(cell-\d+)"', text))
    assert linked == {f"cell-{number}" for number in range(1, len(CELLS) + 2)}
    blocks = dict(re.findall(r'<div class="cell" id="(cell-\d+)">(.*?)</ul></div>', text, re.DOTALL))
    assert set(blocks) == linked
    for table in report.tables:
        assert all(row.cells for row in table.rows), table.label
    number = captions.references(report.grid)["sentiment-60k-offline-2"]
    block = blocks[f"cell-{number}"]
    for kind, instance in (
        ("reward", "sentiment-60k-2"),
        ("ppo", "sentiment-60k-offline-2"),
        ("zero_shot", "sentiment-zero-shot"),
    ):
        assert f"{kind} <code>{instance}</code>" in block
        assert hashlib.md5(f"{kind} {instance}".encode()).hexdigest() in block  # the MLflow run
        assert hashlib.md5(kind.encode()).hexdigest() in block  # the md5 of its input
    assert COMMIT in block
    assert f'<a id="cell-{number}"></a>' in provenance_tables.markdown(report.grid)
    assert f"[{number}](provenance.md#cell-{number})" in page.markdown(report)
    assert "[5k offline](provenance.md#cell-2) × 2 seeds, [zero-shot](provenance.md#cell-1)" in page_claims.markdown(
        report.grid, report.claims, ""
    )


def test_a_stage_without_a_record_was_restored_from_the_cache(tmp_path):
    about = make_grid(tmp_path, ["sentiment-5k-offline-1"])
    (tmp_path / "reports/runs/ppo-sentiment-5k-offline-1.json").unlink()
    small = page.build(from_files(about, tmp_path), CLAIMS, TABLES)
    stages = shown(small, "stages")
    assert (stages["ppo"]["instances"], stages["ppo"]["cached"], stages["ppo"]["wall"]) == ("1", "1", "–")
    assert (stages["total"]["instances"], stages["total"]["cached"]) == ("6", "1")
    assert stages["total"]["wall"] == "35.0"  # 3 × 10 + 2 × 2.5
    assert "ppo `sentiment-5k-offline-1`: restored from cache" in provenance_tables.markdown(small.grid)


def test_the_estimate_of_each_stage_from_the_others_is_held_against_the_time_it_took(report):
    stages = shown(report, "stages")
    # five take 2.5 s, two 3.5 s; one of the five is estimated at (4·2.5 + 2·3.5)/6, one of the two at (5·2.5 + 3.5)/6
    evaluate = stages["evaluate"]
    assert evaluate["estimated"] == "7"
    assert evaluate["off"] == "17.1"  # (5·(17/6 − 2.5) + 2·(3.5 − 16/6)) / 19.5
    assert evaluate["most"] == "23.8"  # (3.5 − 16/6) / 3.5
    assert (stages["ppo"]["estimated"], stages["ppo"]["off"]) == ("7", "0.0")
    assert (stages["comparisons"]["estimated"], stages["comparisons"]["off"]) == ("0", "–")  # the first of its kind
    provenance = {row.values["instance"]: row.values for row in provenance_tables.provenance(report.grid).rows}
    assert provenance["sentiment-direct-1"]["estimate"] == pytest.approx(16 / 6)


def test_a_record_of_other_settings_is_not_that_of_the_result(tmp_path):
    about = make_grid(tmp_path, ["sentiment-5k-offline-1"])
    write(tmp_path / "params/ppo/sentiment-5k-offline-1.yaml", "changed since")
    small = page.build(from_files(about, tmp_path), CLAIMS, TABLES)
    assert shown(small, "stages")["ppo"]["cached"] == "1"


def test_the_report_says_how_good_and_how_noisy_labeller_and_judge_are(report):
    text = page.markdown(report)
    assert "labeller 88.1 % (imdb); judge 87.8 % (imdb)" in text
    assert "two labellers agree on 42 %, labeller's τ 1.54, judge's τ 1.58, correlation of the two scores 0.93" in text


def test_the_page_needs_no_network_and_escapes_what_models_say(report):
    text = page.page(report)
    assert not re.findall(
        r'(?:src|href)="(?!#)[^"]*"|url\(["\']?http|@import|<script|<link', text.replace('xlink:href="#', "")
    )
    assert "says 0 &lt;b&gt;|*." in text
    assert "says 0 &lt;b>\\|\\*. (+1.0)" in side_by_side.markdown(report.grid, "")


def test_equal_inputs_give_equal_bytes(report, finished, tmp_path):
    root, about = finished
    again = page.build(from_files(about, root), CLAIMS, TABLES)
    first, second = (page.write(each, tmp_path / name) for each, name in ((report, "a"), (again, "b")))
    assert len(first) == 7 + 2 * 11 + 2 * 4  # pages, tables, figures
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.name


def test_figure_2_is_drawn_from_the_papers_and_our_numbers(report):
    from preflab.report.figures import true_score

    arm = report.grid.families[0].arm("60k offline")
    assert arm is not None
    episodes, rewards = true_score.curves(arm, "true_score")
    assert episodes.tolist() == [64, 128]
    assert rewards.tolist() == [[1, 2], [1, 2]]
    _, averaged = true_score.curves(arm, "true_score", points=1)
    assert averaged.tolist() == [[1.5], [1.5]]
    assert {len(values) for values in FIGURE_2.values()} == {len(FIGURE_2_EPISODES)}
    assert {len(values) for values in FIGURE_3.values()} == {len(FIGURE_3_KL)}


def test_a_context_with_two_texts_is_refused(tmp_path):
    about = make_grid(tmp_path, ["sentiment-5k-offline-1"])
    path = tmp_path / "data/samples/sentiment-5k-offline-1/samples.parquet"
    samples = pq.read_table(path)
    pq.write_table(samples.set_column(1, "query", pa.array(["Another.", *QUERIES[1:]])), path)
    with pytest.raises(PreflabError, match="5k-offline-1 and sentiment-zero-shot: equal contexts hold different"):
        page.build(from_files(about, tmp_path), CLAIMS, TABLES)


def test_a_missing_result_is_one_sentence(tmp_path):
    about = make_grid(tmp_path, ["sentiment-5k-offline-1"])
    (tmp_path / "reports/metrics/sentiment-5k-offline-1.json").unlink()
    with pytest.raises(PreflabError, match=r"reports/metrics/sentiment-5k-offline-1\.json: not found"):
        from_files(about, tmp_path)


def run_pipeline(root: Path, *arguments: str, code: str = "report.main()") -> subprocess.CompletedProcess[str]:
    program = f"import sys; sys.argv[0] = 'report'; from pipelines import report; from preflab import cli; {code}"
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    environment["PYTHONPATH"] = f"{ROOT}/src{os.pathsep}{ROOT}"
    command = [sys.executable, "-c", program, *arguments, "--claims", str(CLAIMS), "--tables", str(TABLES)]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def test_the_command_reports_and_mlflow_gives_the_same_report(tmp_path):
    """The stage writes the report and logs the grid; MLflow gives the same report back; torch stays out."""
    make_grid(tmp_path, ["sentiment-5k-offline-1", "sentiment-60k-offline-1", "sentiment-direct-1"])
    done = run_pipeline(
        tmp_path,
        "params/report.yaml",
        "--out",
        "reports",
        code="report.main(); assert 'torch' not in sys.modules",
    )
    assert done.returncode == 0, done.stderr
    again = run_pipeline(tmp_path, "--from-mlflow", "tiny", "--out", "again")
    assert again.returncode == 0, again.stderr
    files = sorted(path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*") if path.is_file())
    assert len(files) == 7 + 2 * 11 + 2 * 4
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "reports" / file).read_bytes(), file
    unknown = run_pipeline(tmp_path, "--from-mlflow", "quick", code="cli.main(report.main)")
    assert unknown.returncode == 2
    assert unknown.stderr == "error: --from-mlflow quick: no sweep of this run id or name in MLflow; it has: tiny\n"


def test_a_broken_store_is_one_sentence(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is no database, and MLflow cannot make one of it")
    done = run_pipeline(tmp_path, "--from-mlflow", "tiny", code="cli.main(report.main)")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: MLflow's store sqlite:///")
