"""A structure stage with the decoder that the user chose."""

from scenewright.systems.assembly.decoding import load_decoder
from scenewright.systems.assembly.generator import SceneGenerator
from scenewright.systems.assembly.structures import StructureStage
from scenewright.systems.loading import OpenOptions

__all__ = ["with_decoder"]


def with_decoder(stage: StructureStage, options: OpenOptions) -> SceneGenerator:
    """The stage with its decoder, by default the one that it was published with.

    Raises:
        InputError: there is no such decoder, or it has no such resolution.
        WeightsError: weights are missing, damaged, or do not fit.
    """
    decoder = load_decoder(
        options.decoder or "trellis1",
        stage,
        options.decoder_weights,
        resolution=options.resolution,
        device=options.device,
        dtype=options.dtype,
        offline=options.offline,
        report=options.report,
    )
    return SceneGenerator(stage, decoder)
