"""One surface out of all chunks: latents merged cell by cell, then decoded in parts that own the scene between them.

Cells of the merged latent are divided into boxes. Each box is decoded with a margin as wide as the decoder looks, and
keeps the fine voxels and quads of its own cells: a quad belongs to the voxel whose edge is crossed, so every quad of
the scene has one owner, none is lost and none is made twice. One box for everything is the single pass.
Source: GenRecon, `genrecon/pipelines/joint_decode.py`, whose groups own overlapping boxes instead (`published_groups`).

Legend: K chunks, R cells along a chunk side, U merged cells, C channels, N fine voxels, V vertices, F triangles.
Frame: the joint frame (local frame of the first chunk).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from scenewright.backbones.trellis2.config import DOWNSAMPLING
from scenewright.backbones.trellis2.shape_vae import ShapeFields
from scenewright.backbones.trellis2.sparse_unet import Pyramid
from scenewright.geometry.ovoxel.dual_grid_mesh import dual_grid_quads, split_quads
from scenewright.samplers.multidiffusion import Overlap
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.systems.genrecon.lattice import ChunkLattice
from scenewright.types import Mesh

__all__ = [
    "MARGIN_CELLS",
    "Box",
    "DecodedPart",
    "cells_in_box",
    "chunk_cells",
    "decode_joint_structure",
    "decode_part",
    "decode_parts",
    "fine_vertices",
    "joined_surface",
    "merged_latent",
    "partition",
]

MARGIN_CELLS = 16
"""Reach of the published decoder in latent cells: four blocks of the coarsest level, the finer ones halving."""
MAX_CELLS = 60_000
"""Latent cells decoded at a time, margin included."""

Box = tuple[Int[Tensor, " 3"], Int[Tensor, " 3"]]
"""Low and high corner in cells of the scene, half-open."""
DecodeShape = Callable[[SparseTensor], tuple[ShapeFields, Pyramid]]
DecodeTexture = Callable[[SparseTensor, Pyramid], SparseTensor]


@dataclass(frozen=True)
class DecodedPart:
    """Fine voxels of one box with its margin; triangles index them; only `owned` voxels have a say in the scene."""

    coords: Int[Tensor, "N 3"]
    dual_vertices: Float[Tensor, "N 3"]
    triangles: Int[Tensor, "F 3"]
    owned: Bool[Tensor, " N"]
    materials: Float[Tensor, "N 6"] | None = None


# --------------------------------------------------------------------------------------------------------- occupancy


@torch.no_grad()
def decode_joint_structure(
    decoder: Callable[[Float[Tensor, "1 C X Y Z"]], Float[Tensor, "1 1 SX SY SZ"]],
    latents: Float[Tensor, "K C r r r"],
    relative_translation: Float[Tensor, "K 3"],
    resolution: int,
) -> Float[Tensor, "K 1 R R R"]:
    """Occupancy logits of every chunk, decoded from one canvas with the mean of all chunks' latents.

    Overlapping chunks get equal logits by construction. Cells that no chunk covers are zero.

    Args:
        decoder: dense, to any finer grid that is a multiple of `resolution` per chunk; finer cells are max-pooled.
    """
    lattice = ChunkLattice.from_translations(relative_translation, latents.shape[-1])
    canvas = latents.new_zeros(latents.shape[1], *lattice.size)
    count = latents.new_zeros(1, *lattice.size)
    for latent, offset in zip(latents, lattice.offsets.tolist(), strict=True):
        window = (slice(None), *(slice(begin, begin + lattice.resolution) for begin in offset))
        canvas[window] += latent
        count[window] += 1
    logits = decoder((canvas / count.clamp(min=1))[None])
    factor = logits.shape[2] * lattice.resolution // (lattice.size[0] * resolution)
    if factor > 1:
        logits = F.max_pool3d(logits, factor)
    fine = ChunkLattice.from_translations(relative_translation, resolution)
    rows = logits[0].movedim(0, -1)
    return torch.stack([fine.cut(rows, chunk).movedim(-1, 0) for chunk in range(len(latents))])


def chunk_cells(
    logits: Float[Tensor, "1 R R R"], threshold: float, target_resolution: int | None = None
) -> Int[Tensor, "N 3"]:
    """Cells of one chunk with a logit above `threshold`, lexicographic, int32.

    Args:
        target_resolution: scales coordinates to another grid (rounded half to even, each kept once), as published.
    """
    cells = (logits[0] > threshold).nonzero()
    if target_resolution is not None and target_resolution != logits.shape[-1]:
        cells = (cells * (target_resolution / logits.shape[-1])).round().long().unique(dim=0)
    return cells.int()


# ------------------------------------------------------------------------------------------------------------ latents


def merged_latent(
    lattice: ChunkLattice, cells: Sequence[Shaped[Tensor, "_ 3"]], feats: Sequence[Float[Tensor, "_ C"]]
) -> SparseTensor:
    """Mean of all chunks over every cell of the scene, lexicographic."""
    overlap = Overlap.of_chunks([lattice.scene_cells(chunk, rows) for chunk, rows in enumerate(cells)])
    coords = F.pad(overlap.cells, (1, 0)).int()
    return SparseTensor(overlap.mean(torch.cat(list(feats))), VoxelSet(coords, 1))


def partition(cells: Int[Tensor, "U 3"], *, max_cells: int = MAX_CELLS, margin: int = MARGIN_CELLS) -> list[Box]:
    """Disjoint boxes that together hold all cells, each with at most `max_cells` cells in itself and its margin.

    Boxes are halved at the median cell along the axis where their cells spread widest, while that still lowers the
    count; a box as narrow as its margin is kept whatever it holds.
    """
    low, high = cells.amin(0), cells.amax(0) + 1
    boxes, waiting = [], [(low, high)]
    while waiting:
        low, high = waiting.pop()
        mine = cells[cells_in_box(cells, (low, high))]
        if not len(mine):
            continue
        spread = mine.amax(0) - mine.amin(0)
        axis = int(spread.argmax())
        is_wide = int(spread[axis]) + 1 > max(margin, 1)
        if len(cells[cells_in_box(cells, (low - margin, high + margin))]) <= max_cells or not is_wide:
            boxes.append((low, high))
            continue
        cut = int(mine[:, axis].sort().values[len(mine) // 2])
        cut = max(cut, int(mine[:, axis].amin()) + 1)
        left_high, right_low = high.clone(), low.clone()
        left_high[axis] = right_low[axis] = cut
        waiting += [(right_low, high), (low, left_high)]
    return boxes


def cells_in_box(cells: Int[Tensor, "U 3"], box: Box) -> Bool[Tensor, " U"]:
    """Which cells lie in a half-open box."""
    low, high = (corner.to(cells.device) for corner in box)
    return ((cells >= low) & (cells < high)).all(1)


# ------------------------------------------------------------------------------------------------------------- surface


@torch.no_grad()
def decode_part(
    shape: SparseTensor,
    decode_shape: DecodeShape,
    box: Box,
    *,
    voxels_per_cell: int = DOWNSAMPLING,
    margin: int = MARGIN_CELLS,
    texture: SparseTensor | None = None,
    decode_texture: DecodeTexture | None = None,
) -> DecodedPart:
    """The fine voxels of one box of the merged latent, and the triangles that belong to it.

    Args:
        shape: merged latent of the scene; `texture` likewise, on the same cells.
        decode_shape: fields on a grid `voxels_per_cell` times finer, and how it was subdivided.
    """
    cells = shape.coords[:, 1:]
    rows = cells_in_box(cells, (box[0] - margin, box[1] + margin)).nonzero()[:, 0]
    voxels = VoxelSet(shape.coords[rows], 1)
    fields, pyramid = decode_shape(SparseTensor(shape.feats[rows], voxels))
    coords = fields.voxels.coords[:, 1:]
    owned = cells_in_box(coords, (box[0] * voxels_per_cell, box[1] * voxels_per_cell))
    quads = dual_grid_quads(coords, fields.intersected_logits > 0)
    # The first corner of a quad is the voxel whose edge is crossed.
    triangles = split_quads(quads[owned[quads[:, 0].long()]], fields.split_weight)
    materials = None
    if texture is not None and decode_texture is not None:
        materials = decode_texture(SparseTensor(texture.feats[rows], voxels), pyramid).feats
    return DecodedPart(coords, fields.dual_vertices, triangles, owned, materials)


def decode_parts(
    shape: SparseTensor,
    decode_shape: DecodeShape,
    boxes: Sequence[Box],
    *,
    voxels_per_cell: int = DOWNSAMPLING,
    margin: int = MARGIN_CELLS,
    texture: SparseTensor | None = None,
    decode_texture: DecodeTexture | None = None,
) -> Iterator[DecodedPart]:
    """`decode_part` of every box in turn, with what lies outside the box dropped and taken to the host."""
    for box in boxes:
        part = decode_part(
            shape,
            decode_shape,
            box,
            voxels_per_cell=voxels_per_cell,
            margin=margin,
            texture=texture,
            decode_texture=decode_texture,
        )
        needed = part.owned.clone()
        needed[part.triangles.long().flatten()] = True
        new_row = needed.cumsum(0) - 1
        yield DecodedPart(
            part.coords[needed].cpu(),
            part.dual_vertices[needed].cpu(),
            new_row[part.triangles.long()].cpu(),
            part.owned[needed].cpu(),
            None if part.materials is None else part.materials[needed].cpu(),
        )


def joined_surface(
    parts: Sequence[DecodedPart], lattice: ChunkLattice, voxels_per_side: int
) -> tuple[Mesh, Int[Tensor, "N 3"], Float[Tensor, "N 6"] | None]:
    """One mesh of all parts with equal voxels welded, and the owned voxels with their materials, lexicographic.

    A corner on another part's voxel takes that part's vertex. Vertices without a face are dropped.

    Args:
        voxels_per_side: fine voxels along a chunk side.
    """
    coords = torch.cat([part.coords for part in parts]).long()
    owned = torch.cat([part.owned for part in parts])
    duals = torch.cat([part.dual_vertices for part in parts])
    starts = torch.tensor([0, *(len(part.coords) for part in parts)]).cumsum(0).tolist()
    triangles = torch.cat([part.triangles.long() + start for part, start in zip(parts, starts[:-1], strict=True)])
    cells, cell_of_row = coords.unique(dim=0, return_inverse=True)
    # Among the copies of a voxel the owner's stands; where nobody owns it, the first.
    order = torch.arange(len(coords)) + len(coords) * (~owned).long()
    chosen = torch.full((len(cells),), 2 * len(coords), dtype=torch.long)
    chosen = chosen.scatter_reduce(0, cell_of_row, order, "amin") % max(len(coords), 1)
    faces = cell_of_row[triangles]
    used = torch.zeros(len(cells), dtype=torch.bool)
    used[faces.flatten()] = True
    new_row = used.cumsum(0) - 1
    vertices = fine_vertices(cells[used], duals[chosen[used]], lattice, voxels_per_side)
    is_owned = owned[chosen]
    materials = None
    if all(part.materials is not None for part in parts):
        materials = torch.cat([part.materials for part in parts if part.materials is not None])[chosen[is_owned]]
    return Mesh(vertices, new_row[faces].int()), cells[is_owned].int(), materials


def fine_vertices(
    coords: Int[Tensor, "N 3"], dual_vertices: Float[Tensor, "N 3"], lattice: ChunkLattice, voxels_per_side: int
) -> Float[Tensor, "N 3"]:
    """Vertices of fine voxels of the scene in the joint frame."""
    return (coords + dual_vertices) / voxels_per_side + (lattice.low.to(dual_vertices) - 0.5)
