import os

import pytest

from scenewright.errors import InputError
from scenewright.io.atomic import atomic_path, write_bytes


def test_a_finished_file_replaces_the_old_one(tmp_path):
    target = write_bytes(tmp_path / "a.bin", b"old")
    assert write_bytes(target, b"new") == target
    assert target.read_bytes() == b"new"


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = write_bytes(tmp_path / "a.bin", b"old")

    def interrupted() -> None:
        with atomic_path(target) as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_the_temporary_name_keeps_suffix_and_folder(tmp_path):
    with atomic_path(tmp_path / "scene.glb") as temporary:
        assert temporary.suffix == ".glb"
        assert temporary.parent == tmp_path
        temporary.touch()


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match=r"the folder '.*nowhere' does not exist"):
        write_bytes(tmp_path / "nowhere" / "a.bin", b"")
    with pytest.raises(InputError, match="it is a folder"):
        write_bytes(tmp_path, b"")
