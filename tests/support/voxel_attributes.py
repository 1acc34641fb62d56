"""Voxels with materials of a whole object, in one call."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.geometry.grid_sample import Mode, sample_sparse_grid
from scenewright.geometry.ovoxel.volumetric_attributes import (
    attribute_bytes,
    textured_triangles,
    voxelize_textured_triangles,
)
from scenewright.geometry.ovoxel.voxelize import Lattice
from scenewright.progress import Advance, ignore
from scenewright.types import Mesh, SparseVoxels


def mesh_to_voxel_attributes(
    parts: Sequence[Mesh],
    resolution: int,
    num_threads: int | None = None,
    progress: Advance = ignore,
) -> SparseVoxels:
    """PBR voxels of an object inside [-0.5, 0.5]^3: uint8 `base_color` [N, 3], `metallic`, `roughness`, `alpha` [N, 1].

    Textures are read with linear filtering and repeat; those that are not square powers of two are resized. Linear
    factors and vertex colours are display encoded first. A part without a material is grey (0.8, roughness 0.5); a part
    with textures but no UVs keeps its factors, with a warning in the log.

    Raises:
        InputError: no triangles, or vertices that are not finite.
    """
    triangles = textured_triangles(parts)
    coords, values = voxelize_textured_triangles(
        triangles, Lattice.cube(resolution), num_threads=num_threads, progress=progress
    )
    return SparseVoxels(coords, resolution, attribute_bytes(values))


def sample_voxels(
    voxels: SparseVoxels, name: str, points: Float[Tensor, "M 3"], mode: Mode = "trilinear"
) -> Float[Tensor, "M C"]:
    """Attribute `name` of `voxels` at points in the cube's frame [-0.5, 0.5]^3, as float32.

    Raises:
        KeyError: the voxels have no attribute of that name.
    """
    values = voxels.attributes[name]
    values = (values[:, None] if values.ndim == 1 else values).float()
    coords = torch.nn.functional.pad(voxels.coords, (1, 0))
    return sample_sparse_grid(coords, values, ((points + 0.5) * voxels.resolution)[None], mode)[0]
