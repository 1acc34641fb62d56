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

from scenewright.backbones.trellis2.object_sampling import PlanName
from scenewright.errors import InputError
from scenewright.geometry.mesh.finish import FinishOptions
from scenewright.geometry.mesh.surface_color import AttributeField
from scenewright.progress import SILENT, Progress
from scenewright.sparse.tensor import VoxelSet
from scenewright.systems.assembly.structures import PlacedStructures, StructureStage
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.types import Gaussians, Mesh
from scenewright.weights.hub import is_local_source

__all__ = ["GeneratorOf", "ObjectDecoder", "RawObject", "load_decoder", "packed_voxels"]

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


def load_decoder(
    name: str,
    stage: StructureStage,
    source: str | Path | None = None,
    *,
    resolution: int | None = None,
    device: torch.device,
    dtype: torch.dtype | None = None,
    offline: bool = False,
    report: Callable[[str], None] | None = None,
) -> ObjectDecoder:
    """The decoder of that name with the weights that fit a stage.

    Raises:
        InputError: there is no such decoder, or it has no such resolution.
        WeightsError: weights are missing, damaged, or do not fit.
    """
    from scenewright.backbones.trellis2.weights import REPOSITORY as TRELLIS2_REPOSITORY
    from scenewright.systems.assembly.trellis1_decoder import Trellis1Decoder
    from scenewright.systems.assembly.trellis2_decoder import Trellis2Decoder

    if name not in ("trellis1", "trellis2"):
        raise InputError(f"Expected a decoder out of trellis1, trellis2, got '{name}'.")
    if name == "trellis1":
        if resolution is not None:
            raise InputError("Only the trellis2 decoder has a choice of resolution; add --decoder trellis2.")
        half = torch.float16 if device.type == "cuda" else torch.float32
        return Trellis1Decoder.from_pretrained(
            source or stage.decoder_source, device=device, dtype=dtype or half, offline=offline, report=report
        )
    if source is None and is_local_source(stage.source):
        beside = Path(stage.source).expanduser() / "trellis2"
        source = beside if beside.is_dir() else None
    plans: dict[int, PlanName] = {512: "512", 1024: "1024_cascade", 1536: "1536_cascade"}
    if resolution is not None and resolution not in plans:
        raise InputError(f"Expected a resolution of 512, 1024 or 1536, got {resolution}.")
    return Trellis2Decoder.from_pretrained(
        source or TRELLIS2_REPOSITORY,
        plan=None if resolution is None else plans[resolution],
        device=device,
        dtype=dtype,
        offline=offline,
        report=report,
    )
