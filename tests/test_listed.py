"""Tables by conf/report.yaml and baselines by conf/method/: what is not there, or gives the wrong thing, is named."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from preflab.errors import PreflabError
from preflab.evaluate import baselines
from preflab.grid import kinds
from preflab.report.tables import listed
from preflab.report.tables.order import all_tables


def test_the_list_of_the_project() -> None:
    assert listed.functions(Path(__file__).parents[1] / "conf" / "report.yaml") == [all_tables]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tables: [tables.all_table]", "no function all_table in tables.py; did you mean 'all_tables'"),
        ("tables: [tabels.all_tables]", "no module tabels in src/preflab/report/"),
        ("tables: [7]", "7: no module 7 in"),
        ("tables: tables.all_tables", "expected nothing but `tables`, a list"),
        ("tabels: []", "expected nothing but `tables`, a list"),
        ("tables: [", "cannot be read"),
        ("", "expected nothing but `tables`"),
    ],
)
def test_a_list_that_names_what_is_not_there(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "report.yaml").write_text(text)
    with pytest.raises(PreflabError) as error:
        listed.functions(tmp_path / "report.yaml")
    assert str(error.value).startswith(f"{tmp_path}/report.yaml: ")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_two_tables_of_one_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed, "functions", lambda _: [lambda _: [SimpleNamespace(label="a")]] * 2)
    with pytest.raises(PreflabError, match=r"report\.yaml: two tables have the label a, which names their files"):
        listed.tables(None, Path("report.yaml"))  # type: ignore[arg-type]


def test_baselines_are_methods_whose_responses_are_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {name for name, chain in kinds.METHODS.items() if chain == ["text"]} == set(baselines.names())
    assert baselines.respond("lead-3", ["It rains. It pours. It stops. We go."], [None]) == [
        "It rains. It pours. It stops."
    ]
    assert baselines.respond("reference", ["A."], ["B."]) == ["B."]
    with pytest.raises(PreflabError, match=r"method\.name=lead-4: no such baseline; did you mean 'lead-3'"):
        baselines.respond("lead-4", [], [])
    monkeypatch.setattr("preflab.evaluate.baselines.lead_3.respond", lambda *_: ["A."])
    with pytest.raises(PreflabError, match="gave 1 responses to 2 queries, expected texts"):
        baselines.respond("lead-3", ["A.", "B."], [None, None])
