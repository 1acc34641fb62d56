"""Networks of one stage at a time, where memory does not hold a scene's all: each is read anew when its turn comes.

    turn = Turn()
    SceneGenerator(StageInTurn(turn, open_stage), DecoderInTurn(turn, open_decoder))

The scene has the same bytes; reading the networks again is what it costs.
"""

import gc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar, cast

from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.progress import SILENT, Progress
from scenewright.systems.assembly.decoding import GeneratorOf, ObjectDecoder, RawObject
from scenewright.systems.assembly.structures import PlacedStructures, SceneRequest, StructureStage
from scenewright.systems.options import DEFAULT, GenerateOptions

__all__ = ["DecoderInTurn", "StageInTurn", "Turn"]

Opened = TypeVar("Opened")


class Turn:
    """Holds what its last taker opened, and lets go of it before another one opens something."""

    def __init__(self) -> None:
        self._taker: object = None
        self._opened: object = None

    def take(self, taker: object, open: Callable[[], Opened]) -> Opened:
        """The taker's own, opened anew if another one has taken its turn since."""
        if self._taker is not taker:
            self._taker = self._opened = None
            gc.collect()  # networks that refer to themselves would stay until later
            self._opened, self._taker = open(), taker
        return cast(Opened, self._opened)


class StageInTurn:
    """A `StructureStage` whose networks are in memory from its opening on, until others take their turn."""

    def __init__(self, turn: Turn, open: Callable[[], StructureStage]) -> None:
        self._turn, self._open = turn, open
        stage = turn.take(self, open)
        self.name, self.max_views, self.device = stage.name, stage.max_views, stage.device
        self.source, self.decoder_source, self.weights = stage.source, stage.decoder_source, dict(stage.weights)

    def sample_structures(self, request: SceneRequest, *, progress: Progress = SILENT) -> PlacedStructures:
        """See `StructureStage.sample_structures`."""
        return self._turn.take(self, self._open).sample_structures(request, progress=progress)


class DecoderInTurn:
    """An `ObjectDecoder` whose networks are read when something is first asked of it."""

    def __init__(self, turn: Turn, open: Callable[[], ObjectDecoder]) -> None:
        self._turn, self._open = turn, open
        self._facts: tuple[str, str, Mapping[str, Path], FinishOptions] | None = None

    @property
    def name(self) -> str:
        return self._known[0]

    @property
    def source(self) -> str:
        return self._known[1]

    @property
    def weights(self) -> Mapping[str, Path]:
        return self._known[2]

    @property
    def finish(self) -> FinishOptions:
        return self._known[3]

    @property
    def _known(self) -> tuple[str, str, Mapping[str, Path], FinishOptions]:
        if self._facts is None:
            decoder = self._turn.take(self, self._open)
            self._facts = decoder.name, decoder.source, dict(decoder.weights), decoder.finish
        return self._facts

    def decode(
        self,
        structures: PlacedStructures,
        generator_of: GeneratorOf,
        options: GenerateOptions = DEFAULT,
        *,
        progress: Progress = SILENT,
    ) -> list[RawObject | None]:
        """See `ObjectDecoder.decode`."""
        return self._turn.take(self, self._open).decode(structures, generator_of, options, progress=progress)
