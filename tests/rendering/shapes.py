"""Small meshes and cameras that the rendering tests share."""

import torch

from scenewright.geometry.camera.cameras import intrinsics_from_fov, look_at
from scenewright.types import Camera, Mesh, PBRMaterial

__all__ = ["box", "camera_above", "camera_at", "square"]

MATT = PBRMaterial(base_color_factor=(0.5, 0.5, 0.5, 1.0))


def square(z: float = 0.0, half: float = 1.0, material: PBRMaterial | None = MATT) -> Mesh:
    """A horizontal square around the z axis, facing up; uv (0, 0) at (-half, +half), u along x, v along -y."""
    corners = torch.tensor([[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]])
    uv = torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    return Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]), uv=uv, material=material)


def box(half: float = 0.5, center: tuple[float, float, float] = (0.0, 0.0, 0.0), material: PBRMaterial = MATT) -> Mesh:
    """A cube, counter-clockwise seen from outside."""
    corners = torch.tensor([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = [[q[i] for i in t] for q in quads for t in ((0, 1, 2), (0, 2, 3))]
    return Mesh(half * corners + torch.tensor(center), torch.tensor(faces), material=material)


def camera_at(eye: tuple[float, float, float], target: tuple[float, float, float], size: int = 64) -> Camera:
    """A square 60 degree camera."""
    pose = look_at(torch.tensor(eye), torch.tensor(target))
    return Camera(intrinsics_from_fov(60.0, size, size), pose, size, size)


def camera_above(height: float = 3.0, size: int = 64) -> Camera:
    """Looks straight down; +x is right and +y is up in the picture."""
    return camera_at((0.0, 0.0, height), (0.0, 0.0, 0.0), size)
