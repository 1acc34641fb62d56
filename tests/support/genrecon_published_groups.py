"""The published way to decode a large scene in groups of chunks, kept for comparison with published output.

Groups own the bounding boxes of their chunks, which overlap where chunks do: faces and texture voxels there come out
once per group, and faces whose middle leaves the scene's box are lost. `joint_decode.partition` has neither defect.
Source: GenRecon, `genrecon/pipelines/joint_decode.py`.

Legend: K chunks, U merged cells, N fine voxels. Cells are those of the scene's lattice.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from scenewright.systems.genrecon.joint_decode import Box, cells_in_box
from scenewright.systems.genrecon.lattice import ChunkLattice
from scenewright.types import Mesh

__all__ = ["chunk_groups", "group_box", "grouped_surface", "inflated"]


def chunk_groups(
    lattice: ChunkLattice,
    cells: Int[Tensor, "U 3"],
    *,
    max_chunks: int | None = 10,
    max_cells: int | None = 100_000,
    overlap: int = 16,
) -> list[list[int]]:
    """Chunks bisected at the median of the axis along which their centres spread widest, until every group is small.

    Args:
        max_chunks: None keeps all chunks in one group.
        max_cells: merged cells in a group's box inflated by `overlap`; None for any number.
    """
    if max_chunks is None:
        return [list(range(len(lattice.offsets)))]

    def divided(chunks: list[int]) -> list[list[int]]:
        held = int(cells_in_box(cells, inflated(group_box(lattice, chunks), overlap)).sum()) if max_cells else 0
        if len(chunks) == 1 or (len(chunks) <= max_chunks and (max_cells is None or held <= max_cells)):
            return [chunks]
        centres = lattice.offsets[chunks]
        axis = int((centres.amax(0) - centres.amin(0)).argmax())
        ordered = [chunks[index] for index in centres[:, axis].argsort(stable=True).tolist()]
        half = len(ordered) // 2
        return divided(ordered[:half]) + divided(ordered[half:])

    return divided(list(range(len(lattice.offsets))))


def group_box(lattice: ChunkLattice, chunks: Sequence[int]) -> Box:
    """The box round the cubes of some chunks."""
    offsets = lattice.offsets[list(chunks)]
    return offsets.amin(0), offsets.amax(0) + lattice.resolution


def inflated(box: Box, cells: int) -> Box:
    return box[0] - cells, box[1] + cells


def grouped_surface(
    parts: Sequence[tuple[Int[Tensor, "_ 3"], Mesh]], boxes: Sequence[Box], lattice: ChunkLattice
) -> Mesh:
    """Faces of every group whose middle lies in its (half-open) box, vertices of one fine voxel welded.

    Args:
        parts: fine voxels of each group and the mesh with one vertex per voxel, joint frame.
    """
    coords, vertices, faces, start = [], [], [], 0
    for (voxels, mesh), (low, high) in zip(parts, boxes, strict=True):
        corner = lattice.low - 0.5
        low_joint, high_joint = (edge / lattice.resolution + corner for edge in (low, high))
        middle = mesh.vertices[mesh.faces.long()].mean(1)
        kept = mesh.faces[((middle >= low_joint) & (middle < high_joint)).all(1)].long()
        used, compact = kept.unique(return_inverse=True)
        coords.append(voxels[used])
        vertices.append(mesh.vertices[used])
        faces.append(compact.view(-1, 3) + start)
        start += len(used)
    cells, row = torch.cat(coords).unique(dim=0, return_inverse=True)
    first = torch.full((len(cells),), start, dtype=torch.long).scatter_reduce(0, row, torch.arange(start), "amin")
    return Mesh(torch.cat(vertices)[first], row[torch.cat(faces)].int())
