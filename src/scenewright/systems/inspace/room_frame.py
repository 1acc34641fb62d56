"""The frames of a room seen from one panorama: depth pixels, world, and the cube [-0.5, 0.5]^3 of the networks.

World: z up, metres, the panorama's centre looks along +y and its right half lies at +x; the camera is never turned.
Cube: (world - centre) * scale of the room without its ceiling. Source: naver/inspace data_toolkit/erp, step 9, and
eval/pipeline.

Legend: H, W panorama size (W = 2 H), N points.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.errors import InputError

__all__ = ["FACE_AXES", "FACE_NAMES", "RoomFrame", "depth_points", "depth_rays"]

FACE_NAMES = ("front", "right", "back", "left", "top", "bottom")
FACE_AXES = ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, -1.0))
"""World direction that each cube face looks along, in the order of its tokens."""

# The largest side of a room fills the cube but for this rounding margin.
_FILLED = 0.99999


@dataclass(frozen=True)
class RoomFrame:
    """The map from world (metres) to the cube: (world - centre) * scale."""

    center: tuple[float, float, float]
    scale: float

    @classmethod
    def around(cls, points: Float[Tensor, "N 3"]) -> "RoomFrame":
        """The frame in which the largest side of the points' bounding box fills the cube.

        Raises:
            InputError: there is no point, or all are the same.
        """
        if not len(points) or not (side := float((points.amax(0) - points.amin(0)).amax())):
            raise InputError("Expected points that span a room, got none or a single place; check the depth map.")
        x, y, z = ((points.amin(0) + points.amax(0)) / 2).tolist()
        return cls((x, y, z), _FILLED / side)

    def to_cube(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """World points in the cube."""
        return (points - points.new_tensor(self.center)) * self.scale

    def to_world(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Points of the cube in metres."""
        return points / self.scale + points.new_tensor(self.center)


def depth_rays(height: int, width: int) -> Float[Tensor, "height width 3"]:
    """Unit world directions of the pixels of a depth panorama, float64.

    There is no half-pixel offset: row v has latitude (1/2 - v/H) pi, so row 0 is the exact zenith and there is no
    nadir; column u has azimuth (u/W - 1/2) 2 pi to the right of +y. Colours are looked up at pixel centres instead
    (`geometry.camera.cubemap`): the published data is half a pixel off between the two.
    """
    latitude = (0.5 - torch.arange(height, dtype=torch.float64) / height) * math.pi
    azimuth = (torch.arange(width, dtype=torch.float64) / width - 0.5) * 2 * math.pi
    latitude, azimuth = torch.meshgrid(latitude, azimuth, indexing="ij")
    return torch.stack([latitude.cos() * azimuth.sin(), latitude.cos() * azimuth.cos(), latitude.sin()], -1)


def depth_points(distance_m: Float[Tensor, "height width"]) -> Float[Tensor, "height width 3"]:
    """World points, relative to the camera, of a panorama of distances along the ray, float64."""
    return depth_rays(*distance_m.shape) * distance_m.double()[..., None]
