"""Where a camera stands, and the same view with more or fewer pixels. `cameras` builds cameras.

Frame: OpenCV camera (x right, y down, z forward) in a z-up world (docs/conventions.md#cameras-and-images).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.types import Camera, PanoramaCamera

__all__ = [
    "camera_center",
    "scale_camera",
]


def scale_camera(camera: Camera, factor: float) -> Camera:
    """The same view with `factor` times as many pixels per side (sizes are rounded, intrinsics follow exactly)."""
    width, height = max(1, round(camera.width * factor)), max(1, round(camera.height * factor))
    ratio = torch.tensor([width / camera.width, height / camera.height, 1.0]).to(camera.intrinsics_px)
    return Camera(camera.intrinsics_px * ratio[:, None], camera.cam_from_world, width, height)


def camera_center(camera: Camera | PanoramaCamera) -> Float[Tensor, " 3"]:
    """The camera's position in the world frame."""
    return -camera.cam_from_world[:3, :3].T @ camera.cam_from_world[:3, 3]
