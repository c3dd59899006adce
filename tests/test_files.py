"""Files of others (text/files.py): what is found in folders and archives, and that an archive is opened once."""

import gzip
import io
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflab.errors import PreflabError
from preflab.human_labels.ingest import ingest
from preflab.text import files
from preflab.text.files import lines, listing

SUFFIXES = (".txt",)


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def texts(path: Path, patterns: tuple[str, ...] = ("*",)) -> dict[str, str]:
    """The text of every file, by its name from `path` on."""
    sources = listing(path, SUFFIXES, patterns).sources
    return {file.name.removeprefix(f"{path}/"): "".join(line for _, line in lines(file)) for file in sources}


def test_a_folder_of_everything(tmp_path: Path) -> None:
    inner = zipped({"x.txt": b"nested"})
    contents = {
        "a.txt": b"plain",
        "b.txt.gz": gzip.compress(b"gzipped"),
        "c.txt": gzip.compress(b"gzipped without a suffix"),
        "d.zip": zipped({"deep/e.txt": b"member", "f.txt.gz": gzip.compress(b"both"), "n.zip": inner, "no.md": b"x"}),
        "g.md": b"passed over",
        ".h.txt": b"hidden",
        "i.whl": zipped({"__MACOSX/j.txt": b"x"}),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    assert texts(tmp_path) == {
        "a.txt": "plain",
        "b.txt.gz": "gzipped",
        "c.txt": "gzipped without a suffix",
        "d.zip/deep/e.txt": "member",
        "d.zip/f.txt.gz": "both",
        "d.zip/n.zip/x.txt": "nested",
    }
    found = listing(tmp_path, SUFFIXES)
    assert [file.name for file in found.files] == ["a.txt", "b.txt.gz", "c.txt", "d.zip"]
    assert [file.name for file in found.others] == ["g.md", "i.whl"]
    member = next(file for file in found.sources if file.stem == "e")
    assert (member.suffix, member.folder) == (".txt", "deep")


@pytest.mark.parametrize("count", [3, 300])
def test_an_archive_is_opened_once_for_all_its_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Opening one reads the names of all its members, so time would grow with the square of their number."""
    nested = zipped({f"{i}.txt": b"inner" for i in range(count)})
    (tmp_path / "a.zip").write_bytes(zipped({f"{i}.txt": b"%d" % i for i in range(count)} | {"n.zip": nested}))
    opened = []

    class Counting(zipfile.ZipFile):
        def __init__(self, *args: object) -> None:
            opened.append(args)
            super().__init__(*args)  # type: ignore[call-overload]

    monkeypatch.setattr(files.zipfile, "ZipFile", Counting)
    assert len(texts(tmp_path / "a.zip")) == 2 * count
    assert len(opened) == 2


@given(st.permutations(range(6)))
def test_members_of_several_archives_are_read_in_any_order(tmp_path_factory: pytest.TempPathFactory, order) -> None:
    folder = tmp_path_factory.mktemp("archives")
    for name in "abc":
        (folder / f"{name}.zip").write_bytes(zipped({f"{i}.txt": f"{name}{i}\n".encode() * 9999 for i in range(2)}))
    sources = listing(folder, SUFFIXES).sources
    readers = [lines(sources[i]) for i in order]
    for _ in range(3):  # all of them open at the same time
        heads = [next(reader)[1] for reader in readers]
        assert heads == [f"{'abc'[i // 2]}{i % 2}\n" for i in order]


def test_links_encrypted_members_and_large_archives_inside_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = zipfile.ZipInfo("a.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(PreflabError, match=r"link\.zip: the member 'a\.txt' leads out of the archive; do not trust"):
        listing(tmp_path / "link.zip", SUFFIXES)
    content = bytearray(zipped({"a.txt": b"secret"}))
    content[6] |= 1  # the flag of encryption, in the member's header and in the directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "encrypted.zip").write_bytes(content)
    with pytest.raises(PreflabError, match=r"encrypted\.zip/a\.txt: cannot be read \(.*encrypted.*\); unpack the arch"):
        texts(tmp_path / "encrypted.zip")
    monkeypatch.setattr(files, "LARGEST", 10)
    (tmp_path / "nested.zip").write_bytes(zipped({"n.zip": zipped({"x.txt": b"x"})}))
    with pytest.raises(PreflabError, match=r"nested\.zip/n\.zip: more than .* unpack the outer one"):
        listing(tmp_path / "nested.zip", SUFFIXES)


def test_damage_inside_of_an_archive_names_the_member(tmp_path: Path) -> None:
    content = zipped({"a.txt": b"word " * 1000})
    (tmp_path / "a.zip").write_bytes(content[:45] + b"\xff\xff" + content[47:])
    with pytest.raises(PreflabError, match=r"a\.zip/a\.txt: damaged or cut off \(.*\); get the file again"):
        texts(tmp_path / "a.zip")


def test_labels_are_found_in_an_archive_inside_of_an_archive(tmp_path: Path) -> None:
    labels = b'{"query": "q", "samples": ["a", "b"], "best": 1}\n'
    (tmp_path / "a.zip").write_bytes(zipped({"inner.zip": zipped({"tldr/labels.jsonl": labels})}))
    assert ingest(tmp_path / "a.zip").summary.rows == 1
