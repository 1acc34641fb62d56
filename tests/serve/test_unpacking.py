"""Archives of clients: plain files inside their own folder, or one sentence."""

import io
import stat
import zipfile
from pathlib import Path

import pytest

from scenewright.errors import InputError
from scenewright.serve.limits import Limits
from scenewright.serve.unpacking import unpacked


def archive(tmp_path: Path, members: dict[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w", compression) as content:
        for name, data in members.items():
            content.writestr(name, data)
    return path


def link(name: str, kind: int = stat.S_IFLNK) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


def test_plain_files_are_unpacked_and_clutter_is_left(tmp_path: Path) -> None:
    path = archive(
        tmp_path,
        {"room/transforms.json": b"{}", "room/images/a (1).png": b"x", "__MACOSX/._a": b"", "room/.DS_Store": b"y"},
    )
    folder = unpacked(path, tmp_path / "out", Limits())
    assert folder == tmp_path / "out" / "room"
    found = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    assert found == ["images/a (1).png", "transforms.json"]


@pytest.mark.parametrize(
    "name",
    [
        *("../evil", "a/../../evil", "/etc/evil", "//host/share/evil", "C:/evil", "C:evil", "a\\..\\evil", "a//b"),
        *("./a", "a/.", ".hidden", "a/.ssh/key", "nul\x01l", "a:b", "a*b", "a ", "a.", "a/b/c/d/e/f/g/h/i", "x" * 200),
        *("-rf", "a\nb", "~/evil", "$HOME", "a|b"),
    ],
)
def test_names_that_leave_the_folder_or_hide_are_refused(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path, {"good.txt": b"x", name: b"y"})
    with pytest.raises(InputError, match=r"archive\.zip'.*(plain name|outside)"):
        unpacked(path, tmp_path / "out" / "inner", Limits())
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and file != path]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    path = archive(tmp_path, {link("images", kind): b"/etc", "images/passwd": b"x"})
    with pytest.raises(InputError, match="link or a device"):
        unpacked(path, tmp_path / "out", Limits())
    assert not (tmp_path / "out").exists()


def test_bombs_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    flat = archive(tmp_path, {"zeros": bytes(64 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="unpacks to 67,108,864 bytes"):
        unpacked(flat, tmp_path / "out", Limits(unpacked_bytes=1 << 20))
    dense = archive(tmp_path, {f"z{n}": bytes(48 << 20) for n in range(10)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="of memory"):
        unpacked(dense, tmp_path / "out", Limits())
    many = archive(tmp_path, {f"f{number}": b"" for number in range(11)})
    with pytest.raises(InputError, match="11 files, more than 10"):
        unpacked(many, tmp_path / "out", Limits(members=10))


def test_sizes_that_lie_and_damaged_files_are_one_sentence(tmp_path: Path) -> None:
    path = archive(tmp_path, {"a": b"x" * 1000}, zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (5000).to_bytes(4, "little")  # the size that the directory promises
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"archive\.zip"):
        unpacked(path, tmp_path / "out", Limits())
    path.write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(InputError, match=r"archive\.zip"):
        unpacked(path, tmp_path / "other", Limits())


def test_names_that_are_one_on_some_systems_are_refused(tmp_path: Path) -> None:
    for names in (("a.png", "A.PNG"), ("e\u0301.png", "\u00e9.png")):
        with pytest.raises(InputError, match=r"(two files of one name|plain name)"):
            unpacked(archive(tmp_path, dict.fromkeys(names, b"x")), tmp_path / "out", Limits())
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    (tmp_path / "archive.zip").write_bytes(empty.getvalue())
    with pytest.raises(InputError, match="holds no files"):
        unpacked(tmp_path / "archive.zip", tmp_path / "out", Limits())
