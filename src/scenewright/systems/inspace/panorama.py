"""The input of InSpace: one panorama with distances, turned to its walls and put to scale, and what follows from it.

    Panorama -> squared (turned so that walls lie along the axes) -> room_input (faces, partial geometry, frame)

Published rooms stand along the axes and their ceilings are cut off. Of a user's panorama we estimate the heading of
the walls, the height of the camera, and the ceiling from the distances; each can be given instead, and what was
estimated or assumed is noted. The picture is turned together with the distances (the published demo turns points only).

Legend: H, W picture size, h, w size of the distance map. Frame: world axes around the camera (`room_frame`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.camera.cubemap import wide_cube_faces
from scenewright.io.ply import vertex_ply_bytes
from scenewright.systems.inspace.partial_geometry import PartialGeometry, PointFilters, occupancy_of_panorama
from scenewright.systems.inspace.room_frame import RoomFrame, depth_points, depth_rays
from scenewright.systems.options import RoomOverride

__all__ = [
    "Panorama",
    "PanoramaSettings",
    "RoomInput",
    "camera_height",
    "ceiling_height",
    "colored_points",
    "rolled",
    "room_input",
    "wall_heading",
    "wall_squareness",
]

_VERTICAL = 0.35
"""Surfaces whose normal rises less than this are walls, those whose normal rises more than 0.9 floor or ceiling."""
_LEVEL = 0.9
_BIN_M = 0.03
_MIN_SIDE_PX = 32
# No room is so large; millimetres are.
_FARTHEST_MEDIAN_M = 50.0
_LARGE_ROOM_M = 30.0


@dataclass(frozen=True)
class Panorama:
    """An equirectangular picture whose centre looks along +y, and the distance along each ray (0 or NaN: unknown).

    Attributes:
        has_scale: distances are metres; else they are right up to a common factor.
        notes: where the distances come from, for people.

    Raises:
        InputError: picture or distances are not twice as wide as high, or too small.
    """

    rgb: UInt8[Tensor, "H W 3"]
    distance_m: Float[Tensor, "h w"] | None = None
    has_scale: bool = True
    notes: tuple[str, ...] = ()

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
    """Choices that put a panorama to scale.

    Attributes:
        known: what is known of the room; the rest is estimated from the distances, or assumed.
        ceiling_cut_m: how far below the ceiling the room is cut (`PointFilters.ceiling_cut_m` beneath the highest
            point); 0 keeps the ceiling, which the networks have not seen.
        face_size: side of the cube faces in pixels.
        assumed_side_m: largest side of the room where there are no distances.
        max_width, max_depth_width: larger panoramas and distance maps are reduced to this width.
    """

    known: RoomOverride = field(default_factory=RoomOverride)
    ceiling_cut_m: float = 0.2
    filters: PointFilters = field(default_factory=lambda: PointFilters(outlier_ratio=2.0))
    face_size: int = 512
    assumed_side_m: float = 5.0
    assumed_camera_height_m: float = 1.5
    max_width: int = 8192
    max_depth_width: int = 2048


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
        origins: for "heading", "camera_height", "ceiling" and "extent", whether it was given, estimated or assumed.
        notes: what was estimated or assumed, for people.
    """

    panorama: Panorama
    faces: UInt8[Tensor, "6 S S 3"]
    voxels: Int[Tensor, "V 3"] | None
    frame: RoomFrame
    camera: Float[Tensor, " 3"]
    camera_height_m: float
    ceiling_m: float | None
    heading: float
    origins: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def is_metric(self) -> bool:
        """Whether the room's size is known: from distances in metres, or from the camera's height."""
        has_scale = self.panorama.has_scale or self.origins.get("camera_height") == "given"
        return self.panorama.distance_m is not None and has_scale

    @property
    def facts(self) -> dict[str, Any]:
        """Plain JSON data: heading, heights and size of the room, and where each comes from."""
        return {
            "heading_deg": round(math.degrees(self.heading), 2),
            "camera_height_m": round(self.camera_height_m, 3),
            "ceiling_m": None if self.ceiling_m is None else round(self.ceiling_m, 3),
            "largest_side_m": round(1 / self.frame.scale, 3),
            "occupied_cells": None if self.voxels is None else len(self.voxels),
            "origins": dict(self.origins),
        }


def room_input(panorama: Panorama, settings: PanoramaSettings = PanoramaSettings()) -> RoomInput:
    """Faces, partial geometry and frame of a panorama.

    Raises:
        InputError: the distances show no room.
    """
    known, notes = settings.known, list(panorama.notes)
    panorama, reduced = _reduced(panorama, settings)
    notes += [*reduced, *_picture_notes(panorama.rgb, settings.face_size)]
    # Whole turns change nothing, and would be lost in rounding.
    heading = math.fmod(known.heading or 0.0, math.tau)
    origins = {"heading": "assumed" if known.heading is None else "given"}
    if panorama.distance_m is not None and known.heading is None:
        heading = wall_heading(panorama.distance_m)
        origins["heading"] = "estimated"
        notes.append(f"The walls' heading was estimated: turned by {math.degrees(heading):.1f} degrees.")
    panorama = rolled(panorama, heading)
    faces = wide_cube_faces(panorama.rgb.float(), settings.face_size).round().clamp(0, 255).byte()
    if panorama.distance_m is None:
        return _assumed_room(panorama, faces, settings, heading, origins, notes)
    distance, height, origins["camera_height"] = _to_scale(panorama, settings, notes)
    if known.extent_m is not None:
        distance = _closed(distance, known.extent_m)
    origins["extent"] = "estimated" if known.extent_m is None else "given"
    panorama = replace(panorama, distance_m=distance)
    ceiling = ceiling_height(distance)
    origins["ceiling"] = "assumed" if ceiling is None else "estimated"
    filters = settings.filters
    if ceiling is not None and settings.ceiling_cut_m > 0:
        # The published cut is below the highest point, which an outlier can lift; ours is below the ceiling found.
        low, high = (-1e3, -1e3, -1e3), (1e3, 1e3, ceiling - settings.ceiling_cut_m)
        filters = replace(filters, crop=filters.crop or (low, high))
    elif settings.ceiling_cut_m > 0:
        filters = replace(filters, ceiling_cut_m=settings.ceiling_cut_m)
    if ceiling is None:
        notes.append("No ceiling was found in the distances; the room is closed above its highest part.")
    geometry: PartialGeometry = occupancy_of_panorama(distance, filters)
    if (side := 1 / geometry.frame.scale) > _LARGE_ROOM_M:
        notes.append(f"The room is {side:.0f} m long; where distances lead outdoors, give --extent.")
    top = None if ceiling is None else ceiling + height
    camera = geometry.camera.float()
    return RoomInput(
        panorama, faces, geometry.voxels, geometry.frame, camera, height, top, heading, origins, tuple(notes)
    )


def _reduced(panorama: Panorama, settings: PanoramaSettings) -> tuple[Panorama, list[str]]:
    """The panorama with picture and distances no wider than the settings allow, and a sentence for each reduction."""
    rgb, distance, notes = panorama.rgb, panorama.distance_m, []
    width, most = rgb.shape[1], settings.max_width
    if width > most:
        picture = Image.fromarray(rgb.numpy()).resize((most, most // 2), Image.Resampling.BOX)
        rgb = torch.from_numpy(np.array(picture))
        notes.append(f"The panorama was reduced from {width}x{width // 2} to {most}x{most // 2} pixels.")
    if distance is not None and distance.shape[1] > settings.max_depth_width:
        most = settings.max_depth_width
        # Nearest, as the published code resizes distances: a mean across an edge would lie on neither surface.
        rows, columns = (torch.arange(n) * size // n for n, size in zip((most // 2, most), distance.shape, strict=True))
        distance = distance[rows][:, columns]
    return replace(panorama, rgb=rgb, distance_m=distance), notes


def _to_scale(
    panorama: Panorama, settings: PanoramaSettings, notes: list[str]
) -> tuple[Float[Tensor, "h w"], float, str]:
    """The distances in metres, the height of the camera above the floor, and where that comes from."""
    known, distance = settings.known, panorama.distance_m
    assert distance is not None
    valid = distance[torch.isfinite(distance) & (distance > 0)]
    if panorama.has_scale and len(valid) and float(valid.median()) > _FARTHEST_MEDIAN_M:
        raise InputError(
            f"Half of the distances are beyond {_FARTHEST_MEDIAN_M:g} m (median {float(valid.median()):.0f}), which no "
            "room is; give them in metres (.npy and .exr) or millimetres (.png), and 0 where there is sky."
        )
    level, origin = (camera_height(distance), "estimated") if known.floor_m is None else (known.floor_m, "given")
    if known.camera_height_m is None and level is not None and panorama.has_scale:
        return distance, level, origin
    height, origin = known.camera_height_m or settings.assumed_camera_height_m, "given"
    if known.camera_height_m is None:
        origin = "assumed"
        reason = "The scale of the distances is unknown" if level is not None else "No floor was found in the distances"
        notes.append(f"{reason}; the camera was taken to stand {height:.2f} m high.")
    return distance if level is None else distance * (height / level), height, origin


def _closed(distance: Float[Tensor, "h w"], extent: tuple[float, float, float, float]) -> Float[Tensor, "h w"]:
    """The distances within walls: what lies beyond them (behind windows, doors, mirrors) is moved into the wall."""
    left, back, right, front = extent
    x, y, _ = depth_rays(*distance.shape).to(distance).unbind(-1)
    reach = torch.minimum(torch.where(x > 0, right, left) / x.abs(), torch.where(y > 0, front, back) / y.abs())
    return torch.minimum(distance, reach)


def colored_points(room: RoomInput) -> bytes:
    """A PLY file of the panorama's points in the room's world (floor at z = 0), with the panorama's colours.

    Raises:
        ValueError: the panorama has no distances.
    """
    distance, rgb = room.panorama.distance_m, room.panorama.rgb
    if distance is None:
        raise ValueError("A panorama without distances has no points.")
    known = torch.isfinite(distance) & (distance > 0)
    points = depth_points(distance)[known] + torch.tensor([0, 0, room.camera_height_m])
    rows = torch.arange(distance.shape[0]) * rgb.shape[0] // distance.shape[0]
    columns = torch.arange(distance.shape[1]) * rgb.shape[1] // distance.shape[1]
    colors = rgb[rows][:, columns][known].double()
    return vertex_ply_bytes(("x", "y", "z", "red", "green", "blue"), torch.cat([points, colors], 1).numpy())


def rolled(panorama: Panorama, heading: float) -> Panorama:
    """The panorama whose centre looks along what was `heading` (radians, counter-clockwise from above).

    Picture and distances move by whole pixels of their own.
    """

    def turned(pixels: Tensor) -> Tensor:
        return pixels.roll(round(heading / (2 * math.pi) * pixels.shape[1]), 1)

    distance = panorama.distance_m
    return replace(panorama, rgb=turned(panorama.rgb), distance_m=None if distance is None else turned(distance))


def wall_heading(distance_m: Float[Tensor, "h w"]) -> float:
    """Heading in [-pi/4, pi/4) to which the walls are closest to being parallel or square; 0 where there are none.

    The mean of exp(4 i azimuth) over the normals of upright surfaces, weighted by area, has that heading times four.
    """
    return float(_wall_direction(distance_m).angle()) / 4


def wall_squareness(distance_m: Float[Tensor, "h w"]) -> float:
    """1 where all walls are parallel or square to each other, 0 where they look everywhere, or there are none."""
    return float(_wall_direction(distance_m).abs())


def _wall_direction(distance_m: Float[Tensor, "h w"]) -> Tensor:
    """The mean of exp(4 i azimuth) over the normals of walls, weighted by area."""
    normals, areas = _normals(distance_m)
    is_wall = (normals[..., 2].abs() < _VERTICAL) & (areas > 0)
    azimuth, weights = torch.atan2(normals[..., 1], normals[..., 0])[is_wall], areas[is_wall]
    mean = torch.complex((weights * (4 * azimuth).cos()).sum(), (weights * (4 * azimuth).sin()).sum())
    return mean / weights.sum().clamp(min=1e-9)


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


def _picture_notes(rgb: UInt8[Tensor, "H W 3"], face_size: int) -> list[str]:
    """A sentence for each fault of a picture that should close around and at the poles, and be large enough."""
    notes = []
    # Every eighth row is plenty.
    pixels = rgb[::8].float()
    across = (pixels[:, 0] - pixels[:, -1]).abs().mean()
    within = (pixels[:, 1:] - pixels[:, :-1]).abs().mean()
    if across > 20 + 4 * within:
        notes.append("The left and right edge of the panorama do not match; is it a full 360 degree picture?")
    strip = max(len(rgb) // 16, 1)
    for name, rows in (("top", rgb[:strip]), ("bottom", rgb[-strip:])):
        if rows.max() < 8:
            notes.append(f"The {name} of the panorama is black; what is there cannot be seen.")
    # A face's middle has face_size / (2 tan 60 degrees) pixels per radian.
    wanted = 2 * math.pi * face_size / (2 * math.tan(math.pi / 3))
    if rgb.shape[1] < wanted:
        notes.append(
            f"The panorama is small: the networks look at it as if it were {wanted:.0f} pixels wide, not "
            f"{rgb.shape[1]}, so expect coarse textures."
        )
    return notes


def _assumed_room(
    panorama: Panorama,
    faces: UInt8[Tensor, "6 S S 3"],
    settings: PanoramaSettings,
    heading: float,
    origins: dict[str, str],
    notes: list[str],
) -> RoomInput:
    """A frame of the given or assumed size around the camera, whose floor is so far below it."""
    known, half = settings.known, settings.assumed_side_m / 2
    height = known.camera_height_m or known.floor_m or settings.assumed_camera_height_m
    left, back, right, front = known.extent_m or (half,) * 4
    side = max(left + right, back + front)
    size = f"{left + right:g} x {back + front:g} m, as given" if known.extent_m else f"{side:g} m wide"
    notes.append(f"There are no distances: the room was taken to be {size}, with the camera {height:g} m high.")
    frame = RoomFrame(((right - left) / 2, (front - back) / 2, side / 2 - height), 1 / side)
    camera = frame.to_cube(torch.zeros(3, dtype=torch.float64)).float()
    is_known = known.floor_m is not None or known.camera_height_m is not None
    origins["camera_height"] = "given" if is_known else "assumed"
    origins["extent"] = "assumed" if known.extent_m is None else "given"
    origins["ceiling"] = "assumed"
    return RoomInput(panorama, faces, None, frame, camera, height, None, heading, origins, tuple(notes))
