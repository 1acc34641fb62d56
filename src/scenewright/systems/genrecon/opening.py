"""GenRecon's doors: the system with its weights, and the tasks that train its flows."""

from scenewright.systems.genrecon.networks import FolderNetworks
from scenewright.systems.genrecon.system import GenReconSystem
from scenewright.systems.genrecon.training import build_latent_task, build_structure_task
from scenewright.systems.loading import OpenOptions
from scenewright.systems.task_kind import TaskKind, tensor_sets

__all__ = ["open_genrecon", "shape_task", "structure_task", "texture_task"]

_VIEWS = ("tokens", "cam_from_chunk", "intrinsics_unit")


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
        report=options.source.report,
    )
    return GenReconSystem(networks)


def structure_task() -> TaskKind:
    """Trains the structure flow on shards of latents of chunks with the encoded views of their rooms."""
    return TaskKind(build_structure_task, tensor_sets("latent", *_VIEWS))


def shape_task() -> TaskKind:
    """Trains the shape flow on shards of latents on the tokens of chunks."""
    return TaskKind(build_latent_task, tensor_sets("coords", "latent", *_VIEWS))


def texture_task() -> TaskKind:
    """Trains the texture flow on shards of both latents."""
    return TaskKind(build_latent_task, tensor_sets("coords", "latent", "shape_latent", *_VIEWS))
