"""From voxels to raw objects, whichever backbone does it: the protocol of decoders and what they return.

    PlacedStructures -> ObjectDecoder.decode -> RawObject per object -> finishing (placing.py)

Frame: each object's own cube [-0.5, 0.5]^3, z up, as in `PlacedStructures`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor

from scenewright.geometry.mesh.finish import FinishOptions
from scenewright.geometry.mesh.surface_color import AttributeField
from scenewright.progress import SILENT, Progress
from scenewright.sparse.tensor import VoxelSet
from scenewright.systems.assembly.structures import PlacedStructures
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.types import Gaussians, Mesh

__all__ = ["GeneratorOf", "ObjectDecoder", "RawObject", "packed_voxels"]

GeneratorOf = Callable[[int, str], torch.Generator]
"""The CPU generator of an object's noise, by its place among the wanted objects and the stage's name."""


@dataclass(frozen=True)
class RawObject:
    """One decoded object: its raw surface, where its texture comes from, and Gaussians where the decoder has any."""

    surface: Mesh
    field: AttributeField
    splats: Gaussians | None = None


@runtime_checkable
class ObjectDecoder(Protocol):
    """Latent flow and decoders of one backbone. `weights` is by the name to report files under."""

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def weights(self) -> Mapping[str, Path]: ...
    @property
    def finish(self) -> FinishOptions:
        """How this backbone's surfaces are finished unless the caller says otherwise."""
        ...

    def decode(
        self,
        structures: PlacedStructures,
        generator_of: GeneratorOf,
        options: GenerateOptions = DEFAULT,
        *,
        progress: Progress = SILENT,
    ) -> list[RawObject | None]:
        """The objects in the order of `structures`; None where there are no voxels or no surface.

        Raises:
            OutOfMemoryBudgetError: not even one object at a time fits the ceiling.
        """
        ...


def packed_voxels(coords: Sequence[Int[Tensor, "_ 3"]], device: torch.device | str = "cpu") -> VoxelSet:
    """The voxels of several objects as one batch, in their order."""
    rows = [torch.nn.functional.pad(xyz.int(), (1, 0), value=item) for item, xyz in enumerate(coords)]
    return VoxelSet(torch.cat(rows).to(device), len(coords))
