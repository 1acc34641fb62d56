"""The border between a scene system and everything after it: what a structure stage is asked for and what it gives.

    SceneRequest (picture, masks, seed) -> StructureStage.sample_structures -> PlacedStructures -> decoder -> Scene

A structure stage is the part a paper invented: it says which voxels each object fills and where the object stands.
Decoding, finishing and placing are the same for all (`generator.py`).

Legend: N objects in the picture, W objects wanted, K views, L condition tokens, C channels, H/W picture size.
Frames: objects in [-0.5, 0.5]^3 of their own frame, world z up (docs/conventions.md).
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor

from scenewright.systems.assembly.views import SceneView
from scenewright.types import Camera

__all__ = [
    "MultiViewStage",
    "PlaceErrors",
    "PlacedStructures",
    "SceneRequest",
    "StageProgress",
    "StructureStage",
    "object_generator",
]

StageProgress = Callable[[str, float], None]
"""Called with a stage's name and the fraction of it that is done."""


@dataclass(frozen=True)
class SceneRequest:
    """One picture and the objects to make from it.

    Attributes:
        image: the whole picture, RGB, upright.
        masks: at the picture's size, at least one, none empty; they may overlap (`exclusive_masks` of the caller).
        names: distinct, one per mask.
        attempts: how often each object was rolled again; 0 the first time. Noise of an object depends on (seed, name,
            attempt) only, so that a new attempt changes one object's noise and no other's.
        wanted: indices of the objects whose structures are to be returned; None all.
        steps, guidance_strength: of the structure sampler; None is what is published with the weights.
        max_memory_bytes: ceiling of the memory in use on the device, weights included; None is no ceiling.
        camera: of the picture, where it is known; most systems need none.
        further_views: other pictures of the same objects, in the order of `names`; only a `MultiViewStage` takes them.
    """

    image: Image.Image
    masks: Bool[Tensor, "N H W"]
    names: tuple[str, ...]
    seed: int = 0
    attempts: tuple[int, ...] | None = None
    wanted: tuple[int, ...] | None = None
    steps: int | None = None
    guidance_strength: float | None = None
    max_memory_bytes: int | None = None
    camera: Camera | None = None
    further_views: tuple[SceneView, ...] = ()

    @property
    def wanted_indices(self) -> tuple[int, ...]:
        """`wanted`, or the indices of all objects."""
        return tuple(range(len(self.names))) if self.wanted is None else self.wanted

    def generator(self, index: int, stage: str) -> torch.Generator:
        """The CPU generator of one object's noise in one stage; see `object_generator`."""
        attempt = self.attempts[index] if self.attempts is not None else 0
        return object_generator(self.seed, self.names[index], stage, attempt)


@dataclass(frozen=True)
class PlaceErrors:
    """How far a stage's places are usually off, as standard deviations; what `layout_fit` weighs them by.

    Attributes:
        along, across: of an object's middle along the line of sight and across it, in longest sides of the scene.
        log_size: of the logarithm of an object's size.
        rectangle: of a side of the rectangle around an object's mask, in widths of the picture.
        contact: of an object's base above what it stands on, in longest sides of the scene.
        wrong_share: how much rarer than one that stands, per `contact`, an object is that hangs anywhere.
        heading: where the camera looks in the ground plane of the stage's world, from +x to +y in radians, if known.
    """

    along: float = 0.10
    across: float = 0.05
    log_size: float = 0.15
    rectangle: float = 0.01
    contact: float = 0.01
    wrong_share: float = 0.1
    heading: float | None = None


@dataclass(frozen=True)
class PlacedStructures:
    """Voxels and placement of the wanted objects, in the order of `SceneRequest.wanted_indices`.

    Attributes:
        coords: occupied voxels (x, y, z) of each object on a grid of `resolution` over [-0.5, 0.5]^3 of its own frame,
            lexicographic, int32. An object that was not found has none; it is reported and left out of the scene.
        world_from_object: similarity from each object's cube to the world, z up. Where all objects are generated in
            place, this is the identity for each.
        tokens: what the latent flow of TRELLIS v1 is conditioned on, per view and object.
        pictures: each object on black, the square crop that `tokens` were made from, at its own size, RGB; decoders
            with an image encoder of their own (TRELLIS.2) read it.
        camera: where the stage knows or predicts it, in the same world; else None.
        confidence: in [0, 1] per object, or None.
        notes: sentences for the user about what was found (warnings).
        place_errors: of `world_from_object`, where places are better fitted to the masks; None where they are to stay.
    """

    coords: tuple[Int[Tensor, "_ 3"], ...]
    resolution: int
    world_from_object: Float[Tensor, "W 4 4"]
    tokens: Float[Tensor, "K W L C"]
    pictures: tuple[Image.Image, ...]
    camera: Camera | None = None
    confidence: tuple[float | None, ...] | None = None
    notes: tuple[str, ...] = ()
    place_errors: PlaceErrors | None = None


@runtime_checkable
class StructureStage(Protocol):
    """What a scene system implements.

    `source` is the folder or repository the networks came from, `weights` the files by the name to report them under,
    `decoder_source` where the decoders of TRELLIS v1 are that fit (often the same folder).
    """

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def decoder_source(self) -> str: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def weights(self) -> Mapping[str, Path]: ...

    def sample_structures(self, request: SceneRequest, *, progress: StageProgress | None = None) -> PlacedStructures:
        """Voxels and placement of the wanted objects. The same request gives the same result on the same device.

        Raises:
            InputError: the request cannot be served (no mask, picture too small).
            OutOfMemoryBudgetError: not even one object at a time fits `max_memory_bytes`.
        """
        ...


@runtime_checkable
class MultiViewStage(StructureStage, Protocol):
    """A structure stage that reads several pictures of the same objects."""

    def sample_views(self, request: SceneRequest, *, progress: StageProgress | None = None) -> PlacedStructures:
        """As `sample_structures`, from the request's picture and its `further_views`."""
        ...


def object_generator(seed: int, name: str, stage: str, attempt: int = 0) -> torch.Generator:
    """A CPU generator that depends on nothing but its arguments, however many objects there are and in what order."""
    digest = hashlib.sha256(f"{seed}/{stage}/{attempt}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
