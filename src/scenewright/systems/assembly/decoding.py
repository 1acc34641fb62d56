"""From voxels to raw objects, whichever backbone does it: the protocol of decoders and what they return.

    PlacedStructures -> ObjectDecoder.decode -> RawObject per object -> finishing (placing.py)

Frame: each object's own cube [-0.5, 0.5]^3, z up, as in `PlacedStructures`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import torch

from scenewright.backbones.registry import backbone, check_options
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.geometry.mesh.surface_color import AttributeField
from scenewright.progress import SILENT, Progress
from scenewright.systems.assembly.structures import PlacedStructures, StructureStage
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.types import Gaussians, Mesh
from scenewright.weights.hub import is_local_source
from scenewright.weights.source import Report

__all__ = ["Draw", "GeneratorOf", "ObjectDecoder", "RawObject", "decode_present", "load_decoder"]

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


def load_decoder(
    name: str,
    stage: StructureStage,
    source: str | Path | None = None,
    *,
    resolution: int | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    offline: bool = False,
    report: Report | None = None,
) -> ObjectDecoder:
    """A backbone's decoder for the voxels of a structure stage.

    Args:
        source: folder or repository of its weights; None is what stands beside the stage's, else the published ones.
        resolution: of backbones that have a choice.
        dtype: of the large networks; None is the published half precision on CUDA and float32 elsewhere.
        report: called with one line per network that is being loaded.

    Raises:
        InputError: there is no such backbone, or it has no such resolution.
        WeightsError: weights are missing, damaged, or do not fit.
    """
    spec = backbone(name)
    check_options(spec, {"resolution": resolution}, chosen_by="--decoder")
    plan = {} if resolution is None else {"plan": spec.resolutions[resolution]}
    made = spec.decoder_class().from_pretrained(
        source or _beside(stage, name) or spec.repository,
        device=device,
        dtype=dtype,
        offline=offline,
        report=report,
        **plan,
    )
    return cast(ObjectDecoder, made)


def _beside(stage: StructureStage, name: str) -> str | Path | None:
    """Where the decoder's weights are that stand beside a stage's: those of TRELLIS v1 belong to its base model."""
    if name == "trellis1":
        return stage.decoder_source
    folder = Path(stage.source).expanduser() / name
    return folder if is_local_source(stage.source) and folder.is_dir() else None
