"""From conf/ to instances.yaml: names, sharing, staleness, and every cell of every grid."""

import copy
import itertools
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from preflab import files
from preflab.errors import PreflabError
from preflab.grid import compose_cache, instances_yaml, kinds
from preflab.grid import specs as specs_grid
from preflab.grid.compose import composer
from preflab.grid.instances import Grid, Instance, expand
from preflab.grid.kinds import KINDS
from preflab.grid.owns import PUBLISHABLE
from preflab.grid.points import Point, points
from preflab.grid.specs import build
from preflab.settings import load as load_settings
from preflab.settings.cell import PUBLISHED
from preflab.settings.load import parse
from preflab.sweep.points import _slug

PROJECT = Path(__file__).resolve().parents[1]
GRIDS = specs_grid.names(PROJECT)
QUICK = {
    "base": ["scale=1/100", "episode_scale=1/1000"],
    "product": {"labels": ["5k", "60k"], "collection": ["offline", "online"]},
    "include": [{"labels": "direct"}],
    "seeds": [1, 2],
}


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """The grid QUICK, composed once."""
    root = tmp_path_factory.mktemp("quick")
    shutil.copytree(PROJECT / "conf", root / "conf")
    set_grid(root, QUICK)
    return build(root, "quick")


@pytest.fixture
def root(tmp_path: Path, quick: Grid) -> Path:
    """A workspace that has only conf/, with QUICK as its grid `quick`, and instances.yaml."""
    shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    set_grid(tmp_path, QUICK)
    instances_yaml.write(tmp_path, quick)
    return tmp_path


def set_grid(root: Path, spec: dict[str, Any]) -> None:
    (root / "conf" / "grid" / "quick.yaml").write_text(yaml.safe_dump(spec))


def replace(path: Path, old: str, new: str) -> None:
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))


def ids(built: Grid, kind: str) -> list[str]:
    return [instance.id for instance in built.instances.values() if instance.kind == kind]


def by_id(built: Grid) -> dict[tuple[str, str], Instance]:
    return {(i.kind, i.id): i for i in built.instances.values()}


def test_quick_grid_shares_what_is_equal(quick: Grid) -> None:
    built = quick
    assert ids(built, "fetch") == ["movie_reviews"]
    assert ids(built, "comparisons") == ["sentiment-tiny"]
    # two offline label counts and one N⁰ for both online ones, two seeds each; a true score has no seed
    assert sorted(ids(built, "reward")) == sorted(
        [f"sentiment-{name}-{seed}" for name in ("3k", "5k", "60k") for seed in (1, 2)] + ["sentiment-direct"]
    )
    assert len(ids(built, "ppo")) == len(ids(built, "evaluate")) == 10
    assert ids(built, "zero_shot") == ["sentiment-zero-shot"]
    assert len(built.cells) == 11


def test_a_row_says_what_a_table_needs(quick: Grid) -> None:
    built = quick
    online = built.cells["sentiment-60k-online-2"]
    assert (online["labels"], online["collection"], online["seed"]) == ("60k", "online", 2)
    assert online["num_train"] == 600 // 8 * 8
    assert (online["labeller"], online["agreement"], online["synthetic"]) == ("classifier", 0.42, True)
    assert online["reward"] == "sentiment-3k-2"
    assert (online["ppo"], online["zero_shot"]) == ("sentiment-60k-online-2", "sentiment-zero-shot")
    direct = built.cells["sentiment-direct-1"]
    assert (direct["collection"], direct["num_train"], direct["reward"]) == ("offline", 0, "sentiment-direct")
    reference = built.cells["sentiment-zero-shot"]
    assert reference["labels"] is None
    assert reference["evaluate"] == reference["zero_shot"] == "sentiment-zero-shot"
    assert "ppo" not in reference


def test_direct_training_ignores_the_collection(root: Path) -> None:
    set_grid(root, QUICK | {"product": {"labels": ["direct"], "collection": ["offline", "online"]}, "include": []})
    built = build(root, "quick")
    assert sorted(built.cells) == ["sentiment-direct-1", "sentiment-direct-2", "sentiment-zero-shot"]


def test_a_true_score_ignores_how_reward_models_are_trained(root: Path) -> None:
    rows = [{"labels": "direct", "reward": "paper"}, {"labels": "direct", "reward": "small"}]
    set_grid(root, {"include": [*rows, {"labels": "direct", "reward.normalize_samples": 64}], "seeds": [1]})
    assert len(ids(build(root, "quick"), "reward")) == 2


def test_extra_axes_are_in_the_names_of_the_stages_that_they_change(root: Path) -> None:
    spec = {"include": [{"policy.adaptive_kl.target": target} for target in (4, 10)], "seeds": [1]}
    set_grid(root, spec)
    built = build(root, "quick")
    assert ids(built, "ppo") == ["sentiment-5k-offline-target4-1", "sentiment-5k-offline-target10-1"]
    assert ids(built, "reward") == ["sentiment-5k-1"]
    assert built.cells["sentiment-5k-offline-target4-1"]["overrides"] == {"policy.adaptive_kl.target": "4"}
    assert built.cells["sentiment-5k-offline-target4-1"]["kl_target"] == 4.0


def test_a_taken_name_gets_digits_of_the_digest() -> None:
    """`evaluation.seed` shows in no name of `ppo`, `comparisons.seed` in all names; without an axis nothing shows."""
    with composer(PROJECT / "conf") as compose:
        built = expand("x", [Point([f"comparisons.seed={n}"], {}) for n in (1, 2)], compose)
    first, second = ids(built, "reward")
    assert first == "sentiment-5k-1"
    assert re.fullmatch(r"sentiment-5k-1-[0-9a-f]{6}", second)


def test_equal_values_written_differently_are_equal() -> None:
    with composer(PROJECT / "conf") as compose:
        lines = [
            ["policy.adaptive_kl.target=4"],
            ["policy.adaptive_kl.target=4.0"],
            ["policy.adaptive_kl.target=40e-1"],
        ]
        built = expand("x", [Point(line, {}) for line in lines], compose)
    assert len(ids(built, "ppo")) == 1


PATHS = [  # of a setting, and the kinds that own it (everything below them differs too)
    ("task.penalty", -0.5, {"comparisons"}),
    ("task.query_length", 32, {"prepare"}),
    ("labeller.agreement", 0.4, {"comparisons"}),
    ("reward.lr", 0.1, {"reward"}),
    ("policy.lr", 0.1, {"ppo"}),
    ("policy.adaptive_kl.target", 3.0, {"ppo"}),
    ("evaluation.votes", 5, {"zero_shot", "evaluate"}),
    ("corpus.version", "9", {"fetch"}),
    ("model.path", "other", {"model"}),
    ("pretrain.tokens", 5, set()),
    ("seed", 7, {"reward", "ppo"}),
    ("collection.retrainings", 3, set()),  # of an offline cell: no stage reads it
]


def below(kinds: set[str]) -> set[str]:
    """The kinds themselves and all that read them."""
    names = set(kinds)
    for name, kind in KINDS.items():
        if names & {KINDS[slot].name if slot in KINDS else "fetch" for slot in kind.upstream}:
            names.add(name)
    return names


@pytest.fixture(scope="module")
def one_cell() -> dict[str, Any]:
    with composer(PROJECT / "conf") as compose:
        return compose(["scale=1/100"])


def expand_settings(variants: list[dict[str, Any]]) -> Grid:
    """`expand` with settings given instead of composed."""
    return expand("x", [Point([str(n)], {}) for n in range(len(variants))], lambda line: variants[int(line[0])])


@settings(max_examples=40, deadline=None)
@given(changes=st.lists(st.sets(st.sampled_from(range(len(PATHS))), max_size=3), min_size=1, max_size=4))
def test_equal_settings_share_an_instance_and_different_ones_never_do(
    one_cell: dict[str, Any], changes: list[set[int]]
) -> None:
    variants = []
    for change in changes:
        variant = copy.deepcopy(one_cell)
        for number in change:
            path, value, _ = PATHS[number]
            *parents, last = path.split(".")
            node = variant
            for parent in parents:
                node = node[parent]
            node[last] = value
        variants.append(variant)
    built = expand_settings(variants)
    for kind in [kind.name for _, kind in kinds.order(one_cell)]:
        # what the stage must depend on: the changes owned by it or by anything that it reads
        relevant = {frozenset(n for n in change if kind in below(PATHS[n][2])) for change in changes}
        assert len(ids(built, kind)) == len(relevant), kind
        assert len(set(ids(built, kind))) == len(relevant), "names are unique"
    for instance in built.instances.values():
        assert re.fullmatch(r"[A-Za-z0-9._-]+", instance.id)
        assert all(upstream in built.instances.values() for upstream in instance.upstream.values())


@pytest.mark.parametrize("name", GRIDS)
def test_every_cell_of_every_grid_composes_and_parses(name: str) -> None:
    built = build(PROJECT, name)
    assert built.cells
    for instance in built.instances.values():
        parse(instance.kind, yaml.safe_load(files.dump(instance.settings)), instance.id)
    outs = [instance.out for instance in built.instances.values()]
    assert len(outs) == len(set(outs))


def test_answers_are_remembered_until_something_changes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = build(root, "quick")
    asked = []
    real = compose_cache.composer

    @contextmanager
    def counted(conf: Path) -> Iterator[Callable[[list[str]], dict[str, Any]]]:
        with real(conf) as ask:
            yield lambda overrides: asked.append(overrides) or ask(overrides)  # type: ignore[func-returns-value]

    monkeypatch.setattr(compose_cache, "composer", counted)
    assert instances_yaml.as_data(build(root, "quick")) == instances_yaml.as_data(built)
    with compose_cache.remembered(root) as answers:  # another order of the same
        answers.compose(["seed=1", "collection=offline", "labels=5k", *QUICK["base"]])
    assert asked == []
    replace(root / "conf" / "reward" / "paper.yaml", "1.77e-05}", "2e-05}")
    assert instances_yaml.as_data(build(root, "quick")) != instances_yaml.as_data(built)
    assert len(asked) == 10


def test_settings_of_one_group_are_remembered_in_their_order(root: Path) -> None:
    with compose_cache.remembered(root) as answers:
        first = answers.compose(["policy.lr=1", "policy.lr=2"])
        second = answers.compose(["policy.lr=2", "policy.lr=1"])
    assert (first["policy"]["lr"], second["policy"]["lr"]) == (2, 1)


def test_a_row_may_have_seeds_and_overrides_of_its_own() -> None:
    spec = {
        "base": ["scale=1/10"],
        "include": [{"labels": "5k", "seeds": [7]}, {"base": ["scale=1/20"], "labels": "20k"}],
        "seeds": [1, 2],
    }
    assert [(point.overrides, point.axes) for point in points(spec)] == [
        (["scale=1/10", "labels=5k", "seed=7"], {"labels": "5k", "seed": "7"}),
        (["scale=1/10", "scale=1/20", "labels=20k", "seed=1"], {"labels": "20k", "seed": "1"}),
        (["scale=1/10", "scale=1/20", "labels=20k", "seed=2"], {"labels": "20k", "seed": "2"}),
    ]


def test_a_list_in_a_row_stands_for_a_cell_of_each_value() -> None:
    rows = [{"task": ["a", "b"], "labels": "5k"}, {"labels": ["200", 500], "seeds": [7, 8]}]
    expanded = points({"base": ["x=1"], "include": rows, "seeds": [1]})
    assert [point.overrides[1:] for point in expanded] == [
        ["task=a", "labels=5k", "seed=1"],
        ["task=b", "labels=5k", "seed=1"],
        *([f"labels={n}", f"seed={seed}"] for n in (200, 500) for seed in (7, 8)),
    ]


def test_there_are_the_grids_that_the_documents_name() -> None:
    names = "claims figure4 mock paper pretrain quick smoke smollm2 smollm2_cpu tasks"
    assert names.split() == GRIDS


def test_text_is_read_alike_by_dvc_and_pyyaml(quick: Grid) -> None:
    """DVC reads YAML 1.2, PyYAML 1.1: a digest such as 123e45678901 or 0123 must stay a string for both."""
    from ruamel.yaml import YAML

    text = files.dump({"a": ["123e45678901", "012345678901", "1_000", "1e5", "0x10", "1/40", ".", "5k", ""]})
    assert YAML(typ="safe").load(text) == yaml.safe_load(text)
    assert (
        YAML(typ="safe").load(instances_yaml.text(quick))
        == yaml.safe_load(instances_yaml.text(quick))
        == instances_yaml.as_data(quick)
    )


def test_check_accepts_what_grid_wrote_and_writes_params(root: Path) -> None:
    shutil.copytree(PROJECT / "pipelines", root / "pipelines")
    built = instances_yaml.check(root)
    instances_yaml.write_params(root, built)
    written = {path.relative_to(root).as_posix() for path in (root / "params").rglob("*.yaml")}
    lists = {i.code for i in built.instances.values()} | {"params/code/report.yaml"}
    assert "params/code/ppo+classifier.yaml" in lists
    assert written == {i.params for i in built.instances.values()} | {"params/report.yaml"} | lists
    assert yaml.safe_load((root / "params" / "reward" / "sentiment-5k-1.yaml").read_text())["initial"] == {
        "name": "5k",
        "num": 48,
    }
    load_settings.load("ppo", root / "params" / "ppo" / "sentiment-60k-online-1.yaml")


def test_check_says_what_to_type(root: Path) -> None:
    replace(root / "conf" / "reward" / "paper.yaml", "1.77e-05}", "2e-05}")
    with pytest.raises(PreflabError, match=r"in reward, ppo, evaluate; type `python -m pipelines.grid`"):
        instances_yaml.check(root)
    (root / "instances.yaml").unlink()
    with pytest.raises(PreflabError, match=r"instances.yaml: not found.*type `python -m pipelines.grid quick`"):
        instances_yaml.check(root)


def test_a_changed_reward_lr_changes_exactly_reward_ppo_and_evaluate(root: Path, quick: Grid) -> None:
    before = by_id(quick)
    replace(root / "conf" / "reward" / "paper.yaml", "1.77e-05}", "2e-05}")
    after = by_id(build(root, "quick"))
    assert before.keys() == after.keys()
    changed = {key for key in before if before[key].digest != after[key].digest}
    assert changed == {key for key in before if "direct" not in key[1] and key[0] in ("reward", "ppo", "evaluate")}


def test_a_new_seed_only_adds(root: Path, quick: Grid) -> None:
    before = by_id(quick)
    set_grid(root, QUICK | {"seeds": [1, 2, 3]})
    after = by_id(build(root, "quick"))
    assert before.items() <= {key: i for key, i in after.items() if key in before}.items()
    assert {key[0] for key in after.keys() - before.keys()} == {"reward", "ppo", "evaluate"}


def test_pretrain_replaces_model() -> None:
    built = build(PROJECT, "pretrain")
    assert not ids(built, "model")
    data = instances_yaml.as_data(built)
    assert data["prepare"]["sentiment-tiny"]["model"] == "models/base/tiny"
    assert data["pretrain"]["tiny"]["fetch"] == "data/raw/movie_reviews"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "labels=6k",
            r"labels=6k: no such choice in conf/labels/; did you mean '60k'\? choices: 10k, ",
        ),
        ("policy.lrr=1", r"policy.lrr=1: no such setting in conf/; did you mean 'policy.lr'"),
        ("label=5k", r"label=5k: no such setting in conf/; did you mean 'labels'\?"),
        ("reward.lr=fast", r"reward.lr"),
        ("scale=lots", r"scale=lots: expected a number or a fraction such as 1/20"),
    ],
)
def test_unknown_words_get_a_did_you_mean(root: Path, override: str, message: str) -> None:
    set_grid(root, {"base": [override], "include": [{"collection": "offline"}]})
    with pytest.raises(PreflabError, match=message):
        build(root, "quick")


def test_all_problems_of_all_cells_at_once(root: Path) -> None:
    before = (root / "instances.yaml").read_text()
    rows = [{"policy.nminibatches": 7}, {"reward.adam": "adamw"}, {"labels": "6k"}]
    set_grid(root, {"include": rows, "seeds": [1]})
    with pytest.raises(PreflabError) as error:
        build(root, "quick")
    for part in ("not a multiple of policy.nminibatches=7", "reward.adam=adamw", "labels=6k"):
        assert part in str(error.value)
    assert (root / "instances.yaml").read_text() == before


@pytest.mark.parametrize(
    "override",
    [
        "policy.batch_size=0",
        "policy.nminibatches=0",
        "policy.microbatch_size=0",
        "policy.epochs=0",
        "reward.batch_size=0",
        "reward.rollout_batch=0",
        "comparisons.heldout=0",
        "comparisons.rollout_batch=0",
        "evaluation.contexts=0",
    ],
)
def test_a_count_of_zero_is_named(root: Path, override: str) -> None:
    set_grid(root, {"base": [override], "include": [{"seed": 1}]})
    with pytest.raises(PreflabError, match=f"{override}: must be a whole number from 1 to "):
        build(root, "quick")


def test_misspelt_and_missing_keys_of_labels_and_collection(root: Path) -> None:
    replace(root / "conf" / "labels" / "5k.yaml", "direct: false", "direct: false\nnum_trane: 3")
    set_grid(root, {"include": [{"labels": "5k"}], "seeds": [1]})
    with pytest.raises(PreflabError, match=r"labels.num_trane: no such setting; did you mean 'num_train'"):
        build(root, "quick")
    replace(root / "conf" / "labels" / "5k.yaml", "direct: false\nnum_trane: 3", "")
    with pytest.raises(PreflabError, match=r"labels.direct: missing"):
        build(root, "quick")


def test_the_folder_of_a_sweep_tells_equal_last_words_apart() -> None:
    assert _slug(["policy.adaptive_kl.target=4,8,12"], "quick") == "target-4-8-12"
    lines = [["reward.lr=1,2"], ["policy.lr=1,2"], ["seed=1,2"], ["comparisons.seed=1,2"]]
    slugs = [_slug(line, "quick") for line in lines]
    assert slugs == ["reward.lr-1-2", "policy.lr-1-2", "seed-1-2", "comparisons.seed-1-2"]


def test_unknown_grid_and_unknown_key_of_a_grid(root: Path) -> None:
    with pytest.raises(PreflabError, match=r"grid 'quik'.*did you mean 'quick'"):
        build(root, "quik")
    set_grid(root, {"products": {}})
    with pytest.raises(PreflabError, match=r"conf/grid/quick.yaml: products: no such key; did you mean 'product'"):
        build(root, "quick")


def test_results_of_cells_that_left_the_grid_are_removed(root: Path, quick: Grid) -> None:
    kept, left = (
        root / "reports/curves/sentiment-5k-offline-1.csv",
        root / "reports/curves/sentiment-5k-offline-9.csv",
    )
    record = root / "reports/runs/ppo-sentiment-5k-offline-9.json"
    for path in (kept, left, record):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert instances_yaml.prune(root, quick) == [left]
    assert kept.exists()
    assert record.exists()


def test_conf_takes_from_a_task_what_a_task_may_publish() -> None:
    taken = set()
    for group, source in itertools.product(("policy", "reward"), PUBLISHED):
        text = (PROJECT / "conf" / group / f"{source}.yaml").read_text()
        taken |= set(re.findall(r"task\.(\w+)\.(\w+)\.(\w+)", text))
    publishable = {("paper", group, key) for group, keys in PUBLISHABLE.items() for key in keys}
    assert {key[1:] for key in taken} == {key[1:] for key in publishable}
    assert {source for source, *_ in taken} == set(PUBLISHED)


TASKS = {  # paper_facts: paper and released code, style and summaries: lr, batch, β, target, label batch
    ("sentiment", "paper"): (1.41e-05, 1024, 0.15, 10.0, 8),
    ("sentiment", "released"): (1e-05, 512, 0.15, 6.0, 32),
    ("descriptiveness", "paper"): (1.41e-05, 1024, 0.15, 6.0, 8),
    ("mock", "paper"): (1.41e-05, 1024, 0.15, 8.0, 8),
    ("tldr", "paper"): (7.07e-06, 512, 0.03, None, 32),
    ("tldr", "released"): (2e-06, 32, 0.03, None, 16),
    ("cnndm", "paper"): (7.07e-06, 512, 0.1, None, 32),
    ("cnndm", "released"): (2e-06, 32, 0.01, None, 16),
}


@pytest.mark.parametrize(("task", "source"), TASKS)
def test_paper_and_released_values_follow_the_task(task: str, source: str) -> None:
    with composer(PROJECT / "conf") as compose:
        settings = compose([f"task={task}", f"policy={source}", f"reward={source}"])
    policy = kinds.KINDS["ppo"].owns(settings)["policy"]
    target = policy["adaptive_kl"] and policy["adaptive_kl"]["target"]
    values = policy["lr"], policy["batch_size"], policy["kl_coef"], target, settings["reward"]["batch_size"]
    assert values == TASKS[task, source]


def test_a_value_that_nothing_takes_from_a_task_is_an_error() -> None:
    with composer(PROJECT / "conf") as compose, pytest.raises(PreflabError, match=r"task\.paper\.policy\.gamma: not a"):
        expand("x", [Point(["+task.paper.policy.gamma=1"], {})], compose)


def test_a_grid_extends_the_base_of_another_but_for_the_keys_it_sets_itself(root: Path) -> None:
    grids = root / "conf" / "grid"
    (grids / "own.yaml").write_text(
        yaml.safe_dump({"extends": "quick", "base": ["scale=1/50", "reward=small"], "include": [{"labels": "5k"}]})
    )
    spec = specs_grid.spec(root, "own")
    assert spec == {"base": ["episode_scale=1/1000", "scale=1/50", "reward=small"], "include": [{"labels": "5k"}]}
    (grids / "own.yaml").write_text(yaml.safe_dump({"extends": "quick", "include": [{"labels": "5k"}]}))
    assert specs_grid.spec(root, "own")["base"] == QUICK["base"]


def test_a_grid_extends_one_that_is_there_and_extends_none(root: Path) -> None:
    grids = root / "conf" / "grid"
    (grids / "own.yaml").write_text("extends: quik\n")
    with pytest.raises(PreflabError, match=r"conf/grid/own.yaml: extends: grid 'quik'.*did you mean 'quick'"):
        specs_grid.spec(root, "own")
    (grids / "own.yaml").write_text("extends: own\n")
    with pytest.raises(PreflabError, match=r"conf/grid/own.yaml: extends: own extends a grid itself"):
        specs_grid.spec(root, "own")
