"""The mini preset as a scene system: a structure stage, latent stages, and everything the full systems do after."""

from pathlib import Path
from typing import Literal

import torch

from scenewright.systems.assembly.generator import SceneGenerator
from scenewright.systems.assembly.structures import StructureStage
from scenewright.systems.mini.latent_decoder import LatentDecoder
from scenewright.systems.mini.networks import LatentNetworks, MiniNetworks
from scenewright.systems.mini.stages import MiniISceneStage, MiniSceneGenStage

__all__ = ["mini_system"]


def mini_system(
    system: Literal["scenegen", "iscene"] = "scenegen",
    folder: Path | None = None,
    *,
    device: torch.device | str = "cpu",
) -> SceneGenerator:
    """A generator with the preset's weights.

    Args:
        folder: with other weights of the same sizes; None is what ships with the package.

    Raises:
        WeightsError: the weights are missing, damaged, or of other sizes.
    """
    networks = MiniNetworks.load(system, folder, device=device)
    stage: StructureStage = MiniISceneStage(networks) if system == "iscene" else MiniSceneGenStage(networks)
    return SceneGenerator(stage, LatentDecoder(LatentNetworks.load(folder, device=device), source=networks.source))
