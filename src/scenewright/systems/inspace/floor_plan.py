"""The room as planes: its floor polygon, and floor, walls and ceiling with the panorama's colours.

Where distances are known, the polygon is what the camera sees just below the ceiling, where nothing but walls stands,
joined with the inner cells of the layout, which may lie around a corner; without distances it is the outline of the
layout's cells. Sides are parallel to the axes; steps shorter than a quarter of a metre are evened out. Textures look
each texel up in the panorama; what something else hides (the distance along the ray is shorter) takes the nearest
colour that is seen.

Legend: N cells or points, C corners, H, W picture size, T texture size. Frames: cube and world (`room_frame`).
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor

from scenewright.data.room_shell import ear_triangles, polygon_contains
from scenewright.geometry.camera.cubemap import sample_equirect
from scenewright.systems.inspace.panorama import Panorama
from scenewright.systems.inspace.room_frame import depth_points
from scenewright.types import Mesh, PBRMaterial

__all__ = ["evened", "outline", "plane_meshes", "seen_polygon", "snapped_to_walls", "wall_points"]

_GRID_M = 0.05
_MIN_STEP_M = 0.25
_BLENDED_TEXELS = 2
_HIDDEN_SHARE = 0.97
"""A texel is hidden where the distance seen along its ray is less than this share of its own."""


def outline(cells: Bool[np.ndarray, "nx ny"]) -> Float[np.ndarray, "C 2"]:
    """Corners of the outer outline of the largest connected set of cells, counter-clockwise, in cells.

    Holes are filled. Corners that are not corners (straight runs) are left out.
    """
    filled = ndimage.binary_fill_holes(cells)
    labels, count = ndimage.label(filled)
    if not count:
        return np.zeros((0, 2))
    sizes = ndimage.sum_labels(filled, labels, range(1, count + 1))
    inside = np.pad(labels == 1 + int(np.argmax(sizes)), 1)
    # Directed edges with the cell on their left, by start corner; where two cells touch at a corner, turn left.
    edges: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for x, y in np.argwhere(inside):
        for (dx, dy), start, end in (
            ((0, -1), (x, y), (x + 1, y)),
            ((1, 0), (x + 1, y), (x + 1, y + 1)),
            ((0, 1), (x + 1, y + 1), (x, y + 1)),
            ((-1, 0), (x, y + 1), (x, y)),
        ):
            if not inside[x + dx, y + dy]:
                edges.setdefault(start, []).append(end)
    first = min(edges)
    corners, at, heading = [first], edges[first].pop(0), None
    before = first
    while at != first:
        corners.append(at)
        ends = edges[at]
        heading = (at[0] - before[0], at[1] - before[1])
        left = (at[0] - heading[1], at[1] + heading[0])
        before, at = at, ends.pop(ends.index(left) if left in ends else 0)
    points = np.array(corners, dtype=float) - 1
    ahead, behind = np.roll(points, -1, 0) - points, points - np.roll(points, 1, 0)
    return points[ahead[:, 0] * behind[:, 1] != ahead[:, 1] * behind[:, 0]]


def evened(corners: Float[np.ndarray, "C 2"], shortest: float) -> Float[np.ndarray, "C2 2"]:
    """The polygon without sides shorter than `shortest`: the two sides a step joins meet at their mean line."""
    sides = list(corners)
    while len(sides) > 4:
        points = np.array(sides)
        lengths = np.abs(np.roll(points, -1, 0) - points).sum(1)
        short = int(lengths.argmin())
        if lengths[short] >= shortest:
            break
        # Sides: before (short - 1), the step itself (from corner short), after (short + 1).
        count = len(sides)
        before, after, far = (short - 1) % count, (short + 1) % count, (short + 2) % count
        across = 1 if points[before, 1] == points[short, 1] else 0  # the coordinate that the neighbours keep
        weights = lengths[before], lengths[after]
        level = float(np.average([points[short, across], points[after, across]], weights=np.maximum(weights, 1e-9)))
        sides[before] = _moved(points[before], across, level)
        sides[far] = _moved(points[far], across, level)
        sides = [corner for index, corner in enumerate(sides) if index not in (short, after)]
    points = np.array(sides)
    ahead, behind = np.roll(points, -1, 0) - points, points - np.roll(points, 1, 0)
    return points[np.abs(ahead[:, 0] * behind[:, 1] - ahead[:, 1] * behind[:, 0]) > 1e-12]


def _moved(corner: Float[np.ndarray, " 2"], axis: int, value: float) -> Float[np.ndarray, " 2"]:
    corner = corner.copy()
    corner[axis] = value
    return corner


def seen_polygon(
    points: Float[np.ndarray, "N 2"], also: Float[np.ndarray, "M 2"], also_size: float
) -> Float[np.ndarray, "C 2"]:
    """Floor polygon of a room from the points of its walls, metres around the camera, which stands inside.

    Args:
        points: on the walls, seen from above (`wall_points`).
        also: centres of square cells of side `also_size` that are floor as well.
    """
    azimuth = np.floor((np.arctan2(points[:, 1], points[:, 0]) / (2 * np.pi) + 0.5) * 720).astype(int).clip(0, 719)
    distance = np.linalg.norm(points, axis=1)
    order = np.lexsort((distance, azimuth))
    starts = np.flatnonzero(np.diff(azimuth[order], prepend=-1))
    middle = starts + (np.diff(starts, append=len(order)) // 2)  # median distance of every direction
    ring = points[order[middle]]
    low, high = np.minimum(ring.min(0), 0) - 0.5, np.maximum(ring.max(0), 0) + 0.5
    if len(also):
        low, high = np.minimum(low, also.min(0) - 0.5), np.maximum(high, also.max(0) + 0.5)
    shape = np.ceil((high - low) / _GRID_M).astype(int)
    x, y = (low[axis] + (np.arange(shape[axis]) + 0.5) * _GRID_M for axis in (0, 1))
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2)
    inside = polygon_contains(ring, grid).reshape(shape)
    for center in also:
        a, b = ((center - also_size / 2 - low) / _GRID_M).round().astype(int).clip(0)
        c, d = ((center + also_size / 2 - low) / _GRID_M).round().astype(int)
        inside[a:c, b:d] = True
    smooth = np.ones((5, 5), dtype=bool)
    inside = ndimage.binary_opening(ndimage.binary_closing(np.pad(inside, 6), smooth), smooth)[6:-6, 6:-6]
    return evened(outline(inside) * _GRID_M + low, _MIN_STEP_M)


def snapped_to_walls(
    corners: Float[np.ndarray, "C 2"], points: Float[np.ndarray, "N 2"], reach: float
) -> Float[np.ndarray, "C 2"]:
    """The polygon with every side moved, by at most `reach`, to the line where most points lie (seen from above)."""
    moved = corners.copy()
    for index in range(len(corners)):
        following = (index + 1) % len(corners)
        along = 0 if corners[index, 1] == corners[following, 1] else 1
        across = 1 - along
        low, high = sorted((corners[index, along], corners[following, along]))
        near = (points[:, along] > low) & (points[:, along] < high)
        near &= np.abs(points[:, across] - corners[index, across]) < reach
        if near.sum() >= 20:
            moved[index, across] = moved[following, across] = _densest(points[near, across], reach / 8)
    return moved


def _densest(values: Float[np.ndarray, " N"], width: float) -> float:
    counts, edges = np.histogram(values, np.arange(values.min(), values.max() + 2 * width, width))
    at = edges[int(np.convolve(counts, np.ones(3), "same").argmax())] + width / 2
    return float(values[np.abs(values - at) < 1.5 * width].mean())


def plane_meshes(
    corners: Float[np.ndarray, "C 2"],
    floor_m: float,
    ceiling_m: float,
    panorama: Panorama,
    *,
    texels_per_m: float = 64.0,
    max_texture: int = 1024,
) -> list[tuple[str, Mesh]]:
    """Meshes `floor`, `ceiling` and `wall_i` of a room, textured from the panorama; they face inwards.

    Args:
        corners: counter-clockwise, metres around the camera; `floor_m` and `ceiling_m` are heights over the camera.
    """
    triangles = np.array(ear_triangles(corners))
    low, high = corners.min(0), corners.max(0)
    parts = []
    for name, height, faces in (("floor", floor_m, triangles), ("ceiling", ceiling_m, triangles[:, ::-1])):
        flat = np.column_stack([corners, np.full(len(corners), height)])
        origin, u, v = np.array([*low, height]), np.array([high[0] - low[0], 0, 0]), np.array([0, high[1] - low[1], 0])
        parts.append(
            (
                name,
                _plane(
                    flat,
                    faces.copy(),
                    (corners - low) / (high - low),
                    (origin, u, v),
                    panorama,
                    texels_per_m,
                    max_texture,
                ),
            )
        )
    for index, (a, b) in enumerate(zip(corners, np.roll(corners, -1, 0), strict=True)):
        origin, u, v = np.array([*a, floor_m]), np.array([*(b - a), 0.0]), np.array([0.0, 0.0, ceiling_m - floor_m])
        flat = np.stack([origin, origin + u, origin + u + v, origin + v])
        uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
        # The room lies on the left of a side, so this order faces it.
        faces = np.array([[0, 2, 1], [0, 3, 2]])
        parts.append((f"wall_{index}", _plane(flat, faces, uv, (origin, u, v), panorama, texels_per_m, max_texture)))
    return parts


def _plane(
    vertices: np.ndarray,
    faces: Int[np.ndarray, "F 3"],
    uv: np.ndarray,
    axes: tuple[np.ndarray, np.ndarray, np.ndarray],
    panorama: Panorama,
    texels_per_m: float,
    max_texture: int,
) -> Mesh:
    origin, u, v = (torch.from_numpy(axis) for axis in axes)
    size = [int(np.clip(round(float(axis.norm()) * texels_per_m), 8, max_texture)) for axis in (u, v)]
    s, t = ((torch.arange(n, dtype=torch.float64) + 0.5) / n for n in size)
    texels = origin + s[None, :, None] * u + t[:, None, None] * v
    color, seen = _looked_up(texels, panorama)
    # The rim of what hides a plane blends into the pixels beside it.
    seen = torch.from_numpy(ndimage.binary_erosion(seen.numpy(), iterations=_BLENDED_TEXELS, border_value=1))
    if bool(seen.any()) and not bool(seen.all()):
        nearest = ndimage.distance_transform_edt(~seen.numpy(), return_distances=False, return_indices=True)
        color = color[torch.from_numpy(nearest[0]), torch.from_numpy(nearest[1])]
    material = PBRMaterial(base_color_texture=color.round().clamp(0, 255).byte(), roughness_factor=0.9)
    return Mesh(
        torch.from_numpy(vertices).float(), torch.from_numpy(faces), uv=torch.from_numpy(uv).float(), material=material
    )


def _looked_up(
    texels: Float[Tensor, "T1 T2 3"], panorama: Panorama
) -> tuple[Float[Tensor, "T1 T2 3"], Bool[Tensor, "T1 T2"]]:
    """Colour of the panorama in the direction of world points, and whether the points themselves are seen there."""
    x, y, z = texels.unbind(-1)
    directions = torch.stack([x, -z, y], -1).float()  # OpenCV axes of a camera that looks along +y
    color = sample_equirect(panorama.rgb.float(), directions)
    if panorama.distance_m is None:
        return color, torch.ones(texels.shape[:2], dtype=torch.bool)
    seen_at = sample_equirect(panorama.distance_m.float()[..., None], directions)[..., 0]
    return color, seen_at >= _HIDDEN_SHARE * texels.norm(dim=-1)


def wall_points(distance_m: Float[Tensor, "h w"], lowest_m: float, highest_m: float) -> Float[np.ndarray, "N 2"]:
    """Where the distances lie between two heights over the camera, seen from above."""
    points = depth_points(distance_m)[torch.isfinite(distance_m) & (distance_m > 0)]
    return points[(points[:, 2] > lowest_m) & (points[:, 2] < highest_m), :2].numpy()
