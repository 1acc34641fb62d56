"""Stages, silence and nesting."""

from scenewright.progress import SILENT, within
from tests.support.progress import Recorder


def test_nested_progress_names_the_work_it_belongs_to() -> None:
    recorder = Recorder()
    within(within(recorder, "room"), "chair").stage("shape")(3, 12)
    assert recorder.events == [("room: chair: shape", 3, 12)]


def test_silence_takes_anything() -> None:
    SILENT.stage("shape")(3, 12)
    within(SILENT, "chair").stage("shape")(12, 12)
