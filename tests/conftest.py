"""Fixtures that several test modules use."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from helpers.hub_server import Hub

pytest.register_assert_rewrite("helpers")


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
    prepare.run(toy_reviews.prepare_settings(), reviews, model, folder / "queries")
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
