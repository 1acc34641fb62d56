"""Systems that stay loaded between jobs: the next job with the same weights begins at once."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

from scenewright.progress import SILENT, Progress
from scenewright.runs.captures import CaptureSettings, load_capture_system
from scenewright.runs.generate import load_system
from scenewright.runs.manifest import GenerateSettings
from scenewright.systems.genrecon.system import CaptureSystem
from scenewright.systems.system import System

__all__ = ["ResidentSystems"]

Loaded = TypeVar("Loaded")


class ResidentSystems:
    """The last systems that were opened, at most `most` of them; the one used longest ago goes first.

    A system holds no state of a run, so that a scene has the same bytes as from one that was just loaded.
    """

    def __init__(self, most: int = 1) -> None:
        self._most = most
        self._loaded: OrderedDict[Hashable, object] = OrderedDict()

    def open(self, settings: GenerateSettings, progress: Progress = SILENT) -> System:
        """The system that `load_system` would load, loaded once.

        Raises:
            ScenewrightError: weights are missing or cannot be used.
        """
        key = (
            *(settings.system, settings.weights, settings.decoder, settings.decoder_weights, settings.resolution),
            *(settings.device, settings.dtype, settings.offline),
            *(settings.stages, settings.depth_model, settings.commercial),
        )
        return self._kept(key, lambda: load_system(settings, progress))

    def open_capture(self, settings: CaptureSettings, progress: Progress = SILENT) -> CaptureSystem:
        """The system that `load_capture_system` would load, loaded once.

        Raises:
            ScenewrightError: weights are missing or cannot be used.
        """
        key = ("capture", settings.weights, settings.device, settings.dtype, settings.offline, settings.commercial)
        return self._kept(key, lambda: load_capture_system(settings, progress))

    def _kept(self, key: Hashable, load: Callable[[], Loaded]) -> Loaded:
        if key not in self._loaded:
            while len(self._loaded) >= self._most:  # before the next one takes its memory
                self._loaded.popitem(last=False)
            self._loaded[key] = load()
        self._loaded.move_to_end(key)
        return cast(Loaded, self._loaded[key])
