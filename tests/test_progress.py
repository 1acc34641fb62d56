"""Stages, silence and nesting."""

from scenewright.progress import SILENT, Advance, within


class Recorder:
    """Keeps what it receives."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int, int]] = []

    def stage(self, name: str) -> Advance:
        return lambda done, total: self.events.append((name, done, total))


def test_nested_progress_names_the_work_it_belongs_to() -> None:
    recorder = Recorder()
    within(within(recorder, "room"), "chair").stage("shape")(3, 12)
    assert recorder.events == [("room: chair: shape", 3, 12)]


def test_silence_takes_anything() -> None:
    SILENT.stage("shape")(3, 12)
    within(SILENT, "chair").stage("shape")(12, 12)
