"""The benchmark: FLOPs by hand, the workers' protocol, turns, ratios, the page.  No timing."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest

from benchmarks import choices, flops, labelling, machine, measure, peak, rows, run, scaling, table, targets, workloads
from benchmarks.measure import Series
from benchmarks.workloads import Contender, Size
from helpers import PROJECT
from helpers.heavy_imports import imported
from preflab import cli

TINY = Size("tiny", layers=1, width=16, heads=2, batch=8, query=6, response=4, vocab=23)
SMALL, MEDIUM = workloads.sizes("W1", "cpu")

FAKE = """
import os
from pathlib import Path

print("a library greets")  # must not reach the parent

def counted(size, device):
    calls = []
    def run():
        calls.append(size.batch)
        os.system("echo a subprocess greets")
        with Path(os.environ["FAKE_LOG"]).open("a") as log:
            print(os.environ.get("FAKE_NAME", ""), len(calls), device, file=log)
        return {"first": float(len(calls)), "second": 0.5}
    return run

def slower(size, device):
    run = counted(size, device)
    return lambda: {"total": 3 * run()["first"]}

def broken(size, device):
    raise ValueError("no such size\\nand more")

def breaks(size, device):
    calls = []
    def run():
        calls.append(1)
        return {"total": 1 / (3 - len(calls))}
    return run

def killed():
    return lambda: os.kill(os.getpid(), 9)

def exits():
    os._exit(7)
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the workloads of the module `fake` write; workers can import it, and know no GPU."""
    (tmp_path / "fake.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{PROJECT / 'src'}")
    monkeypatch.setenv("PREFLAB_DEVICE", "cpu")
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


# --- FLOPs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("work", "size", "gflop"),
    [
        ("W1", SMALL, 17.2), ("W1", MEDIUM, 252), ("W2", SMALL, 6.8), ("W2", MEDIUM, 181), ("W3", SMALL, 1.2),
        ("W3", MEDIUM, 16.9),
    ],
)  # fmt: skip
def test_flops_are_those_of_the_first_measurements(work: str, size: Size, gflop: float) -> None:
    assert sum(flops.needed(work, size).values()) / 1e9 == pytest.approx(gflop, rel=0.02)


def test_flops_by_hand() -> None:
    size = Size("", layers=1, width=2, heads=1, batch=1, query=3, response=1, vocab=5)
    trunk = 4 * 2 * 12 * 4 + 2 * 2 * 16  # tokens × 2 × parameters, and causal attention over 4 × 4
    head = 2 * 5 * 2
    assert flops.needed("W1", size) == {
        "rollout": trunk + head, "scoring": 2 * trunk + head, "optimisation": 4 * 3 * (trunk + head)
    }  # fmt: skip
    assert flops.needed("W2", size) == {"total": 4 * 3 * trunk}


def test_large_is_774_million_and_for_gpus() -> None:
    large = workloads.sizes("W1", "cuda")[2]
    parameters = 12 * large.layers * large.width**2 + (large.vocab + 1024) * large.width
    assert parameters == pytest.approx(774e6, rel=0.01)
    assert [size.name for size in workloads.sizes("W1", "cpu")] == ["S", "M"]


# --- workers ----------------------------------------------------------------------------------------------------------


def test_a_worker_answers_and_nothing_else_does(log: Path) -> None:
    worker = measure.Worker("fake:counted", TINY)
    assert worker.about["device"] == "cpu"
    assert worker.about["threads"] > 0
    first, second = worker.run(), worker.run()
    worker.close()
    assert first["phases"] == {"first": 1.0, "second": 0.5}
    assert (first["total"], second["total"]) == (1.5, 2.5)
    assert 1e7 < second["rss"] < 1e11
    assert second["cuda"] is None
    assert worker.process.returncode == 0
    assert len(log.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("target", "size", "message"),
    [
        ("fake:broken", TINY, "ValueError: no such size"),
        ("fake:missing", TINY, "AttributeError: module 'fake' has no attribute 'missing'"),
        ("nowhere:missing", TINY, "ModuleNotFoundError: No module named 'nowhere'"),
        ("fake:exits", None, "exit status 7: a library greets"),
    ],
)  # fmt: skip
def test_what_fails_at_the_start_is_one_line(log: Path, target: str, size: Size | None, message: str) -> None:
    with pytest.raises(measure.WorkerError) as error:
        measure.Worker(target, size)
    assert str(error.value) == message


def test_a_killed_worker_is_named_so(log: Path) -> None:
    worker = measure.Worker("fake:killed")
    with pytest.raises(measure.WorkerError, match="killed by signal 9"):
        worker.run()


def test_contenders_run_in_turn_after_a_warm_up_each(log: Path) -> None:
    ours, theirs = measure.in_turn([Contender("a", "fake:counted"), Contender("b", "fake:slower")], TINY, 3)
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["1", "1", "2", "2", "3", "3", "4", "4"]
    assert [r["total"] for r in ours.runs] == [2.5, 3.5, 4.5]
    assert [r["total"] for r in theirs.runs] == [6.0, 9.0, 12.0]


def test_a_contender_that_fails_leaves_the_other_alone(log: Path) -> None:
    contenders = [Contender("a", "fake:breaks"), Contender("b", "fake:counted"), Contender("c", "fake:broken")]
    a, b, c = measure.in_turn(contenders, TINY, 3)
    assert (a.runs, a.error) == ([], "ZeroDivisionError: division by zero")
    assert (len(b.runs), b.error) == (3, None)
    assert (c.runs, c.error) == ([], "ValueError: no such size")


@pytest.mark.slow
def test_two_processes_of_torchrun_answer_once(log: Path) -> None:
    worker = measure.Worker("fake:counted", TINY, processes=2, threads=1)
    assert worker.about["threads"] == 1
    worker.run()
    worker.run()
    worker.close()
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["1", "1", "2", "2"]


# --- workloads of ours ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("work", ["W1", "W2", "W3"])
def test_our_phases_are_those_whose_flops_are_known(work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFLAB_DEVICE", "cpu")
    worker = measure.Worker(workloads.OURS[work].target, TINY)
    answer = worker.run()
    worker.close()
    assert list(answer["phases"]) == list(flops.needed(work, TINY))


@pytest.mark.parametrize("work", ["W1", "W2", "W3"])
def test_the_peer_does_the_same_work(work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = workloads.peer(work)
    if peer is None:
        pytest.skip("TRL is not installed")
    monkeypatch.setenv("PREFLAB_DEVICE", "cpu")
    worker = measure.Worker(peer.target, TINY)
    answers = [worker.run(), worker.run()]
    worker.close()
    for answer in answers:
        assert list(answer["phases"]) == list(flops.needed(work, TINY))
        assert min(answer["phases"].values()) > 0


@pytest.mark.parametrize("work", labelling.WORKS, ids=lambda work: work.case)
def test_labelling_runs(work: labelling.Work) -> None:
    setup = getattr(labelling, work.target.split(":")[1])
    assert setup()()["total"] > 0


def test_generated_reviews_have_a_sentiment() -> None:
    good, bad = labelling.texts(1, 200, 0, mood=1)[0], labelling.texts(1, 200, 0, mood=0)[0]
    assert "great" in good
    assert "great" not in bad
    assert len(good.split()) == 200


def test_a_worker_waits_as_a_stage_does_unless_told_otherwise(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    for variables, spins in (
        (None, cli.SPINS["GOMP_SPINCOUNT"]),
        (choices.UNSET, None),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
    ):
        worker = measure.Worker("fake:killed", variables=variables)
        environment = Path(f"/proc/{worker.process.pid}/environ").read_text().split("\0")
        worker.close()
        assert dict(line.split("=", 1) for line in environment if "=" in line).get("GOMP_SPINCOUNT") == spins


def test_every_precision_is_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFLAB_DEVICE", "cpu")
    about = {}
    for who, target in choices.PRECISIONS[:2]:
        worker = measure.Worker(target, TINY)
        about[who] = worker.about["matmul"]
        worker.close()
    assert about == {"fp32": "highest", "bf16": "medium"}


# --- rows, targets, table ---------------------------------------------------------------------------------------------

PEAKS = [
    {"precision": p, "shape": "1024³", "dimensions": [1024] * 3, "best": best, "median": best - 1}
    for p, best in [("fp32", 100.0), ("fp32 medium", 300.0), ("bf16", 400.0)]
]


def series(who: str, seconds: list[float], rss: int, matmul: str = "highest") -> Series:
    """Runs of W1 whose optimisation takes four fifths."""
    phases = [{"rollout": 0.1 * s, "scoring": 0.1 * s, "optimisation": 0.8 * s} for s in seconds]
    return Series(
        who,
        {"threads": 2, "device": "cpu", "matmul": matmul},
        [
            {"phases": p, "total": s, "rss": rss, "cuda": None, "other_cpu": 0.25}
            for s, p in zip(seconds, phases, strict=True)
        ],
    )


def test_a_row_holds_rates_fractions_and_ratios() -> None:
    ours, theirs = series("preflab", [10.0, 8.0, 20.0], 10**9), series("TRL 1.12.0", [50.0, 60.0, 70.0], 8 * 10**9)
    row, other = rows.of_work("W1", SMALL, ours, [theirs], PEAKS)
    assert (row["median"], row["low"], row["high"]) == (10.0, 8.0, 20.0)
    assert row["per_second"] == 6.4  # 64 episodes
    gflop = 64 * sum(flops.needed("W1", SMALL).values()) / 1e9
    assert row["of_peak"] == pytest.approx({"fp32": gflop / 1000, "bf16": gflop / 4000})
    assert row["phases_of_peak"]["optimisation"]["fp32"] == pytest.approx(
        64 * flops.needed("W1", SMALL)["optimisation"] / 1e9 / 8.0 / 100
    )
    assert row["against"] == {"who": "TRL 1.12.0", "median": 5.0, "best": 6.25, "memory": 0.125}  # of 5, 7.5, 3.5
    assert "against" not in other


def test_imitated_bf16_is_no_peak() -> None:
    slow = [p | {"best": 20.0} if p["precision"] == "bf16" else p for p in PEAKS]
    assert peak.best(slow, "bf16") is None
    assert peak.best(PEAKS, "bf16") == 400.0
    (row,) = rows.of_work("W1", SMALL, series("preflab", [10.0], 1), [], slow)
    assert list(row["of_peak"]) == ["fp32"]
    assert targets.of_peak(row) == row["of_peak"]["fp32"]


def test_targets_compare_with_what_was_reached() -> None:
    found = rows.of_work(
        "W1", SMALL, series("preflab", [10.0], 10**9), [series("TRL 1.12.0", [95.0], 3 * 10**9)], PEAKS
    )
    rate = {"work": "W5", "case": "plan at 400", "unit": "s", "median": 3.0, "target": "≤ 2 s", "met": False}
    judged = {
        row["work"]: row
        for row in targets.judge({"rows": found, "rates": [rate], "precision": [], "waiting": []}, "cpu")
    }
    speed = judged["W1 S: speed against TRL's PPO"]
    assert (speed["target"], speed["reached"], speed["met"]) == ("≥ 9 ×", "9.5 × (best against best 9.5 ×)", True)
    memory = judged["W1 S: peak memory against TRL's"]
    assert (memory["target"], memory["reached"], memory["met"]) == ("≤ 25 %", "33 %", False)
    assert judged["W3 M: speed against transformers generate"]["met"] is None
    assert judged["W5 plan at 400"]["met"] is False
    assert not any("bf16" in work for work in judged)


def test_every_target_can_be_read_from_a_row() -> None:
    for target in targets.TARGETS:
        size = {s.name: s for s in workloads.sizes(target.work, target.device)}[target.size]
        fake = [Series(s.who, s.about, [r | {"phases": flops.needed(target.work, size)} for r in s.runs]) for s in
                (series("preflab", [1.0], 1), series("peer", [2.0], 2))]  # fmt: skip
        row = rows.of_work(target.work, size, fake[0], fake[1:], PEAKS)[0]
        assert target.value(row) is not None


def test_rates_are_per_second_or_seconds() -> None:
    ran = series("preflab", [2.0, 4.0, 1.0], 1)
    labels = rows.of_rate("W4", "labels", "labels/s", 100, ran)
    assert (labels["median"], labels["low"], labels["high"]) == (50.0, 25.0, 100.0)
    seconds = rows.of_rate("W4", "bootstrap", "s", 1, ran)
    assert (seconds["median"], seconds["low"], seconds["high"]) == (2.0, 1.0, 4.0)


def precisions(*seconds: list[float]) -> list[Series]:
    """Runs in fp32, in bf16, and in auto, which is bf16."""
    matmul = ("highest", "medium", "medium")
    return [series(who.who, s, 1, m) for who, s, m in zip(choices.PRECISIONS, seconds, matmul, strict=True)]


def test_auto_is_compared_with_the_better_precision_round_by_round() -> None:
    row = choices.row_of_precision(SMALL, precisions([1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.3, 2.4, 3.3]))
    assert (row["chose"], row["seconds"]) == ("bf16", {"fp32": 2.0, "bf16": 4.0, "auto": 2.4})
    assert row["median"] == pytest.approx(1.2)  # of 1.3, 1.2, 1.1
    assert row["met"] is False


def test_only_the_setting_of_ours_has_a_target() -> None:
    rows = [choices.row_of_waiting(name, [2.0, 1.0], [3.0, 2.1]) for name in choices.WAITING]
    assert [row["setting"] for row in rows if row["chosen"]] == [f"GOMP_SPINCOUNT={cli.SPINS['GOMP_SPINCOUNT']}"]
    assert [row["met"] for row in rows if row["target"]] == [True]
    assert {row["median"] for row in rows} == {2.1}


RESULTS = {
    "machine": {
        "device": "cpu", "name": "AMD EPYC", "processor": "AMD EPYC", "gpus": 0, "cores": 2, "threads": 2,
        "memory_gb": 23.0, "system": "Linux 6", "versions": {"torch": "2.13.0"},
    },
    "peak": PEAKS, "command": "python -m benchmarks.run", "date": "2026-01-02 03:04 UTC",
    "commit": {"git_commit": "abcdef0123", "dirty": False},
    "rows": [
        row | {"date": "2026-01-01 03:04 UTC" if row["who"] == "preflab" else "2026-01-02 03:04 UTC"}
        for row in rows.of_work(
            "W1", SMALL, series("preflab", [10.0], 10**9, "medium"), [Series("TRL", error="no | luck")], PEAKS
        )
    ],
    "rates": [
        rows.of_rate("W4", "labels", "labels/s", 100, series("preflab", [2.0], 1)),
        rows.of_rate("W4", "ROUGE", "pairs/s", 100, Series("preflab", error="ImportError: x")),
    ],
    "scaling": [
        {"axis": "batch", "exponent": 1.0, "points": [
            {"x": 8, "size": dataclasses.asdict(SMALL), "processes": 1, "gflop": 10.0, "median": 2.0, "low": 1.0,
             "high": 3.0, "runs": 5},
            {"x": 16, "size": dataclasses.asdict(SMALL), "processes": 1, "gflop": 20.0, "error": "killed"},
        ]},
    ],
    "precision": [
        choices.row_of_precision(workloads.TINY, precisions([1.9, 2.0, 1.8], [1.0, 1.0, 1.2], [1.1, 1.2, 1.1])),
        choices.row_of_precision(
            MEDIUM, [Series("fp32", error="ValueError: no such size"), *precisions([], [1.0], [1.0])[1:]]
        ),
    ],
    "waiting": [choices.row_of_waiting(name, [1.5, 1.0], [2.5, 3.5]) for name in choices.WAITING],
}  # fmt: skip


def test_the_page_is_made_of_whole_tables() -> None:
    results = json.loads(json.dumps(RESULTS | {"targets": targets.judge(RESULTS, "cpu")}))
    page = table.render(results)
    assert "commit abcdef012." in page
    assert "bf16 400 GFLOP/s" in page
    assert "| preflab, bf16 products |" in page
    assert "no \\| luck" in page
    assert "time ∝ batch^1.00" in page
    assert "Of earlier runs: W1 S (2026-01-01 03:04 UTC)." in page
    blocks = [block.splitlines() for block in page.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 7
    assert "| tiny | 1.9 | 1 | 1.1 | bf16 | 1.10 | 3 |" in page
    assert "| M | ValueError: no such size" not in page  # its error names who failed
    assert "| M | fp32: ValueError: no such size |" in page
    assert "| GOMP_SPINCOUNT=1000 (ours) | 1 | 2.5 | 2.50 | 2 |" in page
    assert "| precision tiny: auto against the better of both | ≤ 1.1 × | 1.1 × | yes |" in page
    assert "| waiting beside one busy process, against quiet | ≤ 2.2 × | 2.5 × | no |" in page
    for block in blocks:
        assert len({line.replace("\\|", "").count("|") for line in block}) == 1


def test_names_of_results_are_file_names() -> None:
    assert machine.slug({"device": "cuda", "name": "NVIDIA H100 80GB HBM3"}) == "nvidia-h100-80gb-hbm3"
    assert machine.slug({"device": "cpu", "name": "Intel(R) Xeon(R)", "cores": 8}) == "cpu-intel-xeon-8-cores"


# --- scaling ----------------------------------------------------------------------------------------------------------


def test_the_exponent_is_that_of_the_law() -> None:
    x = [1.0, 2.0, 5.0, 20.0]
    assert scaling.exponent(x, [3 * value**1.5 for value in x]) == pytest.approx(1.5)
    assert scaling.fitted([{"x": 1.0, "median": 2.0}, {"x": 2.0, "error": "killed"}]) is None


@pytest.mark.parametrize(
    ("found", "processes"),
    [
        ({"device": "cpu", "gpus": 0, "cores": 2}, [1, 2]),
        ({"device": "cpu", "gpus": 0, "cores": 1}, []),
        ({"device": "cuda", "gpus": 1, "cores": 16}, []),
    ],
)  # fmt: skip
def test_processes_are_an_axis_where_each_has_its_own(found: dict, processes: list[int]) -> None:
    points = list(scaling.points(found))
    assert {"batch", "response length", "model size"} <= {point.axis for point in points}
    assert [point.processes for point in points if point.axis == "world size"] == processes
    assert all(point.size.batch % point.processes == 0 for point in points)


# --- the command ------------------------------------------------------------------------------------------------------


def test_help_is_light() -> None:
    assert imported(PROJECT, "benchmarks.run", "--help") == []


def test_new_rows_replace_old_ones_in_order() -> None:
    old = [
        {"work": "W1", "size": "S", "who": "a"},
        {"work": "W1", "size": "M", "who": "a"},
        {"work": "W3", "size": "S"},
    ]
    new = [{"work": "W1", "size": "S", "who": "b"}, {"work": "W1", "size": "S", "who": "c"}]
    assert run.replaced(old, new, ("work", "size")) == [new[0], new[1], old[1], old[2]]


def test_the_command_measures_writes_and_keeps(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "machine_and_peak", lambda: {"machine": RESULTS["machine"], "peak": PEAKS})
    monkeypatch.setattr(workloads, "OURS", dict.fromkeys(workloads.OURS, Contender("preflab", "fake:slower")))
    monkeypatch.setattr(workloads, "peer", lambda _: Contender("peer", "fake:broken"))
    for arguments in (["W3", "--size", "S"], ["W3", "--size", "M", "L"]):
        monkeypatch.setattr(sys, "argv", ["run", *arguments, "--runs", "2", "--out", str(tmp_path / "out")])
        run.main()
    said = capsys.readouterr().out
    assert "W3 S preflab: 7.5 s (6–9)" in said
    assert "W3 S peer: ValueError: no such size" in said
    assert "W3 L: not measured on this machine; left out" in said
    results = json.loads((tmp_path / "out" / "cpu-amd-epyc-2-cores.json").read_text())
    assert [(row["size"], row["who"]) for row in results["rows"]] == [
        ("S", "preflab"), ("S", "peer"), ("M", "preflab"), ("M", "peer")
    ]  # fmt: skip
    assert results["rows"][0]["runs"][0]["total"] == 6.0
    assert "W3 M: speed against transformers generate" in (tmp_path / "out" / "cpu-amd-epyc-2-cores.md").read_text()
