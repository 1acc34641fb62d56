"""The baselines' doors; retrieval needs a pack of training models."""

from pathlib import Path

from scenewright.errors import InputError
from scenewright.systems.baselines.cuboid import CuboidSystem
from scenewright.systems.baselines.poisson import PoissonSystem
from scenewright.systems.baselines.retrieval import RetrievalSystem, appearance, library_of_pack
from scenewright.systems.baselines.spec import RETRIEVAL
from scenewright.systems.loading import OpenOptions

__all__ = ["open_cuboid", "open_poisson", "open_retrieval"]


def open_cuboid(options: OpenOptions) -> CuboidSystem:
    """The cuboid baseline, which needs nothing."""
    return CuboidSystem()


def open_poisson(options: OpenOptions) -> PoissonSystem:
    """The Poisson baseline, which needs nothing."""
    return PoissonSystem()


def open_retrieval(options: OpenOptions) -> RetrievalSystem:
    """The retrieval baseline with the models of a pack: that of `options.weights`, or one beside the test scenes.

    Raises:
        InputError: there is no pack.
    """
    pack = _model_pack(options)
    cache = options.work / "retrieval_library.npz" if options.work is not None else None
    progress = options.progress.stage("pictures of the training models")
    return RetrievalSystem(library_of_pack(pack, appearance, cache=cache, progress=progress), appearance)


def _model_pack(options: OpenOptions) -> Path:
    if options.weights != RETRIEVAL.name:
        pack = Path(options.weights)
        if not pack.exists():
            raise InputError(f"Model pack '{pack}' does not exist; give --weights the zip or folder of a model pack.")
        return pack
    above = [options.scenes.resolve(), *options.scenes.resolve().parents][:4] if options.scenes is not None else []
    for folder in above:
        found = sorted(folder.glob("*pack*.zip"))
        if found:
            return found[0]
    raise InputError(
        "The retrieval baseline needs a pack of training models, and there is none beside the test scenes; "
        "give its zip or folder with --weights."
    )
