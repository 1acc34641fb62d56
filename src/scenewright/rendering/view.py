"""The projections the rasteriser understands: a pinhole camera, or a parallel one for the sun's shadow map.

Frame: OpenCV camera axes; pixel centres at half integers (docs/conventions.md#cameras-and-images).
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.geometry.camera.cameras import look_at
from scenewright.types import Camera

__all__ = ["View", "parallel_view", "view_of_camera"]


@dataclass(frozen=True)
class View:
    """`numbers`: rotation (9, row-major), translation (3), fx, fy, skew, cx, cy; float64, on the CPU.

    Parallel views ("ortho") use the same numbers with u = fx x + cx; `near` is then ignored.
    """

    numbers: Float[Tensor, " 17"]
    width: int
    height: int
    near: float = 0.01
    ortho: bool = False

    def supersampled(self, factor: int) -> "View":
        """The same view with `factor` times as many pixels per side."""
        numbers = self.numbers.clone()
        numbers[12:] *= factor
        return replace(self, numbers=numbers, width=self.width * factor, height=self.height * factor)

    @property
    def rotation(self) -> Float[Tensor, "3 3"]:
        return self.numbers[:9].reshape(3, 3)

    @property
    def center(self) -> Float[Tensor, " 3"]:
        """The camera's position (for a parallel view: a point so far back that all rays run parallel)."""
        center = -self.rotation.T @ self.numbers[9:12]
        return center - 1e6 * self.rotation[2] if self.ortho else center


def view_of_camera(camera: Camera, *, near: float = 0.01) -> View:
    """The rasteriser's view of a camera; nothing nearer than `near` (scene units) is drawn."""
    k = camera.intrinsics_px.detach().double().cpu()
    pose = camera.cam_from_world.detach().double().cpu()
    tail = torch.stack([k[0, 0], k[1, 1], k[0, 1], k[0, 2], k[1, 2]])
    return View(torch.cat([pose[:3, :3].flatten(), pose[:3, 3], tail]), camera.width, camera.height, near)


def parallel_view(direction: Float[Tensor, " 3"], bounds: Float[Tensor, "2 3"], size: int) -> View:
    """A square parallel view along -`direction` (towards a light at infinity) that frames the box `bounds`."""
    low, high = bounds.double().cpu()
    center = (low + high) / 2
    radius = max(0.5 * float((high - low).norm()), 1e-6)
    unit = torch.nn.functional.normalize(direction.double().cpu(), dim=0)
    pose = look_at(center + 1.5 * radius * unit, center)  # every depth is positive: 0 stands for nothing
    scale = size / (2 * radius)
    tail = torch.tensor([scale, scale, 0.0, size / 2, size / 2], dtype=torch.float64)
    return View(torch.cat([pose[:3, :3].flatten(), pose[:3, 3], tail]), size, size, ortho=True)
