"""A note is found again by name and key, and only if its job did not fail."""

import math
from pathlib import Path

from scenewright.jobs import Store, files_stamp, key_of


def test_a_note_is_read_back_while_it_fits(tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = key_of(seed=1, path=tmp_path)
    assert store.read("room/one", key) is None
    store.write("room/one", key, {"score": 0.5, "distance": math.inf})
    assert store.read("room/one", key) == {"score": 0.5, "distance": None}
    assert store.read("room/one", key_of(seed=2, path=tmp_path)) is None
    store.write("room/one", key, {"error": "the scene is empty"})
    assert store.read("room/one", key) is None
    (tmp_path / "room/one.json").write_text("[1")
    assert store.read("room/one", key) is None


def test_a_key_follows_the_files(tmp_path: Path) -> None:
    path = tmp_path / "a.glb"
    path.write_bytes(b"1")
    before = key_of(files=files_stamp(tmp_path, None))
    path.write_bytes(b"12")
    assert key_of(files=files_stamp(tmp_path, None)) != before
