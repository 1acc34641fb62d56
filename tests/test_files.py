"""The border of readers: one sentence for whatever is raised, a budget for every file, names that stay inside."""

import ast
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from annotated_types import Ge, Le

from scenewright import files
from scenewright.errors import InputError, WeightsError
from scenewright.files import allow_also, inside, json_value, read_file, reader, reading, spend, work

SOURCE = Path(__file__).parent.parent / "src" / "scenewright"
MIB = 1 << 20


@pytest.mark.parametrize(
    "raised", [ValueError("odd"), KeyError("x"), MemoryError(), RecursionError(), ZeroDivisionError(), SystemError()]
)
def test_whatever_is_raised_becomes_one_sentence_with_file_and_way_out(raised: Exception, tmp_path: Path) -> None:
    @reader("a thing", "make it again")
    def read(path: Path) -> None:
        raise raised

    with pytest.raises(
        InputError, match=r"Cannot read '.*a\.bin': it is not a thing, or is damaged \(.*\); make it again\."
    ) as told:
        read(tmp_path / "a.bin")
    assert told.value.__cause__ is raised
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, WeightsError("as it is")])
def test_interrupts_and_errors_of_ours_pass(raised: BaseException) -> None:
    with pytest.raises(type(raised) if isinstance(raised, BaseException) else raised), reading("a", "b", "c"):
        raise raised


def test_a_sentence_without_the_file_gets_its_name() -> None:
    with (
        pytest.raises(InputError, match=r"Cannot read '/x/scene\.gltf': it refers to"),
        reading("/x/scene.gltf", "b", "c"),
    ):
        raise InputError("it refers to nothing")


@pytest.mark.parametrize("name", ["in", ".", "d"])
def test_letters_of_another_name_are_not_the_files(name: str) -> None:
    with pytest.raises(InputError) as told, reading(Path(name), "a pack", "download it again"):
        raise InputError("it refers to 'index.csv', which is not there")
    assert str(told.value) == (
        f"Cannot read '{name}': it refers to 'index.csv', which is not there; download it again."
    )


def test_a_sentence_that_quotes_the_file_stays_short() -> None:
    with pytest.raises(InputError) as caught, reading("a.gltf", "a scene", "export it again"):
        raise InputError(f"accessor {'x' * 5000} of 'a.gltf' is no number; export it again.")
    assert len(str(caught.value)) < 1000
    assert str(caught.value).startswith("accessor xxx")
    assert str(caught.value).endswith("is no number; export it again.")


def test_one_budget_for_a_file_and_all_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * MIB)
    (tmp_path / "b").write_bytes(b"x" * MIB)
    with reading(tmp_path / "a", "a thing", "no"):
        read_file(tmp_path / "a")
        spend(200 * MIB)
        with reading("a part", "a thing", "no", size=1 << 30):  # content of the same file brings no more
            spend(100 * MIB)
            with pytest.raises(InputError, match=r"more than the 320 MiB.*--file-memory"):
                spend(100 * MIB)
    with reading(tmp_path / "a", "a thing", "no"):
        read_file(tmp_path / "a")
        read_file(tmp_path / "b")  # another file does
        spend(380 * MIB)


def test_the_budget_can_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files._Budget, "base_bytes", files._Budget.base_bytes)
    files.allow_file_memory(1 << 30)
    with reading("a", "a thing", "no"):
        spend(1000 * MIB)
        allow_also(MIB)
        spend(64 * MIB)


def test_steps_are_bounded() -> None:
    with reading("a", "a thing", "no"):
        work(1 << 25, "its polygons")
        with pytest.raises(InputError, match="steps of work"):
            work(1 << 26, "its polygons")


def test_pipes_devices_and_folders_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, reason in ((tmp_path / "pipe", "a pipe"), (Path("/dev/zero"), "a device"), (tmp_path, "is a folder")):
        with pytest.raises(InputError, match=reason):
            read_file(path)
    with pytest.raises(InputError) as told, reading(Path(), "a manifest", "give another"):
        read_file(".")
    assert str(told.value) == "Expected a file, but '.' is a folder; give the path of a file, such as one in it."


def test_names_found_in_a_file_stay_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "in.png").touch()
    (tmp_path / "out.png").touch()
    (folder / "link.png").symlink_to(tmp_path / "out.png")
    (folder / "short.png").symlink_to(folder / "sub" / "in.png")
    os.mkfifo(folder / "pipe")
    assert inside(folder, "sub/in.png") == folder / "sub" / "in.png"
    assert inside(folder, "short.png").is_file()
    bad = ("../out.png", "sub/../../out.png", "/etc/passwd", "link.png", "pipe", "sub", "none.png", "")
    for name in (*bad, "http://x/y", "C:\\x", "a\0b", "x" * 5000):
        with pytest.raises(InputError, match="it refers to"):
            inside(folder, name)


def test_snapshots_of_the_hub_may_link_to_their_blobs(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "abc"
    (tmp_path / "models--a--b" / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (tmp_path / "models--a--b" / "blobs" / "1").touch()
    (snapshot / "m.json").symlink_to("../../blobs/1")
    assert inside(snapshot, "m.json").is_file()


@dataclass(frozen=True)
class _Thing:
    count: Annotated[int, Ge(1), Le(10)]
    corners: tuple[tuple[float, float], ...] = ()


def test_json_is_checked_by_types_and_bounds() -> None:
    assert json_value(b'\xef\xbb\xbf{"count": 3, "corners": [[1, 2.5]], "more": 1}', _Thing) == _Thing(3, ((1, 2.5),))
    bad = [b'{"count": 11}', b'{"count": "3"}', b'{"count": true}', b"[]", b'{"count": 1, "corners": [[1]]}']
    for content in (*bad, b'{"count": 1, "corners": [[NaN, 1]]}', b"[" * 100_000, b'{"count": 1' + b"0" * 5000 + b"}"):
        with pytest.raises(InputError, match="not a thing"), reading("a", "a thing", "no"):
            json_value(content, _Thing)


def calls(*names: str) -> set[tuple[str, str]]:
    """(file, function) of every call in the package of a function whose name ends like one of these."""
    found = set()
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if any(name in text for name in names):
            nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
            made = {ast.unparse(node.func) for node in nodes}
            found |= {(path.relative_to(SOURCE).as_posix(), name) for name in made if name.endswith(names)}
    return found


def test_pictures_are_opened_in_one_place() -> None:
    """An `Image.open` without the allow-list starts Ghostscript for an EPS, whatever the file is called."""
    assert calls("Image.open") == {("io/images.py", "Image.open")}


def test_arrays_and_zips_are_opened_in_one_place() -> None:
    """These take memory before sizes are compared, or build whatever a file asks for."""
    assert calls("np.load") == {("io/archives.py", "np.load")}


def test_the_border_costs_no_heavy_import() -> None:
    code = "import scenewright.files, sys; sys.exit(bool({'torch', 'pydantic', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 12\n", r"a\.png' is a pointer of Git LFS"),
        (b"\xef\xbb\xbf  <!doctype HTML><html>", r"a\.png' is a web page"),
        (b"<html>", r"a\.png' is a web page"),
    ],
)
def test_what_lies_in_a_files_place_where_fetching_it_went_wrong(tmp_path, content, message):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_file(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("stored", "named"), [("caf\u00e9.png", "cafe\u0301.png"), ("cafe\u0301.png", "caf\u00e9.png")]
)
def test_accents_stand_with_their_letters_or_apart(tmp_path, stored, named):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / stored).write_bytes(b"x")
    assert inside(tmp_path, f"in/{named}").samefile(tmp_path / "in" / stored)
    with pytest.raises(InputError, match="outside its own folder"):
        inside(tmp_path / "in", f"../in/../{named}")
