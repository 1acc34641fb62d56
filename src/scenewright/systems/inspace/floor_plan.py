"""The room as planes: floor polygon from the layout's cells, and floor, walls and ceiling with the panorama's colours.

The polygon is the outline of the cells that the layout covers, seen from above; where distances are known its sides
move to the wall they show. Sides are parallel to the axes. Textures look each texel up in the panorama; what something
else hides (the distance along the ray is shorter) takes the nearest colour that is seen.

Legend: N cells, C corners, H, W picture size, T texture size. Frames: cube and world (`room_frame`).
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor

from scenewright.data.room_shell import ear_triangles
from scenewright.geometry.camera.cubemap import sample_equirect
from scenewright.systems.inspace.panorama import Panorama
from scenewright.systems.inspace.room_frame import depth_points
from scenewright.types import Mesh, PBRMaterial

__all__ = ["outline", "plane_meshes", "snapped_to_walls", "wall_points"]

_HIDDEN_SHARE = 0.93
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


def wall_points(panorama: Panorama, lowest_m: float, highest_m: float) -> Float[np.ndarray, "N 2"]:
    """Where the distances lie between two heights over the camera, seen from above."""
    assert panorama.distance_m is not None
    points = depth_points(panorama.distance_m)[torch.isfinite(panorama.distance_m) & (panorama.distance_m > 0)]
    return points[(points[:, 2] > lowest_m) & (points[:, 2] < highest_m), :2].numpy()
