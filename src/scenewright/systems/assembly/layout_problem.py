"""The least-squares problem behind `layout_fit`: unknowns, residuals, and other places that are worth a try.

Legend: O objects, S outline points of all of them, U unknowns. Frame: world z up; inside, lengths are in longest sides
of the predicted scene, with its middle at 0.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from scenewright.geometry.rotation import compose_similarity
from scenewright.systems.assembly.outline import (
    ends_above,
    is_framed,
    level_axes,
    open_sides,
    outline_points,
)
from scenewright.systems.assembly.placing import moved_object
from scenewright.systems.assembly.structures import LayoutErrors, SizeEstimates
from scenewright.types import Camera, SceneObject

__all__ = ["CameraPose", "LayoutProblem", "camera_pose"]

_MAX_POINTS = 80
_COMPARED_PX = 1024
# Mean and standard deviation in degrees of what people's (and the training scenes') cameras look like.
_FOV_DEG, _PITCH_DEG = (50.0, 8.0), (22.0, 8.0)
_YAW_SIGMA = 0.05
# How far below the floor a base may be, in contact errors: nothing is there, but floors are not quite flat either.
_SUNK = 3.0
# Degrees of freedom of errors of distance and size: a few are farther off than most would say.
_TAIL = 30.0
# The same of sizes that the picture tells; and what is no length, in longest sides of the scene.
_SIZES_TAIL, _LEAST_LENGTH = 4.0, 1e-3
# A known camera's pitch is certain, but for what its calibration leaves.
_KNOWN_PITCH_SIGMA_DEG = 0.2
# How often the pitch that upright lines say is right, and how nearly; else it says nothing.
_UPRIGHT_SHARE, _UPRIGHT_SIGMA_DEG = 0.9, 0.5
# A rectangle that is off by more standard deviations than this is an outlier: its mask may be wrong.
_MASK_LIMIT = 4.0
_FIRST_PITCHES_DEG = (15.0, 27.0)
# Contacts and rectangles are looked for within margins so many times wider, one after another.
_CLOSENESS = (10.0, 3.0, 1.0)
# How likely, before its place is looked at, an object stands on another one rather than on the floor: where the other's
# mask goes on below it (it may also stand behind that), and where not. One that the other's mask frames and whose foot
# is over the other's top is on it, however far away its generator put it: of 142 such pairs in made scenes, 136 were.
_ON_WHAT_IS_BELOW, _ON_ANYTHING = 0.1, 0.02
_ON_FLOOR_NONETHELESS = 1e-7
# A foot that meets the plane of a carrier's top farther from its middle than this, in halves of that top, is not on it,
# as of what is seen through a chair's legs: with true boxes and a reach of 1, none of 23 such framed pairs in 150 made
# scenes was, and 136 of the 142 others. The margin is for boxes that are not true yet, and for feet at an edge.
_FOOT_REACH = 2.0
# Pairs of objects that are looked at together: some ten megabytes.
_MOST_PAIRS = 1_000_000


@dataclass(frozen=True)
class CameraPose:
    """A camera's place as yaw and pitch in radians, the rotation that is left of it (its roll), and the eye."""

    yaw: float
    pitch: float
    roll: Float[np.ndarray, "3 3"]
    eye: Float[np.ndarray, " 3"]


def camera_pose(camera: Camera) -> CameraPose:
    matrix = camera.cam_from_world.double().numpy()
    forward = matrix[2, :3]
    yaw, pitch = math.atan2(forward[1], forward[0]), math.asin(-max(-1.0, min(1.0, float(forward[2]))))
    roll = matrix[:3, :3] @ level_axes(yaw, pitch).T
    return CameraPose(yaw, pitch, roll, -matrix[:3, :3].T @ matrix[:3, 3])


class LayoutProblem:
    """Unknowns: yaw off the heading, pitch, eye (3), log focal length, floor; dx, dy, dz, log scale of each object."""

    num_camera = 7

    def __init__(
        self,
        objects: Sequence[SceneObject],
        errors: LayoutErrors,
        heading: float,
        known: Camera | None,
        upright_pitch: float | None = None,
        tolerance: float = 1e-8,
        sizes: SizeEstimates | None = None,
    ) -> None:
        self.objects, self.errors, self.heading, self.tolerance = objects, errors, heading, tolerance
        self.told: tuple[Float[np.ndarray, "O 4"], Float[np.ndarray, "O 4"]] | None = None
        if sizes is not None:
            self.told = sizes.log_lengths.double().numpy(), sizes.deviations.double().numpy()
        self.known_lens: Float[np.ndarray, "3 3"] | None = None
        if known is not None:
            self.known_lens = known.intrinsics_px.double().numpy() / known.width
            self.known_lens[2, 2] = 1
        pose = None if known is None else camera_pose(known)
        self.known_pose = pose if pose is not None and pose.eye[2] > 0 else None
        self.upright_pitch = upright_pitch
        self.roll = np.eye(3) if self.known_pose is None else self.known_pose.roll
        regions = [item.mask for item in objects if item.mask is not None]
        self.height, self.width = regions[0].shape
        self.rectangles = np.array([mask.box for mask in regions]) / self.width
        # Who ends at whom is looked for with margins in pixels, which fit pictures of usual size.
        factor = max(1, max(regions[0].shape) // _COMPARED_PX)
        masks = torch.stack([mask.shrunk(factor).dense() for mask in regions])

        def of_pairs(holds: Callable[[Tensor, Tensor], bool]) -> Bool[np.ndarray, "O O"]:
            places = range(len(masks))
            return np.array([[i != j and holds(masks[i], masks[j]) for j in places] for i in places])

        self.may_carry = of_pairs(ends_above)
        self.carries = self.may_carry & of_pairs(is_framed)
        # What an object stands on hides nothing of it.
        hides = torch.from_numpy(~self.carries & ~np.eye(len(masks), dtype=bool))
        self.is_open = np.array([open_sides(mask, masks[row].any(0)) for mask, row in zip(masks, hides, strict=True)])
        self._weigh_supports()

        clouds = [outline_points(item, _MAX_POINTS) for item in objects]
        low, high = np.array([cloud.min(0) for cloud in clouds]), np.array([cloud.max(0) for cloud in clouds])
        self.middle = (low.min(0) + high.max(0)) / 2
        self.length = max(float((high.max(0) - low.min(0)).max()), 1e-9)
        self.centres, self.half = (self._inside((low + high) / 2)), (high - low) / 2 / self.length
        self.local = np.concatenate(
            [self._inside(cloud) - centre for cloud, centre in zip(clouds, self.centres, strict=True)]
        )
        counts = [len(cloud) for cloud in clouds]
        self.rows, self.starts = np.repeat(np.arange(len(objects)), counts), np.cumsum([0, *counts])[:-1]
        self.num_unknowns = self.num_camera + 4 * len(objects)
        self.contact_margin = self.rectangle_margin = _CLOSENESS[0]

    def start(self, pitch: float) -> Float[np.ndarray, " U"]:
        """As predicted, seen from where the scene is about as large as in the picture."""
        focal = 0.5 / math.tan(math.radians(_FOV_DEG[0]) / 2)
        extent = max(float((self.rectangles[:, 2:].max(0) - self.rectangles[:, :2].min(0)).max()), 0.1)
        eye = -(focal / extent + 0.4) * level_axes(self.heading, pitch)[2]
        floor = float((self.centres - self.half)[:, 2].min())
        return np.concatenate([[0.0, pitch, *eye, math.log(focal), floor], np.zeros(4 * len(self.objects))])

    @property
    def first_pitches(self) -> tuple[float, ...]:
        """Radians down from level to start from."""
        if self.known_pose is not None:
            return (self.known_pose.pitch,)
        usual = tuple(np.radians(_FIRST_PITCHES_DEG))
        return usual if self.upright_pitch is None else (*usual, self.upright_pitch)

    def known(self, pose: CameraPose, floor_z: float) -> Float[np.ndarray, " U"]:
        """As predicted, under a known camera and over a known floor."""
        floor = (floor_z - self.middle[2]) / self.length
        return np.concatenate([[0.0, pose.pitch, *self._inside(pose.eye), 0.0, floor], np.zeros(4 * len(self.objects))])

    def solve(
        self, unknowns: Float[np.ndarray, " U"], is_free: Bool[np.ndarray, " U"]
    ) -> tuple[Float[np.ndarray, " U"], float]:
        """The unknowns with the free ones at their best, and what is left of the cost."""
        steps = np.concatenate(
            [[0.1, 0.1, 0.3, 0.3, 0.3, 0.2, 0.05], np.tile([0.05, 0.05, 0.05, 0.1], len(self.objects))]
        )

        def whole(free: Float[np.ndarray, " F"]) -> Float[np.ndarray, " U"]:
            result = unknowns.copy()
            result[is_free] = free
            return result

        found = scipy.optimize.least_squares(
            lambda free: self._residuals(whole(free)),
            unknowns[is_free],
            jac=lambda free: self._jacobian(whole(free), is_free),
            ftol=self.tolerance,
            max_nfev=60,
            x_scale=steps[is_free],
        )
        return whole(found.x), float(found.cost)

    def solve_closer(
        self, unknowns: Float[np.ndarray, " U"], is_free: Bool[np.ndarray, " U"]
    ) -> Float[np.ndarray, " U"]:
        """As `solve`, looking ever more closely: at contacts alone or at rectangles, too, whichever ends better."""
        self._drop_carriers_beside_feet(unknowns)
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
        moves = self._moves(unknowns)
        centres, scales = self.centres + moves[:, :3], np.exp(moves[:, 3])
        base, gap = self._bases(centres, scales)
        level = unknowns[6] if support is None else centres[support, 2] + scales[support] * self.half[support, 2]
        off = abs(base[index] - level) if support is None else gap[index, support]
        eye = unknowns[2:5]
        if off < 3 * self.errors.contact or eye[2] - max(level, base[index]) < 0.05:
            return None
        changed = unknowns.copy()
        row = changed[self.num_camera + 4 * index :][:4]
        if support is not None and self.carries[index, support]:
            # Its foot is in sight, and tells better where that is than the base of an object that was partly hidden.
            place = self._foot_on(unknowns, index, level)
            if place is None:
                return None
            factor = float(np.linalg.norm(place - eye) / np.linalg.norm(centres[index] - eye))
            half = self.half[index] * scales[index] * factor
            away = (place - eye)[:2] / max(float(np.linalg.norm((place - eye)[:2])), 1e-6)
            place[:2] += away * half[:2].mean()
            row[:3] = place + [0, 0, half[2]] - self.centres[index]
        else:
            factor = (eye[2] - level) / (eye[2] - base[index])
            row[:3] = eye + factor * (centres[index] - eye) - self.centres[index]
        row[3] += math.log(factor)
        return changed

    def _drop_carriers_beside_feet(self, unknowns: Float[np.ndarray, " U"]) -> None:
        """Objects are no longer held for carried by what frames them if their foot is clearly beside its top."""
        centres, scales = self._placed(unknowns)
        for index, carrier in np.argwhere(self.carries).tolist():
            half = self.half[carrier] * scales[carrier]
            foot = self._foot_on(unknowns, index, centres[carrier, 2] + half[2])
            if foot is None or bool((np.abs((foot - centres[carrier])[:2]) > _FOOT_REACH * half[:2]).any()):
                self.carries[index, carrier] = False
        self._weigh_supports()

    def _weigh_supports(self) -> None:
        self.support_weight = np.where(self.carries, 1.0, np.where(self.may_carry, _ON_WHAT_IS_BELOW, _ON_ANYTHING))
        self.floor_weight = np.where(self.carries.any(1), _ON_FLOOR_NONETHELESS, 1.0)

    def _foot_on(self, unknowns: Float[np.ndarray, " U"], index: int, level: float) -> Float[np.ndarray, " 3"] | None:
        """Where the line of sight to the middle of the lower side of an object's mask comes down to a level."""
        left, _, right, bottom = self.rectangles[index]
        seen = np.linalg.inv(self._lens(unknowns)) @ [(left + right) / 2, bottom, 1.0]
        eye, ray = unknowns[2:5], self._axes(unknowns).T @ seen
        return None if ray[2] > -1e-3 or eye[2] <= level else eye + ray * (level - eye[2]) / ray[2]

    def moved(self, unknowns: Float[np.ndarray, " U"]) -> list[SceneObject]:
        """The objects where the unknowns put them."""
        moves = self._moves(unknowns)
        result = []
        for item, centre, move in zip(self.objects, self.centres * self.length + self.middle, moves, strict=True):
            scale, shift = math.exp(move[3]), move[:3] * self.length
            matrix = compose_similarity(
                torch.eye(3).double(), torch.from_numpy(centre + shift - scale * centre), torch.tensor(scale).double()
            )
            result.append(moved_object(item, matrix))
        return result

    def known_world(self, unknowns: Float[np.ndarray, " U"]) -> Float[Tensor, "4 4"] | None:
        """The similarity to the known camera's world that brings eye to eye and floor to floor."""
        above = unknowns[4] - unknowns[6]
        if self.known_pose is None or above <= 0:
            return None
        scale = self.known_pose.eye[2] / (above * self.length)
        turn = self.known_pose.yaw - self.heading - unknowns[0]
        cos, sin = math.cos(turn), math.sin(turn)
        rotation = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        eye = unknowns[2:5] * self.length + self.middle
        shift = self.known_pose.eye - scale * rotation @ eye
        return compose_similarity(torch.from_numpy(rotation), torch.from_numpy(shift), torch.tensor(scale)).float()

    def floor_z(self, unknowns: Float[np.ndarray, " U"]) -> float:
        return float(unknowns[6] * self.length + self.middle[2])

    def camera(self, unknowns: Float[np.ndarray, " U"]) -> Camera:
        rotation = self._axes(unknowns)
        cam_from_world = np.eye(4)
        cam_from_world[:3, :3] = rotation
        cam_from_world[:3, 3] = -rotation @ (unknowns[2:5] * self.length + self.middle)
        lens = self._lens(unknowns) * self.width
        lens[2, 2] = 1
        return Camera(torch.from_numpy(lens).float(), torch.from_numpy(cam_from_world).float(), self.width, self.height)

    def _residuals(self, unknowns: Float[np.ndarray, "*B U"]) -> Float[np.ndarray, "*B R"]:
        moves = self._moves(unknowns)
        centres, scales = self._placed(unknowns)
        rays = self.centres - unknowns[..., None, 2:5]
        distances = np.maximum(np.linalg.norm(rays, axis=-1), 1e-6)
        rays /= distances[..., None]
        along = (moves[..., :3] * rays).sum(-1)
        across = moves[..., :3] - along[..., None] * rays
        off = self._rectangles_off(unknowns, centres, scales) / self.errors.rectangle
        limit = _MASK_LIMIT * self.rectangle_margin
        return np.concatenate(
            [
                _joined(off / np.sqrt(1 + (off / limit) ** 2)),
                _heavy_tailed(along / self.errors.along, _TAIL),
                _joined(across / self.errors.across),
                # Put too far away, an object is too large as well: what it looks like is known better than its size.
                _heavy_tailed(
                    (moves[..., 3] - np.log(np.maximum(1 + along / distances, 0.05))) / self.errors.log_size, _TAIL
                ),
                self._floating(centres, scales, unknowns[..., 6:7]),
                self._sunk(centres, scales, unknowns[..., 6:7]),
                self._sizes_off(unknowns, centres, scales),
                self._camera_off(unknowns),
            ],
            -1,
        )

    def _jacobian(self, unknowns: Float[np.ndarray, " U"], is_free: Bool[np.ndarray, " U"]) -> Float[np.ndarray, "R F"]:
        """Differences of `_residuals` over small steps of each free unknown, to the bit what SciPy's "2-point" takes.

        Only `_floating` of an object knows other objects. So all objects move at once for everything else, and the cost
        of a scene grows with its objects instead of with their square.
        """
        count, first = len(self.objects), self.num_camera
        small = np.sqrt(np.finfo(float).eps) * np.where(unknowns >= 0, 1, -1) * np.maximum(1, np.abs(unknowns))
        stepped = np.where(is_free, unknowns + small, unknowns)
        width = stepped - unknowns
        cameras, columns = np.flatnonzero(is_free[:first]), first + np.flatnonzero(is_free[first:])
        # One row as it is, one for each unknown of the camera, and one for each kind of unknown of all objects.
        rows = np.repeat(unknowns[None], 1 + len(cameras) + 4, 0)
        rows[1 + np.arange(len(cameras)), cameras] = stepped[cameras]
        rows[-4 + (columns - first) % 4, columns] = stepped[columns]
        now, *moved = self._residuals(rows)
        changes = np.stack(moved) - now
        jacobian = np.zeros((len(now), len(unknowns)))
        jacobian[:, cameras] = (changes[: len(cameras)] / width[cameras, None]).T
        # Rows as `_residuals` joins them: 4, 1, 3, 1, 1, 1 and perhaps 4 of every object, and the camera's.
        kinds = (4, 1, 3, 1, 1, 1, *([] if self.told is None else [4]))
        owners = np.concatenate([np.repeat(np.arange(count), per_object) for per_object in kinds])
        at = first + 4 * owners[:, None] + np.arange(4)
        own = changes[-4:, : len(owners)].T
        # What is not free has not moved: its change is 0, and so is the width.
        jacobian[np.arange(len(owners))[:, None], at] = own / np.where(is_free[at], width[at], 1)
        floating = slice(9 * count, 10 * count)
        for part in np.array_split(columns, max(1, len(columns) * count**2 // _MOST_PAIRS)):
            several = np.repeat(unknowns[None], len(part), 0)
            several[np.arange(len(part)), part] = stepped[part]
            change = self._floating(*self._placed(several), unknowns[6]) - now[floating]
            jacobian[floating, part] = (change / width[part, None]).T
        return jacobian[:, is_free]

    def _moves(self, unknowns: Float[np.ndarray, "*B U"]) -> Float[np.ndarray, "*B O 4"]:
        return unknowns[..., self.num_camera :].reshape(*unknowns.shape[:-1], len(self.objects), 4)

    def _placed(
        self, unknowns: Float[np.ndarray, "*B U"]
    ) -> tuple[Float[np.ndarray, "*B O 3"], Float[np.ndarray, "*B O"]]:
        """Centres of the objects' boxes, and the factors of their sizes."""
        moves = self._moves(unknowns)
        return self.centres + moves[..., :3], np.exp(np.clip(moves[..., 3], -3, 3))

    def _rectangles_off(
        self,
        unknowns: Float[np.ndarray, "*B U"],
        centres: Float[np.ndarray, "*B O 3"],
        scales: Float[np.ndarray, "*B O"],
    ) -> Float[np.ndarray, "*B O 4"]:
        """Projected minus wanted rectangle (left, top, right, bottom), in picture widths."""
        points = self.local * scales[..., self.rows, None] + centres[..., self.rows, :]
        seen = (points - unknowns[..., None, 2:5]) @ np.swapaxes(self._axes(unknowns), -1, -2)
        lens = self._lens(unknowns)
        focal = np.diagonal(lens, axis1=-2, axis2=-1)[..., None, :2]
        pixels = seen[..., :2] / np.maximum(seen[..., 2:], 0.05) * focal + lens[..., None, :2, 2]
        pixels = np.clip(pixels, -3, 4)
        low = np.minimum.reduceat(pixels, self.starts, axis=-2) - self.rectangles[:, :2]
        high = np.maximum.reduceat(pixels, self.starts, axis=-2) - self.rectangles[:, 2:]
        low = np.where(self.is_open[:, :2], np.maximum(low, 0), low)
        high = np.where(self.is_open[:, 2:], np.minimum(high, 0), high)
        return np.concatenate([low, high], -1)

    def _floating(
        self,
        centres: Float[np.ndarray, "*B O 3"],
        scales: Float[np.ndarray, "*B O"],
        floor: float | Float[np.ndarray, "*B 1"],
    ) -> Float[np.ndarray, "*B O"]:
        """Root of minus twice the log of: stands on the floor, or on another object, or anywhere."""
        base, gap = self._bases(centres, scales)
        sigma = self.errors.contact * self.contact_margin
        on_floor = self.floor_weight * np.exp(-np.minimum(((base - floor) / sigma) ** 2 / 2, 700))
        on_other = (self.support_weight * np.exp(-np.minimum((gap / sigma) ** 2 / 2, 700))).max(-1)
        anywhere = self.floor_weight * self.errors.wrong_share * sigma
        best = 1 + max(_ON_WHAT_IS_BELOW, _ON_FLOOR_NONETHELESS) + anywhere
        return np.sqrt(2 * np.log(best / (on_floor + on_other + anywhere)))

    def _sunk(
        self, centres: Float[np.ndarray, "*B O 3"], scales: Float[np.ndarray, "*B O"], floor: Float[np.ndarray, "*B 1"]
    ) -> Float[np.ndarray, "*B O"]:
        """Depth of each base below the floor, where nothing can be."""
        base = centres[..., 2] - self.half[:, 2] * scales
        return np.maximum(floor - base, 0) / (_SUNK * self.errors.contact)

    def _sizes_off(
        self,
        unknowns: Float[np.ndarray, "*B U"],
        centres: Float[np.ndarray, "*B O 3"],
        scales: Float[np.ndarray, "*B O"],
    ) -> Float[np.ndarray, "*B R"]:
        """Sides and distances against `SizeEstimates`, in their deviations; of no length where there are none."""
        if self.told is None:
            return np.zeros((*scales.shape[:-1], 0))
        log_lengths, deviations = self.told
        half = self.half * scales[..., None]
        away = centres[..., 1:2] - unknowns[..., None, 3:4]
        above = unknowns[..., 4:5] - centres[..., 2] + half[..., 2]
        lengths = np.concatenate([2 * half, away], -1) / np.maximum(above, _LEAST_LENGTH)[..., None]
        off = np.log(np.maximum(lengths, _LEAST_LENGTH)) - log_lengths
        return _joined(_heavy_tailed(off / deviations, _SIZES_TAIL))

    def _bases(
        self, centres: Float[np.ndarray, "*B O 3"], scales: Float[np.ndarray, "*B O"]
    ) -> tuple[Float[np.ndarray, "*B O"], Float[np.ndarray, "*B O O"]]:
        """Height of each object's base, and how far it is from standing on each other one's top.

        That is the difference in height, and twice how far its middle is beside that top.
        """
        half = self.half * scales[..., None]
        base, top = centres[..., 2] - half[..., 2], centres[..., 2] + half[..., 2]
        between = np.abs(centres[..., :, None, :2] - centres[..., None, :, :2])
        gap = np.abs(base[..., :, None] - top[..., None, :])
        gap += 2 * np.maximum(between - half[..., None, :, :2], 0).max(-1)
        own = np.arange(len(self.half))
        gap[..., own, own] = np.inf
        return base, gap

    def _camera_off(self, unknowns: Float[np.ndarray, "*B U"]) -> Float[np.ndarray, "*B 3"]:
        (fov, fov_sigma), (pitch, pitch_sigma) = np.radians(_FOV_DEG), np.radians(_PITCH_DEG)
        if self.known_pose is not None:
            pitch, pitch_sigma = self.known_pose.pitch, math.radians(_KNOWN_PITCH_SIGMA_DEG)
        log_focal = math.log(0.5 / math.tan(fov / 2))
        # d log f / d fov = 1 / sin(fov)
        lens = (unknowns[..., 5] - log_focal) * math.sin(fov) / fov_sigma
        pitch_off = (unknowns[..., 1] - pitch) / pitch_sigma
        if self.upright_pitch is not None:
            sigma = math.radians(_UPRIGHT_SIGMA_DEG)
            said_off = (unknowns[..., 1] - self.upright_pitch) / sigma
            said = _UPRIGHT_SHARE / sigma * np.exp(-np.minimum(said_off**2 / 2, 700))
            usual = (1 - _UPRIGHT_SHARE) / pitch_sigma * np.exp(-np.minimum(pitch_off**2 / 2, 700))
            best = _UPRIGHT_SHARE / sigma + (1 - _UPRIGHT_SHARE) / pitch_sigma
            pitch_off = np.sqrt(2 * np.log(best / (said + usual)))
        return np.stack([unknowns[..., 0] / _YAW_SIGMA, pitch_off, lens], -1)

    def _axes(self, unknowns: Float[np.ndarray, "*B U"]) -> Float[np.ndarray, "*B 3 3"]:
        """cam_from_world rotation."""
        return self.roll @ level_axes(self.heading + unknowns[..., 0], unknowns[..., 1])

    def _lens(self, unknowns: Float[np.ndarray, "*B U"]) -> Float[np.ndarray, "*B 3 3"]:
        """Intrinsics in picture widths."""
        if self.known_lens is not None:
            return np.broadcast_to(self.known_lens, (*unknowns.shape[:-1], 3, 3))
        lens = np.zeros((*unknowns.shape[:-1], 3, 3))
        lens[...] = [[0, 0, 0.5], [0, 0, 0.5 * self.height / self.width], [0, 0, 1]]
        lens[..., 0, 0] = lens[..., 1, 1] = np.exp(np.clip(unknowns[..., 5], -1.5, 2.5))
        return lens

    def _inside(self, points: Float[np.ndarray, "*B 3"]) -> Float[np.ndarray, "*B 3"]:
        return (points - self.middle) / self.length


def _heavy_tailed(off: Shaped[np.ndarray, "*B"], tail: float) -> Shaped[np.ndarray, "*B"]:
    """Roots of twice Student's negative log likelihood: as `off` where that is small, far less where it is large."""
    return np.sign(off) * np.sqrt((tail + 1) * np.log1p(off**2 / tail))


def _joined(values: Float[np.ndarray, "*B O K"]) -> Float[np.ndarray, "*B OK"]:
    return values.reshape(*values.shape[:-2], -1)
