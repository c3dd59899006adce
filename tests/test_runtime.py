"""The start of a stage: precision by measurement, threads and products checked, threads that wait."""

import json
import os
import subprocess
import sys

import pytest
import torch

from preflab.errors import PreflabError
from preflab.machine import checks, precision, runtime
from preflab.records import provenance

BF16 = precision.Measurement("bf16", 2.0, {"512 × 192 × 768": {"fp32": 80.0, "bf16": 160.0}})
FP32 = precision.Measurement("fp32", 0.5, {"512 × 192 × 768": {"fp32": 80.0, "bf16": 40.0}})


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(precision, "_answers", {})
    monkeypatch.setenv("PREFLAB_DEVICE", "cpu")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("highest")


def next_process(monkeypatch):
    monkeypatch.setattr(precision, "_answers", {})


def unwritable(folder):
    """For every user, root too."""
    (folder / ".preflab" / "precision.lock").mkdir(parents=True)


def python(code, *launcher, **env):
    """Run a script in the current folder, without a limit or a setting of OpenMP of our own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))} | env
    return subprocess.Popen(
        [sys.executable, *launcher, *(["-c", code] if not launcher else [])],
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


# --- the measurement --------------------------------------------------------------------------------------------------


def test_the_measurement_times_products_on_one_thread_and_decides_by_the_speedup():
    torch.set_num_threads(2)
    answer = precision.measure()
    assert torch.get_num_threads() == 2
    assert torch.get_float32_matmul_precision() == "highest"
    assert set(answer.gflops) <= {" × ".join(map(str, product)) for product in precision.PRODUCTS}
    assert "512 × 192 × 768" in answer.gflops
    ratios = torch.tensor([rates["bf16"] / rates["fp32"] for rates in answer.gflops.values()])
    assert answer.speedup == pytest.approx(ratios.log().mean().exp().item(), rel=0.05)  # the rates are rounded
    assert answer.precision == ("bf16" if answer.speedup >= 1.1 else "fp32")


@pytest.mark.parametrize(
    ("times", "speedup", "choice"),
    [
        ({"fp32": 2.0, "bf16": 1.0}, 2.0, "bf16"),
        ({"fp32": 1.05, "bf16": 1.0}, 1.05, "fp32"),
        ({"fp32": 1.0, "bf16": 30.0}, 0.033, "fp32"),
    ],
)
def test_bf16_must_be_clearly_faster(times, speedup, choice, monkeypatch):
    monkeypatch.setattr(precision, "seconds", lambda _, name: times[name])
    answer = precision.measure()
    assert (answer.speedup, answer.precision) == (speedup, choice)
    assert len(answer.gflops) == len(precision.PRODUCTS)
    gflop = 3 * 2 * 512 * 768 * 3072 / 1e9  # forward, gradients of input and weight
    assert answer.gflops["512 × 768 × 3072"]["fp32"] == round(gflop / times["fp32"], 1)


def test_the_fastest_of_three_rounds_counts(monkeypatch):
    times = iter([9.0, 9.0, 9.0, 9.0, 8.0, 4.0, 9.0, 9.0])  # the first two set up torch
    monkeypatch.setattr(precision, "PRODUCTS", precision.PRODUCTS[:1])
    monkeypatch.setattr(precision, "seconds", lambda *_: next(times))
    assert precision.measure().speedup == 2.0


def test_a_slow_processor_is_judged_by_the_products_that_it_finished(monkeypatch):
    now = 0.0

    def slow(_product, name):
        nonlocal now
        now += 5.0
        return {"fp32": 1.0, "bf16": 4.0}[name]

    monkeypatch.setattr(precision, "seconds", slow)
    monkeypatch.setattr("preflab.machine.precision.time.thread_time", lambda: now)
    answer = precision.measure()
    assert (answer.precision, answer.speedup, list(answer.gflops)) == ("fp32", 0.25, ["512 × 192 × 768"])


# --- the answer is kept -----------------------------------------------------------------------------------------------


def test_a_machine_is_measured_once(tmp_path, monkeypatch):
    answers = iter([BF16, FP32])
    monkeypatch.setattr(precision, "measure", lambda: next(answers))
    runtime.start(2, "auto")
    assert runtime.precision() == "bf16"
    assert provenance.machine()["precision_measured"] == runtime.measured() == BF16._asdict()
    next_process(monkeypatch)
    runtime.start(2, "auto")
    assert runtime.measured() == BF16._asdict()
    runtime.start(1, "auto")  # another number of threads: another answer beside the first
    assert (runtime.precision(), runtime.measured()) == ("fp32", FP32._asdict())
    file = json.loads((tmp_path / ".preflab" / "precision.json").read_text())
    assert list(file.values()) == [FP32._asdict(), BF16._asdict()]
    machines = [f"{precision.processor()}; torch {torch.__version__}; {threads} threads" for threads in (1, 2)]
    assert list(file) == machines


@pytest.mark.parametrize("choice", ["fp32", "bf16"])
def test_a_forced_precision_is_not_measured_and_recorded(tmp_path, choice):
    runtime.start(1, choice)
    assert (runtime.precision(), provenance.machine()["precision"]) == (choice, choice)
    assert provenance.machine()["precision_measured"] is None
    assert not (tmp_path / ".preflab").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"MACHINE": {"precision": "bf16"}}', '{"MACHINE": 7}'])
def test_a_damaged_file_is_an_error(tmp_path, content, monkeypatch):
    monkeypatch.setattr(precision, "_machine", lambda: "MACHINE")
    (tmp_path / ".preflab").mkdir()
    (tmp_path / ".preflab" / "precision.json").write_text(content)
    with pytest.raises(PreflabError, match=r"^\.preflab/precision\.json: damaged; delete it"):
        runtime.start(1, "auto")


def test_where_nothing_can_be_written_the_answer_holds_for_the_process(tmp_path, caplog, monkeypatch):
    answers = iter([BF16, FP32])
    monkeypatch.setattr(precision, "measure", lambda: next(answers))
    unwritable(tmp_path)
    for _ in range(2):
        runtime.start(1, "auto")
        assert runtime.precision() == "bf16"
    assert caplog.text.count(".preflab/precision.json: cannot be written (") == 1
    assert "runtime.precision=auto is bf16 here, and the next process measures again" in caplog.text


def test_processes_that_start_together_agree(tmp_path):
    code = "from preflab.machine import runtime; runtime.start(1, 'auto'); print(runtime.measured())"
    processes = [python(code) for _ in range(2)]
    said = [process.communicate()[0] for process in processes]
    (kept,) = json.loads((tmp_path / ".preflab" / "precision.json").read_text()).values()
    assert [eval(line) for line in said] == [kept, kept]  # rates of two measurements would differ


RANKS = """
import sys
from pathlib import Path
from preflab.machine import parallel, precision, runtime

with parallel.joined():
    choice = ("bf16", "fp32")[parallel.rank()]
    precision.measure = lambda: precision.Measurement(choice, 1.0, {})
    runtime.start(2, "auto")
    Path(f"rank{parallel.rank()}").write_text(runtime.precision())
"""


def test_ranks_of_torchrun_agree_even_where_nothing_can_be_written(tmp_path):
    unwritable(tmp_path)
    (tmp_path / "ranks.py").write_text(RANKS)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "ranks.py"]
    process = python("", *launcher, OMP_NUM_THREADS="1")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == ["bf16", "bf16"]


# --- threads and products ---------------------------------------------------------------------------------------------

START = """
import sys
from preflab import cli
from preflab.machine import runtime

cli.main(lambda: print(runtime.start(int(sys.argv[1]), "bf16")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="torch has libgomp on Linux only")
def test_fewer_threads_than_asked_are_refused(tmp_path):
    (tmp_path / "start.py").write_text(START)
    process = python("", "start.py", "2", OMP_THREAD_LIMIT="1")
    output, errors = process.communicate()
    assert (process.returncode, output) == (2, "")
    assert errors == (
        "error: runtime.threads: this process needs 2 threads, but OpenMP starts 1 (OMP_THREAD_LIMIT=1); "
        "unset OMP_THREAD_LIMIT or set runtime.threads=1\n"
    )
    process = python("", "start.py", "1", OMP_THREAD_LIMIT="1")
    assert process.communicate()[0] == "cpu\n"


@pytest.mark.parametrize("choice", ["fp32", "bf16"])
def test_a_product_left_half_written_is_refused(choice, monkeypatch):
    linear = torch.nn.functional.linear

    def halved(x, weight):
        result = linear(x, weight)
        result[len(x) // 2 :] = torch.full_like(result, float("nan"))[: len(x) - len(x) // 2]
        return result

    checks.check_products(choice, torch.device("cpu"))
    monkeypatch.setattr(torch.nn.functional, "linear", halved)
    with pytest.raises(PreflabError, match=rf"products are wrong: \[64, 192\] × \[192, 576\] in {choice} .* by nan of"):
        checks.check_products(choice, torch.device("cpu"))


def test_bf16_is_not_mistaken_for_fp32(monkeypatch):
    monkeypatch.setitem(checks.TOLERANCE, "bf16", checks.TOLERANCE["fp32"])
    with pytest.raises(PreflabError, match=r"set runtime\.precision=fp32"):
        checks.check_products("bf16", torch.device("cpu"))


def test_a_start_leaves_random_numbers_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    runtime.start(1, "auto")
    assert torch.equal(torch.rand(3), expected)


# --- threads that wait ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "spins"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_a_command_limits_spinning_unless_the_user_has_said_how_to_wait(variables, spins):
    code = "import os; from preflab import cli; cli.main(lambda: print(os.environ.get('GOMP_SPINCOUNT')))"
    assert python(code, **variables).communicate()[0] == f"{spins}\n"
