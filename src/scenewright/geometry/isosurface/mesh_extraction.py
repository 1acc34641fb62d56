"""Mesh of an object from per-voxel mesh features: signed distances, displacements, FlexiCubes weights, colours.

A mesh decoder gives every voxel near the surface 53 or 101 numbers (`FEATURE_CHANNELS`). Values of shared corners are
averaged, squashed to their ranges, and handed to dual marching cubes. A decoder only covers a shell round the surface
and absent corners count as outside, so closed objects get an inner sheet too; `remove_invisible_faces` deletes it.

Source: TRELLIS (Xiang et al., 2024), mesh decoder. Legend: N voxels, R voxels per axis, V vertices, F faces, U grid
vertices of the voxels. Frame: the cube [-0.5, 0.5]^3, z up; see docs/conventions.md#grid.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.color import linear_from_srgb
from scenewright.geometry.isosurface.dual_marching_cubes import ScalarGrid, average_corners, dual_marching_cubes
from scenewright.types import Mesh

__all__ = ["FEATURE_CHANNELS", "ExtractedMesh", "extract_mesh"]

# name -> channels, in the order of the decoder's output; corner-major where a voxel has one value per corner.
FEATURE_CHANNELS = {
    "sdf": 8,
    "deform": 24,
    "edge_weight": 12,
    "corner_weight": 8,
    "split_weight": 1,
    "color": 48,  # rgb and a normal map, as logits; absent from decoders without colour
}
_NUM_CHANNELS = sum(FEATURE_CHANNELS.values())


@dataclass(frozen=True)
class ExtractedMesh:
    """A mesh with vertex attributes, plus what a training loss needs (None outside training).

    `vertex_attributes` are display-encoded (sRGB-like) red, green, blue and a normal map, in [0, 1]; None without
    colour. `grid_positions` and `grid_sdf` are the displaced corners of all voxels and their distances, corners in
    ascending (x, y, z).
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    vertex_attributes: Float[Tensor, "V 6"] | None
    regularization_loss: Float[Tensor, ""] | None = None
    grid_positions: Float[Tensor, "U 3"] | None = None
    grid_sdf: Float[Tensor, " U"] | None = None

    @property
    def is_empty(self) -> bool:
        return len(self.faces) == 0

    def to_mesh(self) -> Mesh:
        """The geometry with linear vertex colours."""
        if self.vertex_attributes is None:
            return Mesh(self.vertices, self.faces)
        rgb = linear_from_srgb(self.vertex_attributes[:, :3])
        return Mesh(self.vertices, self.faces, vertex_colors=torch.cat([rgb, torch.ones_like(rgb[:, :1])], 1))


def extract_mesh(
    coords: Int[Tensor, "N 3"], feats: Float[Tensor, "N channels"], resolution: int, *, training: bool = False
) -> ExtractedMesh:
    """The surface described by a mesh decoder's output for one object. `feats` is not modified.

    Args:
        coords: distinct voxels of the `resolution`^3 grid, in any order: the result does not depend on it.
        feats: 101 channels, or 53 without colour, laid out as FEATURE_CHANNELS; computed with in float32.
        training: give every quad a centre vertex, and fill the fields that losses use.

    Returns:
        Vertices within half a voxel of the cube; faces wind counter-clockwise seen from outside. With no surface all
        arrays are empty. Differentiable in `feats`.

    Raises:
        InputError: the channel count or a coordinate is out of range, or (outside training) a feature is not finite.
    """
    _check_features(coords, feats, resolution, training)
    order = torch.argsort(_flat(coords, resolution))
    coords, feats = coords[order], feats[order].float()
    sizes = list(FEATURE_CHANNELS.values())
    has_color = feats.shape[1] == _NUM_CHANNELS
    sdf, deform, edge_weight, corner_weight, split_weight, *color = feats.split(sizes if has_color else sizes[:-1], 1)

    # The decoder's distances carry a bias of one voxel, so that a zero output lies just inside.
    per_corner = [
        sdf[..., None] - 1 / resolution,
        deform.unflatten(1, (8, 3)),
        *(c.unflatten(1, (8, 6)) for c in color),
    ]
    corner_values = torch.cat(per_corner, dim=2)
    vertex_ids, vertex_values, corner_vertex = average_corners(coords, corner_values, resolution)
    grid = ScalarGrid(
        resolution=resolution,
        vertex_ids=vertex_ids,
        vertex_sdf=vertex_values[:, 0],
        vertex_shift=torch.tanh(vertex_values[:, 1:4]) / (2 * resolution),
        vertex_attributes=torch.sigmoid(vertex_values[:, 4:]),
        cube_ids=_flat(coords, resolution),
        edge_weights=1 + 0.99 * torch.tanh(edge_weight),
        corner_weights=1 + 0.99 * torch.tanh(corner_weight),
        split_weights=0.99 * torch.sigmoid(split_weight[:, 0]) + 0.005,
    )
    surface = dual_marching_cubes(grid, insert_centres=training)
    attributes = surface.attributes if has_color else None
    if not training:
        return ExtractedMesh(surface.vertices, surface.faces, attributes)

    loss = (corner_values - vertex_values[corner_vertex]).square().mean()
    loss = loss + 0.2 * torch.cat([edge_weight, corner_weight], 1).abs().mean()
    if len(surface.vertices):
        loss = loss + 0.5 * surface.deviation.mean()
    size = resolution + 1
    grid_index = torch.stack([vertex_ids // (size * size), vertex_ids // size % size, vertex_ids % size], 1)
    grid_positions = grid_index / resolution - 0.5 + grid.vertex_shift
    return ExtractedMesh(surface.vertices, surface.faces, attributes, loss, grid_positions, grid.vertex_sdf)


def _flat(coords: Int[Tensor, "N 3"], resolution: int) -> Int[Tensor, " N"]:
    x, y, z = coords.long().unbind(1)
    return (x * resolution + y) * resolution + z


def _check_features(coords: Tensor, feats: Tensor, resolution: int, training: bool) -> None:
    without_color = _NUM_CHANNELS - FEATURE_CHANNELS["color"]
    if feats.shape[1] not in (_NUM_CHANNELS, without_color):
        raise InputError(
            f"Expected {_NUM_CHANNELS} mesh features per voxel, or {without_color} without colour, got "
            f"{feats.shape[1]}; pass the mesh decoder's output unchanged."
        )
    if len(coords) and (int(coords.min()) < 0 or int(coords.max()) >= resolution):
        raise InputError(
            f"Expected voxel coordinates in 0..{resolution - 1}, got {int(coords.min())}..{int(coords.max())}; "
            "pass the resolution of the decoder's output grid."
        )
    if not training and not torch.isfinite(feats).all():
        raise InputError("Expected finite mesh features, got NaN or infinity; decode in float32 or bfloat16.")
