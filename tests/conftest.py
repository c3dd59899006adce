"""Fixtures that several test modules use, and how the tests share two cores.

Expensive folders that no test changes are built once, whichever process of pytest-xdist needs them first.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from helpers.hub_server import Hub

# Before torch is imported, here and in the commands that tests start: the tests of two processes share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

pytest.register_assert_rewrite("helpers")

# The same examples each time, whatever time they take on this machine.
settings.register_profile(
    "preflab", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("preflab")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no process is left alone with one (`--dist loadfile`)."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def torch_as_it_starts() -> None:
    """fp32 and one thread, whatever an earlier test of this process has set."""
    if torch := sys.modules.get("torch"):
        torch.set_float32_matmul_precision("highest")
        torch.set_num_threads(1)


Build = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def build_once(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """`build_once(name, build)`: a folder that the first process to ask has built by `build(folder)`."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def built(name: str, build: Callable[[Path], object]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                build(folder)
                done.touch()
        return folder

    return built


@pytest.fixture(scope="session")
def new_workspace(build_once: Build) -> Path:
    """A repository of stub stages where nothing has run yet (helpers/workspace.py); to be copied, not changed."""
    from helpers import workspace

    return build_once("new-workspace", workspace.make)


@pytest.fixture(scope="session")
def built_workspace(build_once: Build, new_workspace: Path) -> Path:
    """The same after `dvc repro`."""
    from helpers import workspace

    return build_once(
        "built-workspace", lambda root: workspace.run(workspace.copy(new_workspace, root), "dvc", "repro")
    )


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base model whose tokens are words (helpers/toy_reviews.py)."""
    from helpers import toy_reviews

    return toy_reviews.save_word_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def queries(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A folder of the stage prepare, with its two classifiers."""
    from helpers import toy_reviews
    from preflab.stages import prepare

    folder = tmp_path_factory.mktemp("prepared")
    reviews = toy_reviews.corpus(folder / "corpus", toy_reviews.reviews(300))
    prepare.run(
        toy_reviews.prepare_settings(), corpus=reviews, classifier_corpus=reviews, model=model, out=folder / "queries"
    )
    return folder / "queries"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Hub"]:
    """This process talks to our hub: what HF_ENDPOINT and HF_HOME do when they are set before the imports."""
    from helpers import hub_repositories, hub_server

    datasets = pytest.importorskip("datasets")
    constants = pytest.importorskip("huggingface_hub.constants")
    with hub_server.serve(hub_repositories.REPOSITORIES) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", server.address)
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("time.sleep", lambda _: None)  # between one try and the next
        yield server
