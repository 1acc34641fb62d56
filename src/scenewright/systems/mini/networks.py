"""The weights of mini: where they are, and the networks made from them.

    conditioner.safetensors          picture encoder and its linear map
    structure_decoder.safetensors
    scenegen.safetensors, iscene.safetensors, pixel_aligned.safetensors
    room_network.safetensors         all that GenRecon needs besides the conditioner
    shape_encoder.safetensors
    {shape,texture}_{decoder,flow}.safetensors, latent_statistics.json
    room_flow.safetensors, structure_encoder.safetensors: InSpace's coarse stage
    room_{shape,texture}_flow.safetensors: its detail stage

They ship in fp16 with the package (assets/mini) and run in fp32.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from scenewright.backbones.structure_vae import StructureDecoder, StructureEncoder
from scenewright.backbones.trellis2.latent_flow import LatentFlow
from scenewright.backbones.trellis2.shape_vae import ShapeDecoder, ShapeEncoder
from scenewright.backbones.trellis2.structure_flow import StructureFlow
from scenewright.backbones.trellis2.texture_vae import TextureDecoder
from scenewright.errors import WeightsError
from scenewright.systems.inspace.detail_flow import DetailFlow
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.systems.mini.conditioner import PictureConditioner
from scenewright.systems.mini.pixel_aligned import PixelAlignedOccupancy
from scenewright.systems.mini.proportions import ProportionsNetwork
from scenewright.systems.mini.sizes import (
    ISCENE,
    ROOM_FLOW,
    ROOM_SHAPE_FLOW,
    ROOM_TEXTURE_FLOW,
    SCENEGEN,
    SHAPE_DECODER,
    SHAPE_ENCODER,
    SHAPE_FLOW,
    STRUCTURE_VAE,
    TEXTURE_DECODER,
    TEXTURE_FLOW,
)
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow
from scenewright.systems.single_object.latent_preparation import read_statistics
from scenewright.weights.load import load_weights
from scenewright.weights.record import LatentStatistics

__all__ = [
    "LATENT_NETWORKS",
    "LatentNetworks",
    "MiniNetworks",
    "RoomNetworks",
    "detail_files",
    "genrecon_files",
    "has_weights",
    "load_detail_flow",
    "load_network",
    "mini_folder",
    "weight_files",
]

N = TypeVar("N", bound=nn.Module)
_STATISTICS = "latent_statistics.json"
_FLOWS: dict[str, Callable[[], nn.Module]] = {
    "scenegen": partial(SceneStructureFlow, SCENEGEN),
    "iscene": partial(SceneContextFlow, ISCENE),
}
_OBJECT_FLOW_OF = {"inspace": "iscene"}
"""Systems whose objects another system's flow makes."""
LATENT_NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "shape_encoder": partial(ShapeEncoder, SHAPE_ENCODER),
    "shape_decoder": partial(ShapeDecoder, SHAPE_DECODER),
    "shape_flow": partial(LatentFlow, SHAPE_FLOW),
    "texture_decoder": partial(TextureDecoder, TEXTURE_DECODER),
    "texture_flow": partial(LatentFlow, TEXTURE_FLOW),
}
"""Builder of each network behind the structure stages, by the name of its file."""


_DETAIL_SIZES = {"room_shape_flow": ROOM_SHAPE_FLOW, "room_texture_flow": ROOM_TEXTURE_FLOW}


def mini_folder() -> Path:
    """Where the package keeps mini's weights."""
    return Path(__file__).parents[2] / "assets" / "mini"


def has_weights(system: str, folder: Path | None = None) -> bool:
    """Whether a system's weights are there."""
    place = folder or mini_folder()
    others = [] if system == "genrecon" else [place / _STATISTICS]
    return all(path.is_file() for path in [*weight_files(system, place), *others])


def weight_files(system: str, folder: Path | None = None) -> list[Path]:
    """The files of all networks of a system, there or not."""
    place = folder or mini_folder()
    if system == "genrecon":
        return list(genrecon_files(place).values())
    rooms = _room_files(place).values() if system == "inspace" else ()
    return [
        *_files(_OBJECT_FLOW_OF.get(system, system), place).values(),
        *rooms,
        *(place / f"{name}.safetensors" for name in LATENT_NETWORKS),
    ]


def genrecon_files(folder: Path | None = None) -> dict[str, Path]:
    """The files of mini's GenRecon."""
    return {name: (folder or mini_folder()) / f"{name}.safetensors" for name in ("conditioner", "room_network")}


@dataclass(frozen=True)
class MiniNetworks:
    """The networks of one system, on one device."""

    conditioner: PictureConditioner
    structure_decoder: StructureDecoder
    flow: nn.Module
    pixel_aligned: PixelAlignedOccupancy
    proportions: ProportionsNetwork
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
        _check_files(files)
        loaded = partial(load_network, files, device=device)

        return cls(
            conditioner=loaded("conditioner", PictureConditioner),
            structure_decoder=loaded("structure_decoder", partial(StructureDecoder, STRUCTURE_VAE)),
            flow=loaded("structure_flow", _FLOWS[system]),
            pixel_aligned=loaded("pixel_aligned", PixelAlignedOccupancy),
            proportions=loaded("proportions", ProportionsNetwork),
            source=f"mini ({place})" if folder else "mini",
            files=files,
        )


@dataclass(frozen=True)
class LatentNetworks:
    """Autoencoder of surfaces, decoder of materials, both flows, and what their latents are normalised with."""

    shape_encoder: ShapeEncoder
    shape_decoder: ShapeDecoder
    shape_flow: LatentFlow
    texture_decoder: TextureDecoder
    texture_flow: LatentFlow
    statistics: Mapping[str, LatentStatistics]
    files: Mapping[str, Path]

    @property
    def device(self) -> torch.device:
        return next(self.shape_flow.parameters()).device

    @classmethod
    def load(cls, folder: Path | None = None, *, device: torch.device | str = "cpu") -> "LatentNetworks":
        """The networks behind a structure stage; the same for both systems.

        Raises:
            WeightsError: a file is missing, damaged, or of other sizes.
        """
        place = folder or mini_folder()
        files = {name: place / f"{name}.safetensors" for name in LATENT_NETWORKS}
        _check_files(files | {"statistics": place / _STATISTICS})
        networks: dict[str, Any] = {
            name: load_network(files, name, build, device) for name, build in LATENT_NETWORKS.items()
        }
        return cls(**networks, statistics=read_statistics(place / _STATISTICS), files=files)


@dataclass(frozen=True)
class RoomNetworks:
    """InSpace's coarse flow and the encoder of partial geometry."""

    flow: StructureFlow
    structure_encoder: StructureEncoder
    files: Mapping[str, Path]

    @classmethod
    def load(cls, folder: Path | None = None, *, device: torch.device | str = "cpu") -> "RoomNetworks":
        """The networks of whole rooms.

        Raises:
            WeightsError: a file is missing, damaged, or of other sizes.
        """
        files = _room_files(folder or mini_folder())
        _check_files(files)
        return cls(
            flow=load_network(files, "room_flow", partial(StructureFlow, ROOM_FLOW), device),
            structure_encoder=load_network(
                files, "structure_encoder", partial(StructureEncoder, STRUCTURE_VAE), device
            ),
            files=files,
        )


def _room_files(folder: Path) -> dict[str, Path]:
    return {name: folder / f"{name}.safetensors" for name in ("room_flow", "structure_encoder")}


def detail_files(folder: Path | None = None) -> dict[str, Path]:
    """The files of InSpace's detail stage, which only its presets need."""
    return {name: (folder or mini_folder()) / f"{name}.safetensors" for name in _DETAIL_SIZES}


def load_detail_flow(name: str, folder: Path | None = None, device: torch.device | str = "cpu") -> DetailFlow:
    """The flow "room_shape_flow" or "room_texture_flow".

    Raises:
        WeightsError: it is missing, damaged, or of other sizes.
    """
    return load_network(detail_files(folder), name, partial(DetailFlow, _DETAIL_SIZES[name]), device)


def _check_files(files: Mapping[str, Path]) -> None:
    for path in files.values():
        if not path.is_file():
            raise WeightsError(
                f"Mini's '{path.name}' is not in '{path.parent}'; train its weights (docs/mini.md) or use "
                "published ones."
            )


def load_network(files: Mapping[str, Path], name: str, build: Callable[[], N], device: torch.device | str = "cpu") -> N:
    """One of the files as a network, in fp32.

    Raises:
        WeightsError: it is missing, damaged, or of other sizes.
    """
    _check_files({name: files[name]})
    return load_weights(build, files[name], device=device, dtype=torch.float32)


def _files(system: str, folder: Path) -> dict[str, Path]:
    if system not in _FLOWS:
        raise ValueError(f"Mini has the systems {', '.join(_FLOWS)}, not '{system}'.")
    return {
        "conditioner": folder / "conditioner.safetensors",
        "structure_decoder": folder / "structure_decoder.safetensors",
        "structure_flow": folder / f"{system}.safetensors",
        "pixel_aligned": folder / "pixel_aligned.safetensors",
        "proportions": folder / "proportions.safetensors",
    }
