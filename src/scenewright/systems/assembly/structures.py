"""The border between a scene system and everything after it: what a structure stage is asked for and what it gives.

    SceneRequest (views, seed, options) -> StructureStage.sample_structures -> PlacedStructures -> decoder -> Scene

A structure stage is the part a paper invented: it says which voxels each object fills and where the object stands.
Decoding, finishing and placing are the same for all (`generator.py`).

Legend: N objects in the picture, W objects wanted, K views, L condition tokens, C channels, H/W picture size.
Frames: objects in [-0.5, 0.5]^3 of their own frame, world z up (docs/conventions.md).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from scenewright.geometry.camera.projection import camera_center
from scenewright.geometry.camera.upright_lines import pitch_of_upright_lines
from scenewright.progress import SILENT, Progress
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.types import Camera, ObjectMasks, View

__all__ = [
    "LayoutErrors",
    "PlacedStructures",
    "SceneRequest",
    "SizeEstimates",
    "StructureStage",
    "object_generator",
]


@dataclass(frozen=True)
class SceneRequest:
    """The views of a scene, which of their objects to make, and how.

    Attributes:
        views: with masks of the same objects in the same order (`masked_views`); the first gives the objects' masks.
        attempts: how often each object was rolled again, by name; 0 the first time. Noise of an object depends on
            (seed, name, attempt) only, so that a new attempt changes one object's noise and no other's.
        wanted: indices of the objects whose structures are to be returned; None all.
        options: as the user gave them.
    """

    views: tuple[View, ...]
    seed: int = 0
    attempts: Mapping[str, int] = field(default_factory=dict)
    wanted: tuple[int, ...] | None = None
    options: GenerateOptions = DEFAULT

    @property
    def image(self) -> Image.Image:
        """The first view's picture."""
        return self.views[0].image

    @property
    def objects(self) -> ObjectMasks:
        """The first view's masks."""
        assert self.views[0].objects is not None
        return self.views[0].objects

    @property
    def names(self) -> tuple[str, ...]:
        """The objects' names."""
        return self.objects.names

    @property
    def camera(self) -> Camera | None:
        """The first view's camera, where it is known; most systems need none."""
        camera = self.views[0].camera
        return camera if isinstance(camera, Camera) else None

    @property
    def knows_place(self) -> bool:
        """Whether the camera's place above the floor of its world (z = 0) is known."""
        return self.camera is not None and float(camera_center(self.camera)[2]) > 0

    @cached_property
    def upright_pitch(self) -> float | None:
        """The pitch by `pitch_of_upright_lines`; None also where the camera's place says it better."""
        if self.camera is None or self.knows_place:
            return None
        return pitch_of_upright_lines(self.image, self.camera.intrinsics_px.double().numpy())

    @property
    def knows_pitch(self) -> bool:
        """Whether it is known how far the camera looks down, by its place or by upright lines."""
        return self.knows_place or self.upright_pitch is not None

    @property
    def wanted_indices(self) -> tuple[int, ...]:
        """`wanted`, or the indices of all objects."""
        return tuple(range(len(self.names))) if self.wanted is None else self.wanted

    def attempt(self, index: int) -> int:
        """Number of re-rolls of an object."""
        return self.attempts.get(self.names[index], 0)

    def generator(self, index: int, stage: str) -> torch.Generator:
        """The CPU generator of one object's noise in one stage; see `object_generator`."""
        return object_generator(self.seed, self.names[index], stage, self.attempt(index))


@dataclass(frozen=True)
class LayoutErrors:
    """Usual errors of a stage's poses, as standard deviations; `layout_fit` weighs poses by them.

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
class SizeEstimates:
    """Sizes and distances of objects as the picture tells them, wherever the stage put the objects.

    Lengths are in heights of the eye above what the object stands on: they hold in any unit, and on the floor as on a
    table. Frame: the stage's world, in which the camera looks along +y, up or down.

    Attributes:
        log_lengths: logarithms of width (x), depth (y) and height, and of how far the middle is from the eye along y.
        deviations: standard deviations of those.
    """

    log_lengths: Float[Tensor, "W 4"]
    deviations: Float[Tensor, "W 4"]

    def at(self, rows: Sequence[int]) -> "SizeEstimates":
        """Those of some objects."""
        return SizeEstimates(self.log_lengths[list(rows)], self.deviations[list(rows)])

    def among(self, rows: Sequence[int], count: int) -> "SizeEstimates":
        """These as the given rows of `count` objects, of whose others nothing is known."""
        lengths, deviations = torch.zeros(count, 4), torch.full((count, 4), torch.inf)
        lengths[list(rows)], deviations[list(rows)] = self.log_lengths.float(), self.deviations
        return SizeEstimates(lengths, deviations)


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
        layout_errors: of `world_from_object`, where places are better fitted to the masks; None where they are to stay.
        solidity: how surely each cell of the grid is solid, where a stage knows more than its `coords`; the surface
            lies where this is 0, the object where it is more.
        stretches: of each object along the axes of its cube, where a stage knows better proportions than its grid's.
        sizes: what the picture tells of them, where a stage reads that; `layout_fit` heeds it.
    """

    coords: tuple[Int[Tensor, "_ 3"], ...]
    resolution: int
    world_from_object: Float[Tensor, "W 4 4"]
    tokens: Float[Tensor, "K W L C"]
    pictures: tuple[Image.Image, ...]
    camera: Camera | None = None
    confidence: tuple[float | None, ...] | None = None
    notes: tuple[str, ...] = ()
    layout_errors: LayoutErrors | None = None
    solidity: tuple[Float[Tensor, "R R R"], ...] | None = None
    stretches: Float[Tensor, "W 3"] | None = None
    sizes: SizeEstimates | None = None


@runtime_checkable
class StructureStage(Protocol):
    """The part that a scene system adds which reads masks.

    `max_views` is how many pictures of the same objects it can read; None is any number.
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
    def max_views(self) -> int | None: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def weights(self) -> Mapping[str, Path]: ...

    def sample_structures(self, request: SceneRequest, *, progress: Progress = SILENT) -> PlacedStructures:
        """Voxels and placement of the wanted objects. The same request gives the same result on the same device.

        Raises:
            InputError: the request cannot be served (no mask, picture too small).
            OutOfMemoryBudgetError: not even one object at a time fits `max_memory_bytes`.
        """
        ...


def object_generator(seed: int, name: str, stage: str, attempt: int = 0) -> torch.Generator:
    """A CPU generator that depends on nothing but its arguments, however many objects there are and in what order."""
    digest = hashlib.sha256(f"{seed}/{stage}/{attempt}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
