"""Runs of a capture that are killed at any moment end, resumed, in the same bytes."""

from pathlib import Path

from scenewright.runs.captures import CaptureSettings, run_capture, stage_folder
from scenewright.systems.genrecon.system import GenReconSystem
from tests.support.write_steps import killed_at
from tests.systems.genrecon.test_pipeline import OPTIONS
from tests.systems.genrecon.tiny import TinyNetworks
from tests.systems.genrecon.tiny_capture import write_capture

# Round every kind of file: a stage's data, the note that it is done, the scene, its facts.
MOMENTS = (
    ("os.rename", "views.json"),
    ("shutil.rmtree", ".views.json.partial"),
    ("os.rename", "structures.safetensors"),
    ("os.rename", "textures.json"),
    ("os.mkdir", ".room.glb.partial"),
    ("os.rename", "room.glb"),
)


def test_killed_runs_end_in_the_same_bytes(tmp_path: Path) -> None:
    folder = write_capture(tmp_path / "capture", count=3)
    settings = CaptureSettings(folder, metres_per_unit=2.0)
    system = GenReconSystem(TinyNetworks(), OPTIONS)
    whole, again = tmp_path / "whole" / "room.glb", tmp_path / "again" / "room.glb"
    for path in (whole, again):
        path.parent.mkdir()
    run_capture(settings, whole, system=system)
    for moment in MOMENTS:
        is_moment = lambda step, path, moment=moment: (step, path.name) == moment  # noqa: E731
        assert killed_at(again.parent, is_moment, lambda: run_capture(settings, again, system=system, resume=True))
        assert not again.exists()
    assert (stage_folder(again) / "views.safetensors").is_file()
    run_capture(settings, again, system=system, resume=True)
    assert {path.name for path in again.parent.iterdir()} == {path.name for path in whole.parent.iterdir()}
    assert again.read_bytes() == whole.read_bytes()
