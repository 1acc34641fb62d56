"""Options of generation: one type, made at the door and handed through to samplers and finishing."""

import math
from dataclasses import dataclass, field

from scenewright.errors import InputError
from scenewright.geometry.mesh.finish_options import FinishOverride
from scenewright.samplers.config import SamplingOverride

__all__ = ["DEFAULT", "GenerateOptions", "RoomOverride"]

_MOST_M = 1000.0


@dataclass(frozen=True)
class RoomOverride:
    """Facts of a panorama's room that a user knows; None is estimated from its distances, or assumed without any.

    Attributes:
        heading: of the walls, counter-clockwise from above from the panorama's centre, radians; 0 keeps the panorama.
        camera_height_m: distances are scaled so that the camera stands so high.
        floor_m: level of the floor below the camera, in the distances as they are given.
        extent_m: from the camera to the left, back, right and front wall of the turned room, metres.

    Raises:
        InputError: a room cannot have that; all ways to say what is known of one come through here.
    """

    heading: float | None = None
    camera_height_m: float | None = None
    floor_m: float | None = None
    extent_m: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.heading is not None and not math.isfinite(self.heading):
            raise InputError(f"Expected the heading as a finite number of degrees, got {self.heading:g}.")
        for name, value in (("camera height", self.camera_height_m), ("floor", self.floor_m)):
            if value is not None and not 0 < value <= _MOST_M:
                raise InputError(
                    f"Expected the {name} in metres below the camera, a number above 0 and up to {_MOST_M:g}, "
                    f"got {value:g}."
                )
        if self.extent_m is not None and not all(0 < side <= _MOST_M for side in self.extent_m):
            sides = ", ".join(f"{side:g}" for side in self.extent_m)
            raise InputError(
                f"Expected an extent of four distances above 0 and up to {_MOST_M:g} m, from the camera to the left, "
                f"back, right and front wall, got {sides}."
            )


@dataclass(frozen=True)
class GenerateOptions:
    """Choices of a user; defaults are what the weights were published with.

    Attributes:
        sampling: of every sampler; guidance of the structure and latent stages alone.
        max_memory_bytes: ceiling of the memory in use on the device, weights included; None is no ceiling.
        settle: rest the objects on the floor and out of each other.
        fit_layout: move objects into their masks and onto the floor (`assembly.layout_fit`); None is what the system
            asks for.
        finish: of every object's surface and textures.
        room: what is known of the room of a panorama.
        preset: a named set of a system's own options (`SystemSpec.presets`); None is what the system was opened with.
    """

    sampling: SamplingOverride = field(default_factory=SamplingOverride)
    max_memory_bytes: int | None = None
    settle: bool = False
    fit_layout: bool | None = None
    finish: FinishOverride = field(default_factory=FinishOverride)
    room: RoomOverride = field(default_factory=RoomOverride)
    preset: str | None = None


DEFAULT = GenerateOptions()
