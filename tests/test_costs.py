"""Operations, time and disk of a plan, worked by hand."""

from pathlib import Path

import pytest

from preflab.grid import flops
from preflab.grid.flops import Shape
from preflab.grid.kinds import KINDS
from preflab.plan import costs
from preflab.plan.costs import Cost
from preflab.plan.estimate import TimedWork, Work
from preflab.plan.executions import PastRun

PROJECT = Path(__file__).resolve().parents[1]
SMALL = Shape(layers=1, width=2, vocabulary=10, inner=8, shared=2)  # 48 parameters in matrices: 4·2² + 2·2·8
TASK = {"query_length": 4, "response_length": 2}
TRUNK = 2 * 48 * 6 + 4 * 2 * (4**2 / 2 + 4 * 2 + 2**2 / 2)  # 576 + 8·18 = 720
HEAD = 2 * 10 * 2 * 2  # 80
REWARD = {"epochs": 1, "normalize_before": True, "normalize_after": True, "normalize_samples": 3}


def operations(kind: str, settings: dict, shape: Shape, queries: int | None = None) -> float | None:
    count = KINDS[kind].flops
    return 0 if count is None else count(settings, shape, queries)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("gpt2", 124_439_808), ("gpt2-medium", 354_823_168), ("gpt2-large", 774_030_080), ("smollm2", 134_515_008)],
)
def test_known_models_have_the_parameters_that_their_authors_count(name: str, parameters: int) -> None:
    assert flops.SHAPES[name].parameters == parameters


def test_the_shape_of_a_folder_is_that_of_its_config(tmp_path: Path) -> None:
    tiny = flops.shape(tmp_path, "tiny", {"model": {"name": "tiny", "source": "asset", "path": "tiny"}})
    assert tiny == flops.gpt2(4, 192, 4096, 128)
    llama = {"hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3}
    assert flops.of_config(llama | {"vocab_size": 49152, "intermediate_size": 1536}) == flops.SHAPES["smollm2"]
    assert flops.shape(tmp_path, "x", {"model": {"name": "x", "source": "hub", "path": "some/x"}}) is None
    recipe = {"layers": 4, "width": 192, "vocab_size": 4096, "context": 128}
    assert flops.shape(tmp_path, "tiny", {"pretrain": recipe}) == tiny


def test_the_parts_of_a_forward_pass() -> None:
    assert SMALL.matrices == 48
    assert SMALL.trunk(4, 2) == TRUNK == 720
    assert SMALL.head(2) == HEAD == 80
    # four responses that share the query: 2·48·12 + 8·(8 + 4·10)
    assert SMALL.trunk(4, 2, 4) == 1152 + 384


def test_an_episode_of_gpt2_is_what_the_benchmarks_count() -> None:
    """benchmarks/flops.py: 12 layers × 768, 88 tokens, 24 of them the response's; 15 passes, 14 vocabularies."""
    settings = {"task": {"query_length": 64, "response_length": 24}, "online": None}
    episode = operations("ppo", settings | {"policy": {"episodes": 1, "epochs": 4}}, flops.SHAPES["gpt2"])
    trunk = 24 * 12 * 768**2 * 88 + 2 * 12 * 768 * 88**2
    assert episode == pytest.approx(15 * trunk + 14 * 2 * 50257 * 768 * 24)


def test_operations_of_each_kind() -> None:
    ppo = {"task": TASK, "policy": {"episodes": 10, "epochs": 4}, "online": None}
    # rollout and reference with the vocabulary, the reward model without; 4 epochs, each three forwards
    assert operations("ppo", ppo, SMALL) == 10 * (3 * 720 + 2 * 80 + 12 * 800)
    reward = {"task": TASK, "direct": False, "initial": {"num": 5}, "reward": REWARD}
    assert operations("reward", reward, SMALL) == 3 * 5 * 1536 + 2 * 3 * (2 * 720 + 80)
    assert operations("reward", reward | {"direct": True}, SMALL) == 3 * 800
    # eight responses are drawn to keep four: 2·48·20 + 8·(8 + 8·10) + 8·80
    asked = {"task": TASK, "comparisons": {"num": 6, "heldout": 1}}
    assert operations("comparisons", asked, SMALL) == 7 * (1920 + 704 + 640)
    sft = {"lrs": 2, "epochs": 1, "num_train": 10, "num_validation": 4}
    assert operations("sft", {"task": TASK, "sft": sft}, SMALL) == (3 * 2 * 10 + 3 * 4) * 800
    assert operations("sft", {"task": TASK, "sft": sft}, SMALL, 5) == (3 * 2 * 5 + 3 * 4) * 800
    assert operations("sft", {"task": TASK, "sft": sft | {"num_train": None}}, SMALL) is None
    evaluation = {"task": TASK, "evaluation": {"contexts": 7}, "n": 1}
    assert operations("evaluate", evaluation, SMALL) == 7 * (720 + 2 * 720 + 2 * 80)
    assert operations("text", evaluation | {"method": "lead_3"}, SMALL) == 0
    assert operations("fetch", {"corpus": {}}, SMALL) == 0
    recipe = {"tokens": 40, "length": 4}  # ten passes over 4 tokens: 2·48·4 + 8·8, and the vocabulary on all
    assert operations("pretrain", {"pretrain": recipe}, SMALL) == 3 * 10 * (384 + 64 + 160)


def test_online_labels_cost_their_sampling_and_every_retraining() -> None:
    online = {"num_initial": 2, "num_train": 6, "retrainings": 1, "validation_share": 0.5, "reward": REWARD}
    ppo = {"task": TASK, "policy": {"episodes": 10, "epochs": 4}}
    offline = operations("ppo", ppo | {"online": None}, SMALL)
    # 4 labels and 3 of validation are asked for; one retraining on 4 labels, halfway
    extra = 7 * 3264 + 3 * 4 * 1536 + 2 * 3 * (2 * 720 + 80)
    assert operations("ppo", ppo | {"online": online}, SMALL) == offline + extra


def run(kind: str, seconds: float) -> PastRun:
    return PastRun({}, TimedWork(Work((kind, "tiny", ""), ()), seconds), {}, 0)


def test_the_rate_is_of_all_runs_together() -> None:
    assert costs.rate([(run("ppo", 10), 300.0), (run("ppo", 30), 100.0), (run("fetch", 99), 0.0)]) == 10
    assert costs.rate([(run("fetch", 99), 0.0)]) is None


def test_costs_add_up_and_the_largest_checkpoint_counts() -> None:
    total = costs.added([Cost(2, 3e15, 60, 1e9, 5e9, 0, 1, 0), Cost(1, 1e15, 30, 2e9, 7e9, 0, 0, 1)])
    assert total == Cost(3, 4e15, 90, 3e9, 7e9, 0, 1, 1)
    assert costs.added([]) == Cost()


def test_what_a_plan_prints() -> None:
    kinds = {"fetch": Cost(1, untimed=1, unsized=1), "ppo": Cost(4, 2e18, 36_000, 8e9, 6e9)}
    lines = costs.text(costs.PlanCosts(kinds, 1e12, "device cpu")).splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["stages", "PFLOP", "time", "disk"],
        ["fetch", "1", "–", "?", "?"],
        ["ppo", "4", "2,000", "10.0", "h", "8.0", "GB"],
        ["all", "5", "2,000", ">", "10.0", "h", ">", "8.0", "GB"],
    ]
    assert "device cpu; 1 TFLOP/s overall" in lines[4]
    assert "6.0 GB more while the largest stage runs" in lines[5]
    assert "divided by 200 TFLOP/s, as you asked" in costs.text(costs.PlanCosts(kinds, 1e12, "cpu"), 200.0)
    assert "time: unknown" in costs.text(costs.PlanCosts(kinds, None, ""))


@pytest.mark.parametrize(("size", "text"), [(0, "0 kB"), (1.5e3, "2 kB"), (2.34e6, "2.3 MB"), (5e12, "5.0 TB")])
def test_sizes(size: float, text: str) -> None:
    assert costs.size_text(size) == text
