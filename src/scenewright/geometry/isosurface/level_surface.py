"""The zero level of values on a dense grid as a mesh, open where values are not known.

Legend: X/Y/Z cells.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped

from scenewright.geometry.isosurface.dual_marching_cubes import ScalarGrid, dual_marching_cubes
from scenewright.geometry.mesh.parts import select_faces
from scenewright.types import Mesh

__all__ = ["level_surface"]


def level_surface(distance: Float[np.ndarray, "X Y Z"], known: Bool[np.ndarray, "X Y Z"]) -> Mesh:
    """The zero level in cells, (0, 0, 0) being the low corner of the grid; values stand at the cells' middles."""
    corners = _corner_stack(distance)
    crossed = (corners.min(0) < 0) & (corners.max(0) >= 0) & _corner_stack(known).all(0)
    cubes = np.argwhere(crossed)
    side = max(distance.shape)
    if not len(cubes):
        return Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int32))
    near = np.zeros(distance.shape, dtype=bool)
    for offset in np.ndindex(2, 2, 2):
        near[tuple((cubes + offset).T)] = True
    vertices = np.argwhere(near)
    ids = (vertices[:, 0] * (side + 1) + vertices[:, 1]) * (side + 1) + vertices[:, 2]
    cube_ids = (cubes[:, 0] * side + cubes[:, 1]) * side + cubes[:, 2]
    surface = dual_marching_cubes(
        ScalarGrid(
            resolution=side,
            vertex_ids=torch.from_numpy(ids),
            vertex_sdf=torch.from_numpy(distance[near].astype(np.float32)),
            vertex_shift=torch.zeros(len(ids), 3),
            vertex_attributes=torch.zeros(len(ids), 0),
            cube_ids=torch.from_numpy(cube_ids),
            edge_weights=torch.ones(len(cubes), 12),
            corner_weights=torch.ones(len(cubes), 8),
            split_weights=torch.ones(len(cubes)),
        )
    )
    # Cells that are not stored count as free, which makes a second sheet inside what is solid; it is left out.
    cube = ((surface.vertices + 0.5) * side).floor().long().clamp(min=0, max=side - 1)
    is_crossed = torch.zeros((side,) * 3, dtype=torch.bool)
    is_crossed[tuple(torch.from_numpy(cubes.T))] = True
    kept = is_crossed[tuple(cube.T)][surface.faces.long()].all(1)
    mesh = select_faces(Mesh(surface.vertices, surface.faces), kept)
    return Mesh((mesh.vertices + 0.5) * side + 0.5, mesh.faces)


def _corner_stack(values: Shaped[np.ndarray, "X Y Z"]) -> Shaped[np.ndarray, "8 X1 Y1 Z1"]:
    """The eight corners of every cube of neighbouring cells."""
    parts = [slice(None, -1), slice(1, None)]
    return np.stack([values[parts[i], parts[j], parts[k]] for i, j, k in np.ndindex(2, 2, 2)])
