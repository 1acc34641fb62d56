"""A run that is killed while it writes any of its stages is finished by the next, with the same bytes."""

from pathlib import Path

import pytest
from PIL import Image

from scenewright.io.data_file import data_fingerprint
from scenewright.systems.inspace import stage_pictures
from scenewright.types import View
from tests.support.write_steps import killed_after_every_result
from tests.systems.inspace.test_system import folder, system, view  # noqa: F401


def test_killed_at_every_stage(
    folder: Path,  # noqa: F811
    view: View,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each run is killed right after one result of a stage has got its name."""
    monkeypatch.setattr(stage_pictures, "mesh_picture", lambda mesh: Image.new("RGB", (8, 8)))
    whole, stages = tmp_path / "whole", tmp_path / "killed"
    expected = data_fingerprint(system(folder, whole).generate(view, seed=1))
    names = {path.name for path in whole.iterdir()}
    again = system(folder, stages)

    def work() -> None:
        assert not stages.exists() or {path.name for path in stages.iterdir() if path.name[0] != "."} <= names
        again.generate(view, seed=1)

    kills = killed_after_every_result(tmp_path, work)
    assert kills == sum(not name.endswith(".png") for name in names)
    assert data_fingerprint(again.generate(view, seed=1)) == expected
    for name in sorted(names):
        assert (stages / name).read_bytes() == (whole / name).read_bytes(), name
    assert {path.name for path in stages.iterdir()} == names
