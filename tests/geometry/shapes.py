"""Small closed meshes and decoder outputs with known surfaces, shared by the geometry tests."""

import torch
import trimesh
from torch import Tensor

from scenewright.geometry.isosurface.dual_marching_cubes_table import CORNER_OFFSETS
from scenewright.types import Mesh


def icosphere(subdivisions: int = 2, radius: float = 0.4) -> Mesh:
    return from_trimesh(trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius))


def box(size: float = 0.8) -> Mesh:
    return from_trimesh(trimesh.creation.box((size, size, size)))


def from_trimesh(mesh: trimesh.Trimesh) -> Mesh:
    return Mesh(torch.tensor(mesh.vertices, dtype=torch.float32), torch.tensor(mesh.faces, dtype=torch.int64))


def to_trimesh(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices.detach().numpy(), mesh.faces.numpy(), process=False)


def empty_mesh() -> Mesh:
    return Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))


def features_of_distance(distance: Tensor, resolution: int, channels: int = 53) -> Tensor:
    """Decoder output `[N, channels]` with the given corner distances `[N, 8]` and neutral weights."""
    feats = torch.zeros(len(distance), channels)
    feats[:, :8] = distance + 1 / resolution
    return feats


def corner_positions(coords: Tensor, resolution: int) -> Tensor:
    return (coords[:, None] + torch.tensor(CORNER_OFFSETS)) / resolution - 0.5


def all_voxels(resolution: int) -> Tensor:
    return torch.cartesian_prod(*[torch.arange(resolution)] * 3)
