"""Places that agree with the picture: objects moved and scaled until they fill their masks and stand on something.

A small generator knows shapes and sizes better than places, and distances from the camera worst of all. The masks say
where an object is across the line of sight, and gravity says how far along it: most things stand on one floor. Camera,
floor and placements are adjusted together so that the sum of squares of these is least:

* the rectangle round each object's projection against the rectangle round its mask, one-sided where the mask ends at
  another mask or at the picture's border (the object may go on behind it);
* each object's move along and across the line of sight, and its change of size, in units of how far the generator is
  usually off (`PlaceErrors`);
* the height of each object's base above the floor or above the top of an object below it, with a loss that levels off:
  what neither stands there nor can be brought there stays where its generator put it.

Rotations stay. Source: our own; a maximum a posteriori estimate. Legend: O objects, S outline points of all of them.
Frame: world z up, camera OpenCV and level (no roll); inside, lengths are in longest sides of the predicted scene.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.optimize import least_squares
from torch import Tensor

from scenewright.geometry.rotation import compose_similarity
from scenewright.systems.scene.camera_fit import fit_camera
from scenewright.systems.scene.outline import (
    ends_above,
    has_geometry,
    level_axes,
    mask_rectangle,
    open_sides,
    outline_points,
)
from scenewright.systems.scene.placing import moved_object
from scenewright.systems.scene.structures import PlaceErrors
from scenewright.types import Camera, SceneObject

__all__ = ["fit_layout", "fit_newcomers"]

_MAX_POINTS = 80
# Mean and standard deviation in degrees of what people's (and the training scenes') cameras look like.
_FOV_DEG, _PITCH_DEG = (50.0, 8.0), (22.0, 8.0)
_YAW_SIGMA = 0.05
# A rectangle that is off by more standard deviations than this is an outlier: its mask may be wrong.
_MASK_LIMIT = 4.0
_FIRST_PITCHES_DEG = (15.0, 27.0)
# Contacts and rectangles are looked for within margins so many times wider, one after another.
_CLOSENESS = (10.0, 3.0, 1.0)
# How likely, before its place is looked at, an object stands on another one rather than on the floor: where the other's
# mask goes on below it (it may also stand behind that), and where not.
_ON_WHAT_IS_BELOW, _ON_ANYTHING = 0.1, 0.02


def fit_layout(
    objects: Sequence[SceneObject],
    errors: PlaceErrors,
    *,
    intrinsics_px: Float[Tensor, "3 3"] | None = None,
) -> tuple[list[SceneObject], Camera] | None:
    """The objects at better places, and the camera that sees them there.

    Args:
        objects: with their predicted places; only those with geometry and a mask move.
        intrinsics_px: of the picture, where they are known.

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
        camera = fit_camera(seen, (height, width), intrinsics_px=intrinsics_px)
        assert camera is not None
        heading = _level_pose(camera)[0]
    problem = _Problem(seen, errors, heading, intrinsics_px)
    is_camera = np.arange(problem.num_unknowns) < problem.num_camera
    firsts = [problem.start(math.radians(pitch)) for pitch in _FIRST_PITCHES_DEG]
    unknowns, _ = min((problem.solve(first, is_camera) for first in firsts), key=lambda found: found[1])
    unknowns = problem.solve_closer(unknowns, np.ones_like(is_camera))
    result = list(objects)
    for index, item in zip(places, problem.moved(unknowns), strict=True):
        result[index] = item
    return result, problem.camera(unknowns)


def fit_newcomers(
    objects: Sequence[SceneObject],
    newcomers: Sequence[SceneObject],
    camera: Camera,
    errors: PlaceErrors,
    *,
    floor_z: float = 0.0,
) -> list[SceneObject]:
    """Newcomers at better places in a scene whose camera, floor and other objects stay as they are."""
    places = [index for index, item in enumerate(newcomers) if _is_seen(item)]
    if not places:
        return list(newcomers)
    present = [item for item in objects if _is_seen(item)]
    yaw, pitch, eye = _level_pose(camera)
    problem = _Problem([*present, *(newcomers[index] for index in places)], errors, yaw, camera.intrinsics_px)
    is_free = np.zeros(problem.num_unknowns, dtype=bool)
    is_free[problem.num_camera + 4 * len(present) :] = True
    unknowns = problem.solve_closer(problem.known(pitch, eye, floor_z), is_free)
    result = list(newcomers)
    for index, item in zip(places, problem.moved(unknowns)[len(present) :], strict=True):
        result[index] = item
    return result


class _Problem:
    """Unknowns: yaw off the heading, pitch, eye (3), log focal length, floor; dx, dy, dz, log scale of each object."""

    num_camera = 7

    def __init__(
        self,
        objects: Sequence[SceneObject],
        errors: PlaceErrors,
        heading: float,
        intrinsics_px: Float[Tensor, "3 3"] | None,
    ) -> None:
        self.objects, self.errors, self.heading = objects, errors, heading
        masks = torch.stack([item.mask for item in objects if item.mask is not None])
        self.height, self.width = masks.shape[1:]
        count = masks.sum(0)
        self.rectangles = np.array([mask_rectangle(mask) for mask in masks]) / self.width
        self.is_open = np.array([open_sides(mask, count > mask.int()) for mask in masks])
        self.may_carry = np.array(
            [[i != j and ends_above(masks[i], masks[j]) for j in range(len(masks))] for i in range(len(masks))]
        )
        self.known_lens = None if intrinsics_px is None else intrinsics_px.double().numpy() / self.width

        clouds = [outline_points(item, _MAX_POINTS) for item in objects]
        low, high = np.array([cloud.min(0) for cloud in clouds]), np.array([cloud.max(0) for cloud in clouds])
        self.middle = (low.min(0) + high.max(0)) / 2
        self.length = max(float((high.max(0) - low.min(0)).max()), 1e-9)
        self.centres, self.half = (self._inside((low + high) / 2)), (high - low) / 2 / self.length
        self.local = np.concatenate(
            [self._inside(cloud) - centre for cloud, centre in zip(clouds, self.centres, strict=True)]
        )
        sizes = [len(cloud) for cloud in clouds]
        self.rows, self.starts = np.repeat(np.arange(len(objects)), sizes), np.cumsum([0, *sizes])[:-1]
        self.num_unknowns = self.num_camera + 4 * len(objects)
        self.contact_margin = self.rectangle_margin = _CLOSENESS[0]

    def start(self, pitch: float) -> Float[np.ndarray, " U"]:
        """As predicted, seen from where the scene is about as large as in the picture."""
        focal = 0.5 / math.tan(math.radians(_FOV_DEG[0]) / 2)
        extent = max(float((self.rectangles[:, 2:].max(0) - self.rectangles[:, :2].min(0)).max()), 0.1)
        eye = -(focal / extent + 0.4) * level_axes(self.heading, pitch)[2]
        floor = float((self.centres - self.half)[:, 2].min())
        return np.concatenate([[0.0, pitch, *eye, math.log(focal), floor], np.zeros(4 * len(self.objects))])

    def known(self, pitch: float, eye: Float[np.ndarray, " 3"], floor_z: float) -> Float[np.ndarray, " U"]:
        """As predicted, under a known camera and over a known floor."""
        floor = (floor_z - self.middle[2]) / self.length
        return np.concatenate([[0.0, pitch, *self._inside(eye), 0.0, floor], np.zeros(4 * len(self.objects))])

    def solve(
        self, unknowns: Float[np.ndarray, " U"], is_free: Bool[np.ndarray, " U"]
    ) -> tuple[Float[np.ndarray, " U"], float]:
        """The unknowns with the free ones at their best, and what is left of the cost."""
        steps = np.concatenate(
            [[0.1, 0.1, 0.3, 0.3, 0.3, 0.2, 0.05], np.tile([0.05, 0.05, 0.05, 0.1], len(self.objects))]
        )

        def residuals(free: Float[np.ndarray, " F"]) -> Float[np.ndarray, " R"]:
            result = unknowns.copy()
            result[is_free] = free
            return self._residuals(result)

        found = least_squares(residuals, unknowns[is_free], max_nfev=60, x_scale=steps[is_free])
        best = unknowns.copy()
        best[is_free] = found.x
        return best, float(found.cost)

    def solve_closer(
        self, unknowns: Float[np.ndarray, " U"], is_free: Bool[np.ndarray, " U"]
    ) -> Float[np.ndarray, " U"]:
        """As `solve`, looking ever more closely: at contacts alone or at rectangles, too, whichever ends better."""
        ends = []
        for takes_rectangles in (False, True):
            found = unknowns
            for closeness in _CLOSENESS:
                self.contact_margin = closeness
                self.rectangle_margin = closeness if takes_rectangles else 1.0
                found, cost = self.solve(found, is_free)
            ends.append((cost, found))
        self.rectangle_margin = 1.0
        cost, found = min(ends, key=lambda end: end[0])
        for index in range(len(self.objects)):
            if not is_free[self.num_camera + 4 * index]:
                continue
            for support in (None, *np.flatnonzero(self.may_carry[index]).tolist()):
                other_place = self._brought_to(found, index, support)
                if other_place is not None:
                    changed, changed_cost = self.solve(other_place, is_free)
                    if changed_cost < cost:
                        cost, found = changed_cost, changed
        return found

    def _brought_to(
        self, unknowns: Float[np.ndarray, " U"], index: int, support: int | None
    ) -> Float[np.ndarray, " U"] | None:
        """The object brought to the floor (None) or on another one's top along the line of sight.

        It is scaled about the eye, so that it looks as before. None where it stands there, or the eye is too low.
        """
        moves = unknowns[self.num_camera :].reshape(-1, 4)
        centres, scales = self.centres + moves[:, :3], np.exp(moves[:, 3])
        base, gap = self._bases(centres, scales)
        level = unknowns[6] if support is None else centres[support, 2] + scales[support] * self.half[support, 2]
        off = abs(base[index] - level) if support is None else gap[index, support]
        eye = unknowns[2:5]
        if off < 3 * self.errors.contact or eye[2] - max(level, base[index]) < 0.05:
            return None
        factor = (eye[2] - level) / (eye[2] - base[index])
        changed = unknowns.copy()
        row = changed[self.num_camera + 4 * index :][:4]
        row[:3] = eye + factor * (centres[index] - eye) - self.centres[index]
        row[3] += math.log(factor)
        return changed

    def moved(self, unknowns: Float[np.ndarray, " U"]) -> list[SceneObject]:
        """The objects where the unknowns put them."""
        moves = unknowns[self.num_camera :].reshape(-1, 4)
        result = []
        for item, centre, move in zip(self.objects, self.centres * self.length + self.middle, moves, strict=True):
            scale, shift = math.exp(move[3]), move[:3] * self.length
            matrix = compose_similarity(
                torch.eye(3).double(), torch.from_numpy(centre + shift - scale * centre), torch.tensor(scale).double()
            )
            result.append(moved_object(item, matrix))
        return result

    def camera(self, unknowns: Float[np.ndarray, " U"]) -> Camera:
        rotation = level_axes(self.heading + unknowns[0], unknowns[1])
        cam_from_world = np.eye(4)
        cam_from_world[:3, :3] = rotation
        cam_from_world[:3, 3] = -rotation @ (unknowns[2:5] * self.length + self.middle)
        lens = self._lens(unknowns) * self.width
        lens[2, 2] = 1
        return Camera(torch.from_numpy(lens).float(), torch.from_numpy(cam_from_world).float(), self.width, self.height)

    def _residuals(self, unknowns: Float[np.ndarray, " U"]) -> Float[np.ndarray, " R"]:
        moves = unknowns[self.num_camera :].reshape(-1, 4)
        centres, scales = self.centres + moves[:, :3], np.exp(np.clip(moves[:, 3], -3, 3))
        rays = self.centres - unknowns[2:5]
        rays /= np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-6)
        along = (moves[:, :3] * rays).sum(1)
        across = moves[:, :3] - along[:, None] * rays
        off = self._rectangles_off(unknowns, centres, scales) / self.errors.rectangle
        limit = _MASK_LIMIT * self.rectangle_margin
        return np.concatenate(
            [
                (off / np.sqrt(1 + (off / limit) ** 2)).ravel(),
                along / self.errors.along,
                (across / self.errors.across).ravel(),
                moves[:, 3] / self.errors.log_size,
                self._floating(centres, scales, unknowns[6]),
                self._camera_off(unknowns),
            ]
        )

    def _rectangles_off(
        self, unknowns: Float[np.ndarray, " U"], centres: Float[np.ndarray, "O 3"], scales: Float[np.ndarray, " O"]
    ) -> Float[np.ndarray, "O 4"]:
        """Projected minus wanted rectangle (left, top, right, bottom), in picture widths."""
        points = self.local * scales[self.rows, None] + centres[self.rows]
        seen = (points - unknowns[2:5]) @ level_axes(self.heading + unknowns[0], unknowns[1]).T
        lens = self._lens(unknowns)
        pixels = seen[:, :2] / np.maximum(seen[:, 2:], 0.05) * lens[[0, 1], [0, 1]] + lens[:2, 2]
        pixels = np.clip(pixels, -3, 4)
        low = np.minimum.reduceat(pixels, self.starts) - self.rectangles[:, :2]
        high = np.maximum.reduceat(pixels, self.starts) - self.rectangles[:, 2:]
        low = np.where(self.is_open[:, :2], np.maximum(low, 0), low)
        high = np.where(self.is_open[:, 2:], np.minimum(high, 0), high)
        return np.concatenate([low, high], 1)

    def _floating(
        self, centres: Float[np.ndarray, "O 3"], scales: Float[np.ndarray, " O"], floor: float
    ) -> Float[np.ndarray, " O"]:
        """Root of minus twice the log of: stands on the floor, or on another object, or anywhere."""
        base, gap = self._bases(centres, scales)
        sigma = self.errors.contact * self.contact_margin
        on_floor = np.exp(-np.minimum(((base - floor) / sigma) ** 2 / 2, 700))
        weight = np.where(self.may_carry, _ON_WHAT_IS_BELOW, _ON_ANYTHING)
        on_other = (weight * np.exp(-np.minimum((gap / sigma) ** 2 / 2, 700))).max(1)
        anywhere = self.errors.wrong_share * sigma
        best = 1 + _ON_WHAT_IS_BELOW + anywhere
        return np.sqrt(2 * np.log(best / (on_floor + on_other + anywhere)))

    def _bases(
        self, centres: Float[np.ndarray, "O 3"], scales: Float[np.ndarray, " O"]
    ) -> tuple[Float[np.ndarray, " O"], Float[np.ndarray, "O O"]]:
        """Height of each object's base, and how far it is from standing on each other one's top.

        That is the difference in height, and twice how far its middle is beside that top.
        """
        half = self.half * scales[:, None]
        base, top = centres[:, 2] - half[:, 2], centres[:, 2] + half[:, 2]
        beside = np.maximum(np.abs(centres[:, None, :2] - centres[None, :, :2]) - half[None, :, :2], 0).max(2)
        gap = np.abs(base[:, None] - top[None]) + 2 * beside
        np.fill_diagonal(gap, np.inf)
        return base, gap

    def _camera_off(self, unknowns: Float[np.ndarray, " U"]) -> Float[np.ndarray, " 3"]:
        (fov, fov_sigma), (pitch, pitch_sigma) = np.radians(_FOV_DEG), np.radians(_PITCH_DEG)
        log_focal = math.log(0.5 / math.tan(fov / 2))
        # d log f / d fov = 1 / sin(fov)
        lens = (unknowns[5] - log_focal) * math.sin(fov) / fov_sigma
        return np.array([unknowns[0] / _YAW_SIGMA, (unknowns[1] - pitch) / pitch_sigma, lens])

    def _lens(self, unknowns: Float[np.ndarray, " U"]) -> Float[np.ndarray, "3 3"]:
        """Intrinsics in picture widths."""
        if self.known_lens is not None:
            return self.known_lens.copy()
        focal = math.exp(float(np.clip(unknowns[5], -1.5, 2.5)))
        return np.array([[focal, 0, 0.5], [0, focal, 0.5 * self.height / self.width], [0, 0, 1]])

    def _inside(self, points: Float[np.ndarray, "*B 3"]) -> Float[np.ndarray, "*B 3"]:
        return (points - self.middle) / self.length


def _is_seen(item: SceneObject) -> bool:
    return has_geometry(item) and item.mask is not None and bool(item.mask.any())


def _level_pose(camera: Camera) -> tuple[float, float, Float[np.ndarray, " 3"]]:
    """Yaw, pitch and position of a camera; its roll, if any, is left out."""
    matrix = camera.cam_from_world.double().numpy()
    forward = matrix[2, :3]
    yaw = math.atan2(forward[1], forward[0])
    return yaw, math.asin(-max(-1.0, min(1.0, float(forward[2])))), -matrix[:3, :3].T @ matrix[:3, 3]
