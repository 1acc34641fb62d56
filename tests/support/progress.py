"""A progress that can be looked at."""

from scenewright.progress import Advance

__all__ = ["Recorder"]


class Recorder:
    """Keeps what it receives: `stages` in the order they began, and events (stage, done, total)."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.events: list[tuple[str, int, int]] = []

    def stage(self, name: str) -> Advance:
        self.stages.append(name)
        return lambda done, total: self.events.append((name, done, total))
