"""GenRecon's door: the system with its weights."""

from scenewright.systems.genrecon.networks import FolderNetworks
from scenewright.systems.genrecon.system import GenReconSystem
from scenewright.systems.loading import OpenOptions

__all__ = ["open_genrecon"]


def open_genrecon(options: OpenOptions) -> GenReconSystem:
    """The system with the networks of a folder.

    Raises:
        WeightsError: `options.weights` is no folder of GenRecon's weights.
    """
    networks = FolderNetworks(
        options.weights,
        device=options.device,
        dtype=options.dtype,
        offline=options.offline,
        report=options.report,
    )
    return GenReconSystem(networks)
