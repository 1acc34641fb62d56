"""The mini weights as scene systems: a structure stage, latent stages, and everything the full systems do after."""

from pathlib import Path

import torch

from scenewright.systems.assembly.generator import SceneGenerator
from scenewright.systems.loading import OpenOptions
from scenewright.systems.mini.latent_decoder import LatentDecoder
from scenewright.systems.mini.networks import LatentNetworks, MiniNetworks
from scenewright.systems.mini.stages import MiniISceneStage, MiniSceneGenStage

__all__ = ["mini_system", "open_iscene", "open_scenegen"]

_STAGES = {stage.name: stage for stage in (MiniSceneGenStage, MiniISceneStage)}


def open_scenegen(options: OpenOptions) -> SceneGenerator:
    """SceneGen with the weights that ship with the package."""
    return mini_system("scenegen", device=options.device)


def open_iscene(options: OpenOptions) -> SceneGenerator:
    """I-Scene with the weights that ship with the package."""
    return mini_system("iscene", device=options.device)


def mini_system(
    system: str = "scenegen", folder: Path | None = None, *, device: torch.device | str = "cpu"
) -> SceneGenerator:
    """A generator with mini weights.

    Args:
        folder: with other weights of the same sizes; None is what ships with the package.

    Raises:
        WeightsError: the weights are missing, damaged, or of other sizes.
    """
    networks = MiniNetworks.load(system, folder, device=device)
    decoder = LatentDecoder(LatentNetworks.load(folder, device=device), source=networks.source)
    return SceneGenerator(_STAGES[system](networks), decoder)
