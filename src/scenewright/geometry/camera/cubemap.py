"""Equirectangular panoramas and cube maps: rays, pixel lookup, resampling both ways without a seam.

Camera frame is OpenCV; for a panorama pixel (u, v): longitude = 2 pi u/W - pi grows to the right, latitude =
pi/2 - pi v/H, ray = (cos lat sin lon, -sin lat, cos lat cos lon) (docs/conventions.md#cameras-and-images).

Legend: H, W panorama size (W = 2H), S cube face size, C channels.
Cube faces in order: front (+z), right (+x), back (-z), left (-x), up (-y), down (+y), each an OpenCV pinhole image of
90 degrees plus a margin of `CUBE_PAD` pixels per side, so that bilinear taps never leave the face.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = [
    "CUBE_PAD",
    "cube_face_rotations",
    "cube_intrinsics",
    "cubemap_to_equirect",
    "direction_to_equirect_pixel",
    "equirect_rays",
    "locate_on_cube",
    "sample_equirect",
    "wide_cube_faces",
    "wide_face_rays",
]

CUBE_PAD = 2


def cube_face_rotations() -> Float[Tensor, "6 3 3"]:
    """`face_from_camera` for the six faces: front, right, back, left, up, down."""
    return torch.tensor(
        [
            [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
            [[0, 0, -1], [0, 1, 0], [1, 0, 0]],
            [[-1, 0, 0], [0, 1, 0], [0, 0, -1]],
            [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
            [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
            [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
        ],
        dtype=torch.float32,
    )


def cube_intrinsics(size: int) -> Float[Tensor, "3 3"]:
    """Pixel intrinsics of one face image of (size + 2 CUBE_PAD)^2 pixels whose inner `size` pixels span 90 degrees."""
    center = size / 2 + CUBE_PAD
    return torch.tensor([[size / 2, 0.0, center], [0.0, size / 2, center], [0.0, 0.0, 1.0]])


def equirect_rays(height: int, width: int) -> Float[Tensor, "height width 3"]:
    """Unit rays in the camera frame through the pixel centres of a panorama."""
    lon = ((torch.arange(width, dtype=torch.float64) + 0.5) / width - 0.5) * 2 * math.pi
    lat = (0.5 - (torch.arange(height, dtype=torch.float64) + 0.5) / height) * math.pi
    lat, lon = torch.meshgrid(lat, lon, indexing="ij")
    rays = torch.stack([lat.cos() * lon.sin(), -lat.sin(), lat.cos() * lon.cos()], -1)
    return rays.float()


def direction_to_equirect_pixel(
    directions: Float[Tensor, "*batch 3"], height: int, width: int
) -> Float[Tensor, "*batch 2"]:
    """Pixel position (u, v) of camera-frame directions of any length; u in [0, W], v in [0, H]."""
    lon = torch.atan2(directions[..., 0], directions[..., 2])
    lat = torch.atan2(-directions[..., 1], torch.hypot(directions[..., 0], directions[..., 2]))
    return torch.stack([(lon / (2 * math.pi) + 0.5) * width, (0.5 - lat / math.pi) * height], -1)


def locate_on_cube(
    directions: Float[Tensor, "*batch 3"], size: int
) -> tuple[Int[Tensor, "*batch"], Float[Tensor, "*batch 2"], Float[Tensor, "*batch"]]:
    """Face index, pixel position on that face's padded image, and depth along the face's axis per unit of direction."""
    x, y, z = directions.unbind(-1)
    along = torch.stack([z, x, -z, -x, -y, y], -1)
    depth, face = along.max(-1)
    rotated = (cube_face_rotations().to(directions)[face] @ directions[..., None]).squeeze(-1)
    pixel = rotated[..., :2] / depth[..., None] * (size / 2) + size / 2 + CUBE_PAD
    return face, pixel, depth


def cubemap_to_equirect(faces: Float[Tensor, "6 padded padded C"], height: int) -> Float[Tensor, "height width C"]:
    """Panorama of `height` x 2 `height` pixels from six padded faces, bilinear and without seams."""
    face, pixel, _ = locate_on_cube(equirect_rays(height, 2 * height).to(faces), faces.shape[1] - 2 * CUBE_PAD)
    low, fraction = _split(pixel - 0.5)
    low = low.clamp(0, faces.shape[1] - 2)
    column, row = low.unbind(-1)
    a, b = fraction[..., :1], fraction[..., 1:]
    top = faces[face, row, column] * (1 - a) + faces[face, row, column + 1] * a
    bottom = faces[face, row + 1, column] * (1 - a) + faces[face, row + 1, column + 1] * a
    return top * (1 - b) + bottom * b


def sample_equirect(
    panorama: Float[Tensor, "height width C"], directions: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch C"]:
    """Bilinear lookup of camera-frame directions; wraps in longitude and continues over the poles."""
    height, width = panorama.shape[:2]
    low, fraction = _split(direction_to_equirect_pixel(directions, height, width) - 0.5)
    u, v = low.unbind(-1)
    a, b = fraction[..., :1], fraction[..., 1:]

    def texel(u: Tensor, v: Tensor) -> Tensor:
        over_pole = (v < 0) | (v >= height)
        v = torch.where(v < 0, -1 - v, torch.where(v >= height, 2 * height - 1 - v, v))
        return panorama[v, torch.where(over_pole, u - width // 2, u) % width]

    top = texel(u, v) * (1 - a) + texel(u + 1, v) * a
    return top * (1 - b) + (texel(u, v + 1) * (1 - a) + texel(u + 1, v + 1) * a) * b


def wide_face_rays(size: int, fov_deg: float = 120.0) -> Float[Tensor, "6 size size 3"]:
    """Camera-frame rays of six overlapping faces, of length 1 along each face's axis, in the order of this module.

    The first and last pixel of a row lie on the edges of the field of view, unlike pixel centres: pixel i has the
    tangent -k + 2 k i / (size - 1), k = tan(fov / 2). Source: py360convert `e2p`, as ERP-FRONT-30K was cut with it.
    """
    edge = math.tan(math.radians(fov_deg) / 2)
    axis = torch.linspace(-edge, edge, size, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    rays = torch.stack([x, y, torch.ones_like(x)], -1)
    return torch.einsum("fji,hwj->fhwi", cube_face_rotations().double(), rays)


def wide_cube_faces(
    panorama: Float[Tensor, "height width C"], size: int, fov_deg: float = 120.0
) -> Float[Tensor, "6 size size C"]:
    """Six faces of `fov_deg` by `fov_deg`, sampled bilinearly at `wide_face_rays`; above 90 degrees they overlap."""
    return sample_equirect(panorama, wide_face_rays(size, fov_deg).to(panorama))


def _split(position: Float[Tensor, "*batch 2"]) -> tuple[Tensor, Tensor]:
    low = position.floor()
    return low.long(), position - low
