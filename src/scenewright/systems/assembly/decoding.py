"""From voxels to raw objects, whichever backbone does it: the protocol of decoders and what they return.

    PlacedStructures -> ObjectDecoder.decode -> RawObject per object -> finishing (placing.py)

Frame: each object's own cube [-0.5, 0.5]^3, z up, as in `PlacedStructures`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.geometry.mesh.surface_color import AttributeField
from scenewright.progress import SILENT, Progress
from scenewright.systems.assembly.structures import PlacedStructures
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.types import Gaussians, Mesh

__all__ = ["Draw", "GeneratorOf", "ObjectDecoder", "RawObject", "decode_present"]

Draw = Callable[[str], torch.Generator]
"""The CPU generator of one object's noise in a stage, by the stage's name."""

GeneratorOf = Callable[[int, str], torch.Generator]
"""The CPU generator of an object's noise, by its index among the wanted objects and the stage's name."""


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
        """The finishing of this backbone's surfaces unless the caller says otherwise."""
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


def decode_present(
    structures: PlacedStructures, decode: Callable[[list[int]], Sequence[RawObject | None]]
) -> list[RawObject | None]:
    """Results of `decode` for the objects that have voxels, by their indices, in the order of `structures`."""
    present = [index for index, xyz in enumerate(structures.coords) if len(xyz)]
    decoded = dict(zip(present, decode(present) if present else (), strict=True))
    return [decoded.get(index) for index in range(len(structures.coords))]
