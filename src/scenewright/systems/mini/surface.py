"""The closed surface of an object's voxels, or of how surely each of them is solid.

Legend: R resolution. Frame: the object's cube [-0.5, 0.5]^3, z up.
"""

from dataclasses import replace

import numpy as np
import scipy
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenewright.geometry.isosurface.dual_marching_cubes import ScalarGrid, dual_marching_cubes
from scenewright.systems.assembly.structures import PlacedStructures
from scenewright.systems.mini.occupancy import filled
from scenewright.types import Mesh

__all__ = ["SURELY_EMPTY", "solid_surface", "surface_of_voxels", "surfaces_of", "voxel_surface"]

SURELY_EMPTY = -1.2
"""Solidity outside of the cube; `solid_surface` is the zero set."""

# A surface passes anywhere through its outermost voxels, so it is drawn a little inside their outer faces, as far as
# lets bars of a single voxel stay. Chosen on held-out made scenes (F-score of the drawn surface 0.67 -> 0.73).
_BLUR = 0.5
_LEVEL = 0.55
# Solidity is smooth already.
_SOLIDITY_BLUR = 0.35
_MARGIN = 2


def surfaces_of(structures: PlacedStructures) -> dict[int, Mesh]:
    """The surface of every object that has one, by its index."""
    made = {}
    for index, coords in enumerate(structures.coords):
        surface: Mesh | None
        if len(coords) and structures.solidity is not None:
            surface = solid_surface(structures.solidity[index].numpy())
        else:
            surface = surface_of_voxels(coords, structures.resolution)
        if surface is not None and len(surface.faces):
            if structures.stretches is not None:
                surface = replace(surface, vertices=surface.vertices * structures.stretches[index])
            made[index] = surface
    return made


def surface_of_voxels(coords: Int[Tensor, "n 3"], resolution: int) -> Mesh | None:
    """`voxel_surface` of a list of voxels; None where there is nothing."""
    if not len(coords):
        return None
    occupied = np.zeros((resolution,) * 3, dtype=bool)
    occupied[tuple(coords.long().numpy().T)] = True
    surface = voxel_surface(occupied)
    return surface if len(surface.faces) else None


def voxel_surface(occupied: Bool[np.ndarray, "R R R"]) -> Mesh:
    """The closed surface round the voxels and what they enclose, in the cube [-0.5, 0.5]^3, wound outwards."""
    solid = np.pad(filled(occupied), _MARGIN).astype(np.float32)
    return _zero_set(scipy.ndimage.gaussian_filter(solid, _BLUR) - _LEVEL)


def solid_surface(solidity: Float[np.ndarray, "R R R"]) -> Mesh:
    """The closed surface between cells above 0, with what they enclose, and the others; it lies between their middles.

    Where cells are surer than their neighbours, it is nearer to those: flat sides come out flat, without steps.
    """
    is_hollow = filled(solidity > 0) & (solidity <= 0)
    solid = np.where(is_hollow, -SURELY_EMPTY, solidity)
    solid = np.pad(solid, _MARGIN, constant_values=SURELY_EMPTY).astype(np.float32)
    return _zero_set(scipy.ndimage.gaussian_filter(solid, _SOLIDITY_BLUR))


def _zero_set(values: Float[np.ndarray, "S S S"]) -> Mesh:
    """The surface round what is above 0; `values` are those of the cube's cells with a margin round it."""
    side = len(values)
    resolution = side - 2 * _MARGIN
    # Middles of cells become the corners of the extraction's cubes.
    ids = np.arange((side + 1) ** 3).reshape((side + 1,) * 3)[:side, :side, :side].ravel()
    cubes = np.arange(side**3).reshape((side,) * 3)[: side - 1, : side - 1, : side - 1].ravel()
    grid = ScalarGrid(
        resolution=side,
        vertex_ids=torch.from_numpy(ids),
        vertex_sdf=torch.from_numpy(-values.ravel()),
        vertex_shift=torch.zeros(len(ids), 3),
        vertex_attributes=torch.zeros(len(ids), 0),
        cube_ids=torch.from_numpy(cubes),
        edge_weights=torch.ones(len(cubes), 12),
        corner_weights=torch.ones(len(cubes), 8),
        split_weights=torch.ones(len(cubes)),
    )
    surface = dual_marching_cubes(grid)
    corner = (surface.vertices + 0.5) * side
    return Mesh(((corner + 0.5 - _MARGIN) / resolution - 0.5).float(), surface.faces)
