"""A structure stage with the decoder that the user chose."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from scenewright.backbones.registry import backbone, check_options
from scenewright.systems.assembly.generator import SceneGenerator
from scenewright.systems.assembly.in_turn import DecoderInTurn, StageInTurn, Turn
from scenewright.systems.assembly.structures import StructureStage
from scenewright.systems.loading import OpenOptions
from scenewright.weights.hub import is_local_source

__all__ = ["with_decoder"]


def with_decoder(open_stage: Callable[[], StructureStage], options: OpenOptions) -> SceneGenerator:
    """The stage with its decoder, by default the one that it was published with; `options.in_turn` loads one of them.

    The decoder's weights are those of the options, else those that stand beside the stage's, else the published ones.

    Raises:
        InputError: there is no such decoder, or it has no such resolution.
        WeightsError: weights are missing, damaged, or do not fit.
    """
    spec = backbone(options.decoder or "trellis1")
    check_options(spec, {"resolution": options.resolution}, chosen_by="--decoder")
    turn = Turn()
    stage = StageInTurn(turn, open_stage) if options.in_turn else open_stage()
    plan = {} if options.resolution is None else {"plan": spec.resolutions[options.resolution]}
    source = options.source.at(options.decoder_weights or _beside(stage, spec.name) or spec.repository)
    open_decoder = partial(
        spec.decoder_class().from_pretrained, source, device=options.device, dtype=options.dtype, **plan
    )
    return SceneGenerator(stage, DecoderInTurn(turn, open_decoder) if options.in_turn else open_decoder())


def _beside(stage: StructureStage, name: str) -> str | Path | None:
    """Where the decoder's weights are that stand beside a stage's: those of TRELLIS v1 belong to its base model."""
    if name == "trellis1":
        return stage.decoder_source
    folder = Path(stage.source).expanduser() / name
    return folder if is_local_source(stage.source) and folder.is_dir() else None
