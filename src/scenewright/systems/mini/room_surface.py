"""The surface of a place by mini's room network, chunk by chunk.

Chunks are conditioned and computed one or two at a time on a common lattice, and overlapping ones are blended, each
with the more say the farther a cell is from the sides; memory for the network does not grow with the place. The zero
level of the blended distances is drawn and moved back by what surfaces were thickened.

Legend: K chunks, X/Y/Z cells of all chunks. Frame: world, z up, metres, unless said.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scenewright.geometry.isosurface.level_surface import level_surface
from scenewright.geometry.mesh.parts import vertex_normals
from scenewright.geometry.threads import free_threads
from scenewright.progress import Advance, ignore
from scenewright.sparse.side_by_side import run_side_by_side
from scenewright.systems.genrecon.lattice import ChunkLattice
from scenewright.systems.genrecon.seen_points import SeenPoints
from scenewright.systems.genrecon.tiling import Chunks
from scenewright.systems.mini.room_evidence import Evidence, RoomGrid, RoomViews, room_evidence
from scenewright.systems.mini.room_network import BELOW_FLOOR, CHUNK_CELLS, THIN_CELLS, RoomNetwork
from scenewright.types import Mesh

__all__ = ["RoomField", "predicted_field", "surface_of_field"]

# Chunks that are computed at the same time: more take more memory, and wait for each other in Python.
_AT_ONCE = 2
# Weight of a cell at the side of its chunk, where the network knows one side only.
_LEAST_WEIGHT = 0.02


@dataclass(frozen=True)
class RoomField:
    """Signed distances, thickened, on the cells of all chunks; `known` where a chunk had a say."""

    grid: RoomGrid
    distance: Float[np.ndarray, "X Y Z"]
    known: Bool[np.ndarray, "X Y Z"]


@torch.no_grad()
def predicted_field(
    network: RoomNetwork,
    chunks: Chunks,
    points: SeenPoints,
    views: RoomViews,
    *,
    estimate: Callable[[Evidence], Float[Tensor, "X Y Z"]] | None = None,
    advance: Advance = ignore,
) -> RoomField:
    """The blended distances of all chunks, which stand `BELOW_FLOOR` cells lower than planned.

    Args:
        estimate: distances of one chunk from its evidence; by default the network's.
    """
    cell = chunks.size / CHUNK_CELLS
    lowered = chunks.centres - torch.tensor([0.0, 0.0, BELOW_FLOOR * cell], dtype=chunks.centres.dtype)
    chunks = replace(chunks, centres=lowered)
    lattice = ChunkLattice.from_translations(chunks.relative_translation.float(), CHUNK_CELLS)
    total, weights = np.zeros(lattice.size, np.float32), np.zeros(lattice.size, np.float32)
    hat = _hat()
    device = next(network.parameters()).device
    found: list[Tensor | None] = [None] * len(chunks.centres)

    def find(index: int) -> None:
        x, y, z = (chunks.centres[index] - chunks.size / 2).tolist()
        grid = RoomGrid((x, y, z), cell, (CHUNK_CELLS,) * 3, z + BELOW_FLOOR * cell)
        evidence = room_evidence(grid, points, views)
        if estimate is None:
            found[index] = network(evidence.fine[None].to(device), evidence.coarse[None].to(device))[0].cpu()
        else:
            found[index] = estimate(evidence)
        advance(sum(chunk is not None for chunk in found), len(found))

    num_threads = min(_AT_ONCE, free_threads()) if device.type == "cpu" else 1
    run_side_by_side(find, range(len(found)), num_threads=num_threads)
    for offset, distances in zip(lattice.offsets.tolist(), found, strict=True):
        assert distances is not None
        place = tuple(slice(o, o + CHUNK_CELLS) for o in offset)
        total[place] += hat * distances.numpy()
        weights[place] += hat
    low = chunks.centres.amin(0) - chunks.size / 2
    x, y, z = low.tolist()
    grid = RoomGrid((x, y, z), cell, lattice.size, z + BELOW_FLOOR * cell)
    return RoomField(grid, total / np.maximum(weights, 1e-6), weights > 0)


def surface_of_field(field: RoomField) -> Mesh:
    """The surface, wound towards free space, moved back into what is solid by `THIN_CELLS`; open where chunks end."""
    mesh = level_surface(field.distance, field.known)
    if not len(mesh.faces):
        return mesh
    moved = mesh.vertices - THIN_CELLS * vertex_normals(mesh)
    return Mesh(moved * field.grid.cell + torch.tensor(field.grid.low), mesh.faces)


def _hat() -> Float[np.ndarray, "R R R"]:
    """1 in the middle of a chunk, falling to its four sides."""
    ramp = 1 - np.abs((np.arange(CHUNK_CELLS) + 0.5) / (CHUNK_CELLS / 2) - 1)
    flat = np.maximum(ramp[:, None] * ramp[None, :], _LEAST_WEIGHT)
    return np.repeat(flat[:, :, None], CHUNK_CELLS, 2).astype(np.float32)
