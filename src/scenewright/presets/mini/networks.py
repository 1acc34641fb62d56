"""The weights of the mini preset: where they are, and the networks made from them.

    conditioner.safetensors          picture encoder and its linear map
    structure_decoder.safetensors
    scenegen.safetensors, iscene.safetensors

They ship in fp16 with the package (assets/mini) and run in fp32.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from scenewright.backbones.structure_vae import StructureDecoder
from scenewright.errors import WeightsError
from scenewright.presets.mini.conditioner import PictureConditioner
from scenewright.presets.mini.sizes import ISCENE, SCENEGEN, STRUCTURE_VAE
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow
from scenewright.weights.load import load_weights

__all__ = ["MiniNetworks", "has_weights", "mini_folder"]

_FLOWS = {"scenegen": partial(SceneStructureFlow, SCENEGEN), "iscene": partial(SceneContextFlow, ISCENE)}


def mini_folder() -> Path:
    """Where the package keeps the preset's weights."""
    return Path(__file__).parents[2] / "assets" / "mini"


def has_weights(system: str, folder: Path | None = None) -> bool:
    """Whether a system's weights are there."""
    return all(path.is_file() for path in _files(system, folder or mini_folder()).values())


@dataclass(frozen=True)
class MiniNetworks:
    """What one system needs, on one device."""

    conditioner: PictureConditioner
    structure_decoder: StructureDecoder
    flow: nn.Module
    source: str
    files: dict[str, Path]

    @property
    def device(self) -> torch.device:
        return self.conditioner.mean.device

    @classmethod
    def load(cls, system: str, folder: Path | None = None, *, device: torch.device | str = "cpu") -> "MiniNetworks":
        """The networks of "scenegen" or "iscene".

        Raises:
            WeightsError: a file is missing, damaged, or of other sizes.
        """
        place = folder or mini_folder()
        files = _files(system, place)
        for path in files.values():
            if not path.is_file():
                raise WeightsError(
                    f"The mini preset's '{path.name}' is not in '{path.parent}'; this build of the package ships no "
                    f"weights for {system}. Train them (docs/mini.md) or use the published ones."
                )

        def loaded(build, name):
            return load_weights(build, files[name], device=device, dtype=torch.float32)

        return cls(
            conditioner=loaded(PictureConditioner, "conditioner"),
            structure_decoder=loaded(partial(StructureDecoder, STRUCTURE_VAE), "structure_decoder"),
            flow=loaded(_FLOWS[system], "structure_flow"),
            source=f"mini ({place})" if folder else "mini",
            files=files,
        )


def _files(system: str, folder: Path) -> dict[str, Path]:
    if system not in _FLOWS:
        raise ValueError(f"The mini preset has the systems {', '.join(_FLOWS)}, not '{system}'.")
    return {
        "conditioner": folder / "conditioner.safetensors",
        "structure_decoder": folder / "structure_decoder.safetensors",
        "structure_flow": folder / f"{system}.safetensors",
    }
