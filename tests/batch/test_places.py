"""Places: what a manifest may name, what goes to a store and comes back."""

import uuid
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractBufferedFile

from scenewright.batch.places import Roots, TransferError, open_place
from scenewright.errors import InputError


@pytest.fixture
def store() -> str:
    """The URL of an empty folder of a store in memory."""
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "views").mkdir(parents=True)
    (tmp_path / "in" / "a.png").write_bytes(b"a")
    (tmp_path / "in" / "views" / "b.png").write_bytes(b"bb")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "secret.png")
    return tmp_path / "in"


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "views/../../secret.png",
        "views\\..\\..\\secret.png",
        "%2e%2e/secret.png",
        "/etc/passwd",
        "link.png",
        "",
        "a\0.png",
        "file:///etc/passwd",
        "http://127.0.0.1/a.png",
        "https://example.org/a.png",
        "ssh://host/a.png",
        "zip://a.png::s3://bucket/a.zip",
        "simplecache::s3://bucket/a.png",
        "s3://other/a.png",
        "s3://bucket/photographs/../secrets/a.png",
        "s3://bucket/photographs-of-others/a.png",
    ],
)
def test_a_manifest_reads_nothing_outside_its_roots(name: str, folder: Path, tmp_path: Path) -> None:
    roots = Roots((open_place(str(folder)), open_place("s3://bucket/photographs")))
    with pytest.raises(InputError, match=r"manifest|stores that are opened"):
        roots.fetch(name, tmp_path / "copies")
    assert not (tmp_path / "copies").exists()


def test_local_inputs_are_read_where_they_are(folder: Path, tmp_path: Path) -> None:
    roots = Roots((open_place(str(folder)),))
    for name in ("a.png", "./a.png", str(folder / "a.png"), f"file://{folder}/a.png"):
        assert roots.fetch(name, tmp_path / "copies") == folder / "a.png"
    assert roots.fetch("views", tmp_path / "copies") == folder / "views"
    with pytest.raises(InputError, match=r"b\.png' does not exist"):
        roots.fetch("b.png", tmp_path / "copies")


def test_inputs_in_a_store_are_copied_under_their_names(folder: Path, tmp_path: Path, store: str) -> None:
    place = open_place(store)
    place.put(folder, ["a.png", "views/b.png"], "photographs")
    roots = Roots((open_place(f"{store}/photographs"),))
    picture = roots.fetch(f"{store}/photographs/a.png", tmp_path / "1")
    assert (picture.name, picture.read_bytes()) == ("a.png", b"a")
    views = roots.fetch("views", tmp_path / "2")
    assert [(path.name, path.read_bytes()) for path in views.iterdir()] == [("b.png", b"bb")]
    assert place.sizes("photographs") == {"a.png": 1, "views/b.png": 2}
    with pytest.raises(InputError, match=r"photographs/c\.png' does not exist"):
        roots.fetch("c.png", tmp_path / "3")


@pytest.mark.parametrize("url", ["http://host/out", "zip://a::file://b", "sftp://host/out"])
def test_results_go_to_stores_alone(url: str) -> None:
    with pytest.raises(InputError, match=r"stores that are opened|chains several protocols"):
        open_place(url)


def test_small_files_are_written_read_and_removed(store: str, tmp_path: Path) -> None:
    for place in (open_place(store), open_place(str(tmp_path))):
        assert place.read("a/note.json") is None
        place.write("a/note.json", b"{}")
        assert place.read("a/note.json") == b"{}"
    open_place(store).remove("a/note.json")
    open_place(store).remove("a/note.json")
    assert open_place(store).read("a/note.json") is None


class Ranges(AbstractBufferedFile):
    """A file as those of most stores are: fetched by ranges."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(self.fs.cat_file(self.path, start, end))


@pytest.mark.parametrize("kind", ["whole", "ranges"])
def test_lines_are_bounded(kind: str, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "ranges":
        whole = MemoryFileSystem._open

        def opened(self: MemoryFileSystem, path: str, mode: str = "rb", **options: object) -> object:
            return (
                Ranges(self, path, mode, size=self.size(path)) if mode == "rb" else whole(self, path, mode, **options)
            )

        monkeypatch.setattr(MemoryFileSystem, "_open", opened)
    content = b"one\n" + b"x" * 1000 + b"\ntwo\n" + b"y" * 1000
    for place in (open_place(store), open_place(str(tmp_path))):
        place.write("jobs.jsonl", content)
        assert list(place.lines("jobs.jsonl", 10)) == [b"one\n", None, b"two\n", None]


def test_a_store_that_does_not_answer_may_do_so_later(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise RuntimeError("503 Slow Down")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", refuse)
    with pytest.raises(TransferError, match="503 Slow Down"):
        open_place(store).write("note.json", b"{}")
