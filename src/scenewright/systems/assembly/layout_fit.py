"""Places that agree with the picture: objects moved and scaled until they fill their masks and stand on something.

A small generator knows shapes and sizes better than places, and distances from the camera worst of all. The masks say
where an object is across the line of sight, and gravity says how far along it: most things stand on one floor. Camera,
floor and placements are adjusted together so that the sum of squares of these is least:

* the rectangle round each object's projection against the rectangle round its mask, one-sided where the mask ends at
  another mask or at the picture's border (the object may go on behind it);
* each object's move along and across the line of sight, and its change of size, in units of how far the generator is
  usually off (`LayoutErrors`);
* its sides and distance as the picture tells them, where the stage reads that (`SizeEstimates`);
* the height of each object's base above the floor or above the top of an object below it, with a loss that levels off:
  what neither stands there nor can be brought there stays where its generator put it. Nothing is below the floor, and
  what another object's mask frames stands on that object (`outline.is_framed`), if its foot is over that one's top.

Where the camera is known, its pitch, roll and lens are its own, and its height above the floor gives the scale: the
layout then has a place in the camera's world (`FittedLayout.known_world_from_world`). Where only the lens is known,
upright lines of the picture may say the pitch (`geometry.camera.upright_lines`).

Rotations stay. Source: our own; a maximum a posteriori estimate. Legend: O objects, S outline points of all of them.
Frame: world z up, camera OpenCV, level (no roll) where it is not known; inside, lengths are in longest sides of the
predicted scene.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from scenewright.samplers.config import Quality
from scenewright.systems.assembly.camera_fit import fit_camera
from scenewright.systems.assembly.layout_problem import LayoutProblem, camera_pose
from scenewright.systems.assembly.outline import (
    has_geometry,
)
from scenewright.systems.assembly.structures import LayoutErrors, SizeEstimates
from scenewright.types import Camera, SceneObject

__all__ = ["FittedLayout", "fit_layout", "fit_newcomers"]

# The gain, relative to what is left of the cost, at which a search ends. A draft's takes a tenth less time and ends
# within a hair of the same places; from 1e-5 on some objects end elsewhere (docs/mini.md).
_TOLERANCE: dict[Quality, float] = {"draft": 1e-6, "standard": 1e-8, "best": 1e-8}


@dataclass(frozen=True)
class FittedLayout:
    """Objects at better places, and the camera that sees them there.

    Attributes:
        known_world_from_world: similarity from their world to that of the camera which was known, where the floor is
            z = 0; None where there was none with a place above that floor.
        floor_z: height of the floor in their world.
    """

    objects: list[SceneObject]
    camera: Camera
    floor_z: float
    known_world_from_world: Float[Tensor, "4 4"] | None = None


def fit_layout(
    objects: Sequence[SceneObject],
    errors: LayoutErrors,
    *,
    known: Camera | None = None,
    upright_pitch: float | None = None,
    sizes: SizeEstimates | None = None,
    quality: Quality = "standard",
) -> FittedLayout | None:
    """The objects at better places.

    Args:
        objects: with their predicted places; only those with geometry and a mask move.
        known: the picture's camera in a world of its own with z up, whose floor is z = 0. Of a camera that is not above
            that floor only the lens counts.
        upright_pitch: what upright lines say of a camera of which only the lens is known (`SceneRequest`).
        sizes: of all objects, where the picture tells them.
        quality: a draft's search ends earlier.

    Returns:
        None where no object has both geometry and a mask.
    """
    places = [index for index, item in enumerate(objects) if _is_seen(item)]
    seen = [objects[index] for index in places]
    if not seen:
        return None
    heading = errors.heading
    if heading is None:
        assert seen[0].mask is not None
        height, width = seen[0].mask.shape
        camera = fit_camera(seen, (height, width), intrinsics_px=None if known is None else known.intrinsics_px)
        assert camera is not None
        heading = camera_pose(camera).yaw
    told = None if sizes is None else sizes.at(places)
    problem = LayoutProblem(seen, errors, heading, known, upright_pitch, _TOLERANCE[quality], told)
    is_camera = np.arange(problem.num_unknowns) < problem.num_camera
    firsts = [problem.start(pitch) for pitch in problem.first_pitches]
    unknowns, _ = min((problem.solve(first, is_camera) for first in firsts), key=lambda found: found[1])
    unknowns = problem.solve_closer(unknowns, np.ones_like(is_camera))
    result = list(objects)
    for index, item in zip(places, problem.moved(unknowns), strict=True):
        result[index] = item
    return FittedLayout(result, problem.camera(unknowns), problem.floor_z(unknowns), problem.known_world(unknowns))


def fit_newcomers(
    objects: Sequence[SceneObject],
    newcomers: Sequence[SceneObject],
    camera: Camera,
    errors: LayoutErrors,
    *,
    floor_z: float = 0.0,
    sizes: SizeEstimates | None = None,
) -> list[SceneObject]:
    """Newcomers at better places in a scene whose camera, floor and other objects stay as they are.

    Args:
        sizes: of all newcomers, where the picture tells them; the camera looks along +y then.
    """
    places = [index for index, item in enumerate(newcomers) if _is_seen(item)]
    if not places:
        return list(newcomers)
    present = [item for item in objects if _is_seen(item)]
    pose = camera_pose(camera)
    seen = [*present, *(newcomers[index] for index in places)]
    told = None if sizes is None else sizes.at(places).among(range(len(present), len(seen)), len(seen))
    problem = LayoutProblem(seen, errors, pose.yaw, camera, sizes=told)
    is_free = np.zeros(problem.num_unknowns, dtype=bool)
    is_free[problem.num_camera + 4 * len(present) :] = True
    unknowns = problem.solve_closer(problem.known(pose, floor_z), is_free)
    result = list(newcomers)
    for index, item in zip(places, problem.moved(unknowns)[len(present) :], strict=True):
        result[index] = item
    return result


def _is_seen(item: SceneObject) -> bool:
    return has_geometry(item) and item.mask is not None and item.mask.area > 0
