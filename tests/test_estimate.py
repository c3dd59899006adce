"""Estimates of stages, worked by hand."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from preflab.build.dvc_state import DvcState
from preflab.plan import estimate, executions
from preflab.plan.estimate import TimedWork, Work
from preflab.sweep.show import time_text

LIKE = ("reward", "tiny", "trained")


def past(*pairs: tuple[float, float], like: tuple[str, ...] = LIKE) -> list[TimedWork]:
    """(units, seconds) …"""
    return [TimedWork(Work(like, (units,)), seconds) for units, seconds in pairs]


def of(units: float, executions: list[TimedWork], like: tuple[str, ...] = LIKE) -> float | None:
    return estimate.seconds(Work(like, (units,)), executions)


def test_one_execution_gives_a_rate() -> None:
    assert of(400, past((200, 8))) == pytest.approx(16)  # 0.04 s a label


def test_two_sizes_give_a_fixed_cost_and_a_rate() -> None:
    executions = past((100, 7), (200, 12))  # 2 s + 0.05 s a label
    assert estimate.fit([[100], [200]], [7, 12]) == pytest.approx([2, 0.05])
    assert of(400, executions) == pytest.approx(22)
    assert of(0, executions) == pytest.approx(2)


def test_equal_sizes_give_a_rate_of_their_mean() -> None:
    assert of(200, past((100, 7), (100, 9))) == pytest.approx(16)


def test_a_cost_is_never_below_zero() -> None:
    # the line through both has the fixed cost −1; of the rates alone Σxy/Σx² = (100·1 + 200·3)/(100² + 200²) = 0.014
    assert of(100, past((100, 1), (200, 3))) == pytest.approx(1.4)
    # falling: the rate would be below 0, the fixed cost is the mean
    assert of(300, past((100, 3), (200, 1))) == pytest.approx(2)


def test_work_of_zero_leaves_the_fixed_cost() -> None:
    assert of(0, past((0, 4), (0, 5))) == pytest.approx(4.5)


def test_without_units_it_is_the_median() -> None:
    like = ("prepare", "tiny", "")
    executions = [TimedWork(Work(like, ()), seconds) for seconds in (10, 18, 100)]
    assert estimate.seconds(Work(like, ()), executions) == 18


def test_three_terms_at_once() -> None:
    # 3 s + 0.01 s an episode + 2 s a retraining + 0.002 s a label of a retraining
    rows = [[1000, 0, 0], [2000, 0, 0], [1000, 3, 600], [2000, 3, 7200], [2000, 19, 3800]]
    times = [3 + 0.01 * e + 2 * r + 0.002 * n for e, r, n in rows]
    assert estimate.fit(rows, times) == pytest.approx([3, 0.01, 2, 0.002])


def test_only_what_is_alike_counts() -> None:
    assert of(1, past((1, 5), like=("reward", "gpt2", "trained"))) is None
    assert of(1, []) is None


def test_each_from_the_others() -> None:
    executions = past((100, 7), (200, 12), (400, 20)) + past((0, 4), like=("reward", "tiny", "direct"))
    # from (200, 12), (400, 20): 4 + 0.04·100; from (100, 7), (400, 20): 7 + 100·13/300; the true score is alone
    assert estimate.left_out(executions) == [pytest.approx(8), pytest.approx(7 + 13 / 3), pytest.approx(22), None]


@pytest.mark.parametrize(
    ("kind", "settings", "like", "units"),
    [
        ("fetch", {"corpus": {}}, ("fetch", "tiny", ""), ()),
        ("pretrain", {"pretrain": {"tokens": 5}}, ("pretrain", "tiny", ""), (5,)),
        ("comparisons", {"comparisons": {"num": 24, "heldout": 8}}, ("comparisons", "tiny", ""), (32,)),
        ("reward", {"direct": False, "initial": {"num": 48}}, ("reward", "tiny", "trained"), (48,)),
        ("reward", {"direct": True, "initial": {"num": 0}}, ("reward", "tiny", "direct"), (0,)),
        ("ppo", {"policy": {"episodes": 64}, "online": None}, ("ppo", "tiny", ""), (64, 0, 0)),
        (
            "ppo",
            {"policy": {"episodes": 64}, "online": {"num_train": 200, "retrainings": 3}},
            ("ppo", "tiny", ""),
            (64, 3, 600),
        ),
        ("zero_shot", {"evaluation": {"contexts": 1024}}, ("zero_shot", "tiny", ""), (1024,)),
    ],
)
def test_work(kind: str, settings: dict[str, object], like: tuple[str, ...], units: tuple[float, ...]) -> None:
    assert estimate.work(kind, settings, ["data/queries/x", "sweeps/y/models/base/tiny"]) == Work(like, units)


def test_the_pause_between_stages() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    # 0–10 s, pause 2, 12–20, pause 3, 23–24; an hour later another command; two at the same time
    executions = [(0, 10), (12, 8), (23, 1), (3600, 5), (3602, 1)]
    written = [(start + timedelta(seconds=start_s), seconds) for start_s, seconds in executions]
    assert estimate.pause(written) == pytest.approx(2.5)
    assert estimate.pause(written[:1]) == 0


def test_the_longest_chain_and_the_number_of_jobs() -> None:
    graph = {"params": set(), "a": {"params"}, "b": {"a"}, "c": {"a"}, "d": {"b", "c"}, "alone": {"params"}}
    seconds = {"a": 1.0, "b": 10.0, "c": 4.0, "d": 2.0, "alone": 3.0}
    assert estimate.times(graph, seconds, jobs=1) == (20, 20)
    # a with alone until 1, b until 11 beside alone until 3 and c until 7, d
    assert estimate.times(graph, seconds, jobs=2) == (20, 13)
    assert estimate.times(graph, {"d": 2.0}, jobs=2) == (2, 2)
    assert estimate.times(graph, {}, jobs=2) == (0, 0)


def test_what_a_plan_says() -> None:
    graph = {"a": set(), "b": {"a"}, "c": {"a"}}
    text = time_text(graph, {"a": 100.0, "b": 50.0, "c": 60.0}, jobs=2)
    assert text == "time: about 4 min one stage after another, 3 min with 2 at a time"
    text = time_text(graph, {"a": 9.0, "b": None, "c": 0.0}, jobs=4)
    assert text == (
        "time: about 9.0 s one stage after another, 9.0 s with 4 at a time; "
        "not counting 1 like which none has run on this machine"
    )
    assert "unknown" in time_text(graph, {"a": None}, jobs=2)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.96, "10.0 s"), (42, "42 s"), (100, "2 min"), (6000, "1.7 h")]
)
def test_shown(seconds: float, text: str) -> None:
    assert estimate.shown(seconds) == text


PIPELINE = """
stages:
  reward:
    foreach: ${reward}
    do:
      cmd: run
      deps: ["${item.model}", "params/reward/${key}.yaml"]
"""


def write(file: Path, number: int) -> str:
    """Write settings of a reward model with `number` labels and return their md5."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"direct": False, "initial": {"num": number}}))
    return hashlib.md5(file.read_bytes()).hexdigest()


def test_a_plan_estimates_from_the_records_and_dvc_lock(tmp_path: Path) -> None:
    """`a` has asked for 100 labels when it ran and asks for 400 now; `c` is new."""
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    items = {name: {"model": f"models/base/{'gpt2' if name == 'd' else 'tiny'}"} for name in "abcd"}
    (tmp_path / "instances.yaml").write_text(json.dumps({"reward": items}))
    (tmp_path / ".dvc").mkdir()
    lock = "schema: '2.0'\nstages:\n"
    for name, number in {"a": 100, "b": 200}.items():
        md5 = write(tmp_path / "x", number)
        (tmp_path / ".dvc/cache/files/md5" / md5[:2]).mkdir(parents=True)
        (tmp_path / "x").rename(tmp_path / ".dvc/cache/files/md5" / md5[:2] / md5[2:])
        lock += f"  reward@{name}:\n    cmd: run\n    deps:\n    - path: models/base/tiny\n"
        lock += f"    - path: params/reward/{name}.yaml\n      md5: {md5}\n"
    (tmp_path / "dvc.lock").write_text(lock)
    for name, number in {"a": 400, "b": 200, "c": 300, "d": 300}.items():
        write(tmp_path / f"params/reward/{name}.yaml", number)
    runs = tmp_path / "reports" / "runs"
    runs.mkdir(parents=True)
    record = {"device": "cpu", "cpu_threads": 2}
    for name, started, wall in (("a", "2026-01-01T00:00:00+00:00", 7.0), ("b", "2026-01-01T00:00:10+00:00", 12.0)):
        (runs / f"reward-{name}.json").write_text(json.dumps(record | {"started": started, "wall_s": wall}))
    seconds = executions.estimates(DvcState(tmp_path), [f"reward@{name}" for name in "acd"])
    # 2 s + 0.05 s a label, and 3 s between a's end and b's start
    assert seconds == {"reward@a": pytest.approx(25), "reward@c": pytest.approx(20), "reward@d": None}
    # a newer record of another machine: nothing of the first counts any more
    other = {"device": "cpu", "cpu_threads": 8, "started": "2026-02-01T00:00:00+00:00", "wall_s": 4.0}
    (runs / "reward-b.json").write_text(json.dumps(other))
    assert executions.estimates(DvcState(tmp_path), ["reward@a"]) == {"reward@a": pytest.approx(8)}
