"""Files alone and in sets: whole or not at all, wherever the process is killed and whatever the system refuses."""

import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scenewright.errors import InputError
from scenewright.io.atomic import atomic_path, check_writable, make_folder, tidy, write_bytes, write_together
from tests.support.write_steps import killed_at

OLD, NEW = b"old" * 1000, b"new" * 2000


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


def test_the_temporary_file_has_the_name_of_the_target_on_the_same_file_system(tmp_path):
    with atomic_path(tmp_path / "scene.glb") as temporary:
        assert temporary.name == "scene.glb"
        assert temporary.parent.parent == tmp_path
        temporary.touch()


def write_set(folder: Path, content: bytes) -> None:
    with write_together(folder / "scene.glb", folder / "picture.png", folder / "scene.json") as temporaries:
        for temporary in temporaries:
            temporary.write_bytes(content)


def in_fork(work: Callable[[], object]) -> int:
    """Exit code of a fork that does the work; 7 if it fails."""
    if process := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    try:
        work()
    except BaseException:
        os._exit(7)
    os._exit(0)


def killed_before_step(number: int, folder: Path) -> bool:
    """Whether writing the set was killed before the step of that number, or ended without so many."""
    left = number

    def is_now(step: str, path: Path) -> bool:
        nonlocal left
        left -= 1
        return left < 0

    return killed_at(folder, is_now, lambda: write_set(folder, NEW))


@pytest.mark.parametrize("is_over_older", [False, True])
def test_a_kill_at_any_step_leaves_no_torn_or_mixed_set_and_the_next_run_tidies_up(tmp_path, is_over_older):
    names, number = ("scene.glb", "picture.png", "scene.json"), 0
    while True:
        folder = make_folder(tmp_path / str(number))
        if is_over_older:
            write_set(folder, OLD)
        was_killed = killed_before_step(number, folder)
        contents = {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}
        assert set(contents.values()) <= {OLD, NEW}
        if "scene.json" in contents:
            assert list(contents.values()) == 3 * [contents["scene.json"]]
        write_set(folder, NEW)
        assert sorted(os.listdir(folder)) == sorted(names)
        assert {(folder / name).read_bytes() for name in names} == {NEW}
        if not was_killed:
            break
        number += 1
    assert number > 12


def test_what_a_killed_process_left_is_removed_with_what_lies_in_it(tmp_path):
    target = tmp_path / "a.bin"
    with atomic_path(target) as temporary:
        temporary.touch()
    names = [temporary.parent.name, f"{temporary.parent.name}1"]
    for name in names:
        (tmp_path / name / "a folder of a library").mkdir(parents=True)
        (tmp_path / name / "a.bin").write_bytes(b"half")
    write_bytes(target, b"whole")
    assert os.listdir(tmp_path) == ["a.bin"]
    (tmp_path / names[0]).mkdir()
    tidy(target)
    assert os.listdir(tmp_path) == ["a.bin"]


def test_two_that_write_the_same_place_do_not_touch_each_others_temporaries(tmp_path):
    target = tmp_path / "a.bin"
    with atomic_path(target) as first:
        first.write_bytes(b"first")
        write_bytes(target, b"second")
        assert first.read_bytes() == b"first"
    assert target.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("room", [0, 4000, 13_000])
def test_a_full_disk_is_one_sentence_and_leaves_the_old_set(tmp_path, room):
    write_set(tmp_path, OLD)

    def work() -> None:
        sys.dont_write_bytecode = True  # Python keeps a compiled module that was cut short
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        with pytest.raises(InputError, match=r"Cannot write '.*': File too large\."):
            write_set(tmp_path, NEW * 3)

    assert in_fork(work) == 0
    assert sorted(os.listdir(tmp_path)) == ["picture.png", "scene.glb", "scene.json"]
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {OLD}


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match=r"the folder '.*nowhere' does not exist"):
        write_bytes(tmp_path / "nowhere" / "a.bin", b"")
    with pytest.raises(InputError, match="it is a folder"):
        write_bytes(tmp_path, b"")
    with pytest.raises(InputError, match="File name too long"):
        write_bytes(tmp_path / ("a" * 300), b"")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"Cannot make the folder '.*inside': Not a directory"):
        make_folder(tmp_path / "file" / "inside")


def test_what_could_not_be_written_in_the_end_is_refused_beforehand(tmp_path):
    check_writable(tmp_path / f"{'a' * 250}.glb", tmp_path / ("é" * 100), os.fsdecode(bytes(tmp_path) + b"/p\xff.glb"))
    with pytest.raises(InputError, match="File name too long"):
        check_writable(tmp_path / f"{'a' * 250}_comparison.png")
    with pytest.raises(InputError, match="it is a folder"):
        check_writable(tmp_path)
    assert not os.listdir(tmp_path)


def test_a_link_stays_one_and_its_file_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    write_set(tmp_path / "far", OLD)
    for name in ("scene.glb", "scene.json"):
        (tmp_path / name).symlink_to(tmp_path / "far" / name)
    write_set(tmp_path, NEW)
    assert (tmp_path / "scene.glb").is_symlink()
    assert (tmp_path / "scene.json").is_symlink()
    assert [(tmp_path / "far" / name).read_bytes() for name in ("scene.glb", "scene.json")] == [NEW, NEW]
    assert sorted(os.listdir(tmp_path / "far")) == ["picture.png", "scene.glb", "scene.json"]


def test_permissions_of_the_old_file_stay(tmp_path):
    target = write_bytes(tmp_path / "a.bin", OLD)
    target.chmod(0o600)
    assert write_bytes(target, NEW).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("check", [check_writable, lambda path: write_bytes(path, NEW)])
def test_what_is_no_place_for_a_file(tmp_path, check, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere" / "a")
    (tmp_path / "kept").write_bytes(OLD)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "kept")
    problems = {
        "pipe": "it is a pipe or a device",
        "loop": "a link to itself",
        "lost": "nowhere' does not exist",
        "kept": "it may only be read",
        "kept/a": "kept' is no folder",
        "a\0b": "null character",
        "a" * 300: "File name too long",
    }
    for name, problem in problems.items():
        with pytest.raises(InputError, match=f"Cannot write .*{problem}"):
            check(tmp_path / name)
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "kept").read_bytes() == OLD
    assert sorted(os.listdir(tmp_path)) == ["kept", "loop", "lost", "pipe"]


def test_a_refusal_that_a_library_tells_in_words(tmp_path):
    with pytest.raises(InputError, match=r"a\.bin': No space left on device\."), atomic_path(tmp_path / "a.bin"):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(RuntimeError, match="a defect"), atomic_path(tmp_path / "a.bin"):
        raise RuntimeError("a defect of ours")
    assert not os.listdir(tmp_path)
