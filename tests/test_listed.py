"""Tables by conf/report.yaml and baselines by conf/method/: what is not there, or gives the wrong thing, is named."""

from pathlib import Path

import pytest

from preflab.errors import PreflabError
from preflab.evaluate import baselines
from preflab.evaluate.baselines import lead_3
from preflab.grid import kinds
from preflab.report import sections
from preflab.report.figures import true_score
from preflab.report.table import Table
from preflab.report.tables import reward_models


def test_the_layout_of_the_project() -> None:
    layout = sections.read(Path(__file__).parents[1] / "conf" / "report.yaml")
    assert layout["Reward and KL"][0] is true_score.figure_2
    assert layout["Reward models and scores"][0] is reward_models.reward_models
    makers = [make for section in layout.values() for make in section]
    assert len(makers) == len(set(makers)) >= 20


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "A: [tables.style.table1]",
            "no function table1 in src/preflab/report/tables/style.py; did you mean 'table_1'",
        ),
        (
            "A: [tables.stile.table_1]",
            "stile: no module of that name in src/preflab/report/tables/; did you mean 'style'",
        ),
        ("A: [tabels.style.table_1]", "tabels.style.table_1: expected tables.MODULE.FUNCTION or figures."),
        ("A: [7]", "7: expected tables.MODULE.FUNCTION or figures.MODULE.FUNCTION"),
        ("A: tables.style.table_1", "expected for each section its title and a list of"),
        ("A: [", "cannot be read"),
        ("", "expected for each section its title and a list of"),
    ],
)
def test_a_list_that_names_what_is_not_there(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "report.yaml").write_text(text)
    with pytest.raises(PreflabError) as error:
        sections.read(tmp_path / "report.yaml")
    assert str(error.value).startswith(f"{tmp_path}/report.yaml: ")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_two_tables_of_one_label(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table("a", "A", (), (), {})
    monkeypatch.setattr(sections, "read", lambda _: {"One": [lambda _: [table]], "Two": [lambda _: [table]]})
    with pytest.raises(PreflabError, match=r"report\.yaml: two tables have the label a, which names their files"):
        sections.build(None, Path("report.yaml"))  # type: ignore[arg-type]


def test_baselines_are_methods_whose_responses_are_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {name for name, chain in kinds.METHODS.items() if chain == ["text"]} == set(baselines.names())
    assert baselines.respond("lead_3", ["It rains. It pours. It stops. We go."], [None]) == [
        "It rains. It pours. It stops."
    ]
    assert baselines.respond("reference", ["A."], ["B."]) == ["B."]
    with pytest.raises(PreflabError, match=r"method\.name=lead_4: no module of that name in .*; did you mean 'lead_3'"):
        baselines.respond("lead_4", [], [])
    monkeypatch.setattr(lead_3, "respond", lambda *_: ["A."])
    with pytest.raises(PreflabError, match="gave 1 responses to 2 queries, expected texts"):
        baselines.respond("lead_3", ["A.", "B."], [None, None])
