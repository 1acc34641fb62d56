"""The input of InSpace: one panorama with distances, turned to its walls and put to scale, and what follows from it.

    Panorama -> squared (turned so that walls lie along the axes) -> room_input (faces, partial geometry, frame)

Published rooms stand along the axes and their ceilings are cut off. Of a user's panorama we estimate the heading of
the walls, the height of the camera, and the ceiling from the distances; each can be given instead, and what was
estimated or assumed is noted. The picture is turned together with the distances (the published demo turns points only).

Legend: H, W picture size, h, w size of the distance map. Frame: world axes around the camera (`room_frame`).
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.camera.cubemap import wide_cube_faces
from scenewright.systems.inspace.partial_geometry import PartialGeometry, PointFilters, occupancy_of_panorama
from scenewright.systems.inspace.room_frame import RoomFrame, depth_points

__all__ = [
    "Panorama",
    "PanoramaSettings",
    "RoomInput",
    "camera_height",
    "ceiling_height",
    "rolled",
    "room_input",
    "wall_heading",
]

_VERTICAL = 0.35
"""Surfaces whose normal rises less than this are walls, those whose normal rises more than 0.9 floor or ceiling."""
_LEVEL = 0.9
_BIN_M = 0.03
_MIN_SIDE_PX = 32


@dataclass(frozen=True)
class Panorama:
    """An equirectangular picture whose centre looks along +y, and the distance along each ray (0 or NaN: unknown).

    Raises:
        InputError: picture or distances are not twice as wide as high, or too small.
    """

    rgb: UInt8[Tensor, "H W 3"]
    distance_m: Float[Tensor, "h w"] | None = None

    def __post_init__(self) -> None:
        for name, pixels in (("panorama", self.rgb), ("depth panorama", self.distance_m)):
            if pixels is None:
                continue
            height, width = pixels.shape[:2]
            if width != 2 * height:
                raise InputError(
                    f"Expected a 2:1 equirectangular {name}, got {width}x{height} ({width / height:.2f}:1); "
                    "crop or pad it."
                )
            if height < _MIN_SIDE_PX:
                raise InputError(
                    f"Expected a {name} of at least {2 * _MIN_SIDE_PX}x{_MIN_SIDE_PX} pixels, got {width}x{height}."
                )


@dataclass(frozen=True)
class PanoramaSettings:
    """Choices that put a panorama to scale; None is estimated from the distances.

    Attributes:
        heading: of the walls, counter-clockwise from above from the panorama's centre, radians; 0 keeps the panorama.
        camera_height_m: distances are scaled so that the camera stands so high.
        ceiling_cut_m: how far below the ceiling the room is cut (`PointFilters.ceiling_cut_m` beneath the highest
            point); 0 keeps the ceiling, which the networks have not seen.
        face_size: side of the cube faces in pixels.
        assumed_side_m: largest side of the room where there are no distances.
    """

    heading: float | None = None
    camera_height_m: float | None = None
    ceiling_cut_m: float = 0.2
    filters: PointFilters = field(default_factory=lambda: PointFilters(outlier_ratio=2.0))
    face_size: int = 512
    assumed_side_m: float = 5.0
    assumed_camera_height_m: float = 1.5


@dataclass(frozen=True)
class RoomInput:
    """Everything the networks read of a panorama, and how its room lies in the world around the camera.

    Attributes:
        panorama: turned and scaled.
        faces: six cube faces of 120 degrees.
        voxels: occupied coarse cells (partial geometry); None where there are no distances.
        camera: position of the panorama in the cube.
        camera_height_m, ceiling_m: heights above the floor; the ceiling is None where it is not seen.
        heading: by which the given panorama was turned.
        notes: what was estimated or assumed.
    """

    panorama: Panorama
    faces: UInt8[Tensor, "6 S S 3"]
    voxels: Int[Tensor, "V 3"] | None
    frame: RoomFrame
    camera: Float[Tensor, " 3"]
    camera_height_m: float
    ceiling_m: float | None
    heading: float
    notes: tuple[str, ...] = ()


def room_input(panorama: Panorama, settings: PanoramaSettings = PanoramaSettings()) -> RoomInput:
    """Faces, partial geometry and frame of a panorama.

    Raises:
        InputError: the distances show no room.
    """
    notes = list(_seam_notes(panorama.rgb))
    heading = settings.heading or 0.0
    if panorama.distance_m is not None and settings.heading is None:
        heading = wall_heading(panorama.distance_m)
        notes.append(f"The walls' heading was estimated: turned by {math.degrees(heading):.1f} degrees.")
    panorama = rolled(panorama, heading)
    faces = wide_cube_faces(panorama.rgb.float(), settings.face_size).round().clamp(0, 255).byte()
    distance = panorama.distance_m
    if distance is None:
        return _assumed_room(panorama, faces, settings, heading, notes)
    height = camera_height(distance)
    if settings.camera_height_m is not None and height is not None:
        distance, height = distance * (settings.camera_height_m / height), settings.camera_height_m
        panorama = replace(panorama, distance_m=distance)
    if height is None:
        height = settings.camera_height_m or settings.assumed_camera_height_m
        notes.append(f"No floor was found in the distances; the camera was taken to stand {height:.2f} m high.")
    ceiling = ceiling_height(distance)
    filters = settings.filters
    if ceiling is not None and settings.ceiling_cut_m > 0:
        # The published cut is below the highest point, which an outlier can lift; ours is below the ceiling found.
        low, high = (-1e3, -1e3, -1e3), (1e3, 1e3, ceiling - settings.ceiling_cut_m)
        filters = replace(filters, crop=filters.crop or (low, high))
    elif settings.ceiling_cut_m > 0:
        filters = replace(filters, ceiling_cut_m=settings.ceiling_cut_m)
    geometry: PartialGeometry = occupancy_of_panorama(distance, filters)
    top = None if ceiling is None else ceiling + height
    camera = geometry.camera.float()
    return RoomInput(panorama, faces, geometry.voxels, geometry.frame, camera, height, top, heading, tuple(notes))


def rolled(panorama: Panorama, heading: float) -> Panorama:
    """The panorama whose centre looks along what was `heading` (radians, counter-clockwise from above).

    Picture and distances move by whole pixels of their own.
    """

    def turned(pixels: Tensor) -> Tensor:
        return pixels.roll(round(heading / (2 * math.pi) * pixels.shape[1]), 1)

    distance = panorama.distance_m
    return Panorama(turned(panorama.rgb), None if distance is None else turned(distance))


def wall_heading(distance_m: Float[Tensor, "h w"]) -> float:
    """Heading in [-pi/4, pi/4) to which the walls are closest to being parallel or square; 0 where there are none.

    The mean of exp(4 i azimuth) over the normals of upright surfaces, weighted by area, has that heading times four.
    """
    normals, areas = _normals(distance_m)
    is_wall = (normals[..., 2].abs() < _VERTICAL) & (areas > 0)
    azimuth = torch.atan2(normals[..., 1], normals[..., 0])[is_wall]
    if not len(azimuth):
        return 0.0
    weights = areas[is_wall]
    mean = torch.complex((weights * (4 * azimuth).cos()).sum(), (weights * (4 * azimuth).sin()).sum())
    return float(mean.angle()) / 4


def camera_height(distance_m: Float[Tensor, "h w"]) -> float | None:
    """Height of the camera above the largest level surface below it, or None where there is none."""
    level = _level_of(distance_m, below=True)
    return None if level is None else -level


def ceiling_height(distance_m: Float[Tensor, "h w"]) -> float | None:
    """Height of the largest level surface above the camera, over the camera, or None where there is none."""
    return _level_of(distance_m, below=False)


def _level_of(distance_m: Float[Tensor, "h w"], *, below: bool) -> float | None:
    """The height at which level surfaces below (or above) the camera have most area."""
    normals, areas = _normals(distance_m)
    heights = depth_points(distance_m)[..., 2]
    level = (normals[..., 2].abs() > _LEVEL) & (areas > 0) & (heights < -0.3 if below else heights > 0.3)
    values, weights = heights[level].numpy(), areas[level].numpy()
    if len(values) < 20:
        return None
    counts, edges = np.histogram(values, np.arange(values.min(), values.max() + 2 * _BIN_M, _BIN_M), weights=weights)
    smooth = np.convolve(counts, np.ones(3), "same")
    middle = edges[int(smooth.argmax())] + _BIN_M / 2
    near = np.abs(values - middle) < 2 * _BIN_M
    return float(np.average(values[near], weights=weights[near]))


def _normals(distance_m: Float[Tensor, "h w"]) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"]]:
    """Unit normals from neighbouring points, and the area a pixel covers; area 0 across edges and unknown distances."""
    points = depth_points(distance_m)
    valid = torch.isfinite(distance_m) & (distance_m > 0)
    right, down = points.roll(-1, 1) - points, points.roll(-1, 0) - points
    cross = torch.linalg.cross(right, down)
    areas = cross.norm(dim=-1)
    # Two neighbours whose distances differ by a tenth belong to different surfaces.
    distance = torch.where(valid, distance_m, 1.0).double()
    smooth = valid & valid.roll(-1, 1) & valid.roll(-1, 0)
    for axis in (0, 1):
        smooth &= (distance.roll(-1, axis) / distance - 1).abs() < 0.1
    smooth[-1] = False
    return F.normalize(cross, dim=-1), torch.where(smooth, areas, 0.0)


def _seam_notes(rgb: UInt8[Tensor, "H W 3"]) -> list[str]:
    """A sentence for each fault of a picture that should close around and at the poles."""
    pixels, notes = rgb.float(), []
    across = (pixels[:, 0] - pixels[:, -1]).abs().mean()
    within = (pixels[:, 1:] - pixels[:, :-1]).abs().mean()
    if across > 20 + 4 * within:
        notes.append("The left and right edge of the panorama do not match; is it a full 360 degree picture?")
    for name, rows in (("top", pixels[: len(pixels) // 16]), ("bottom", pixels[-(len(pixels) // 16) :])):
        if rows.max() < 8:
            notes.append(f"The {name} of the panorama is black; what is there cannot be seen.")
    return notes


def _assumed_room(
    panorama: Panorama, faces: UInt8[Tensor, "6 S S 3"], settings: PanoramaSettings, heading: float, notes: list[str]
) -> RoomInput:
    """A frame of the assumed size around the camera, whose floor is the assumed height below it."""
    side, height = settings.assumed_side_m, settings.camera_height_m or settings.assumed_camera_height_m
    notes.append(
        f"There are no distances: the room was taken to be {side:g} m wide, with the camera {height:g} m high in its "
        "middle."
    )
    frame = RoomFrame((0.0, 0.0, side / 2 - height), 1 / side)
    camera = frame.to_cube(torch.zeros(3, dtype=torch.float64)).float()
    return RoomInput(panorama, faces, None, frame, camera, height, None, heading, tuple(notes))
