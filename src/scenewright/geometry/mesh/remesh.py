"""Remeshing any triangle soup into a closed shell by dual contouring its distance field in a narrow band.

The level set of the unsigned distance at `band` cells is closed and oriented whatever the input: open sheets, holes,
self-intersections and random winding all give a double shell without borders, the outer and inner side of every sheet.
Where two parts of the level set pass through one cell they share its vertex, so single edges may have four faces;
`split_non_manifold` parts them.
Cells far from that level set are dropped on every level of a coarse-to-fine grid, so work and memory grow with the
surface. Vertices can be pulled back on to the input afterwards.

Source: the narrow-band remeshing of TRELLIS.2's export (CuMesh). Legend: N cells, V vertices, F faces. Frame: the
input's own; cell (i, j, k) of a grid of resolution R starts at centre + ((i, j, k) / R - 0.5) scale.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.isosurface.dual_marching_cubes_table import CORNER_OFFSETS, CUBE_EDGES
from scenewright.geometry.mesh.area_vectors import area_vectors
from scenewright.geometry.mesh.parts import check_mesh
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.types import Mesh

__all__ = ["remesh_narrow_band"]

_COARSEST = 32
# Half the diagonal of a cell, rounded up: a cell whose centre is farther from the level set cannot contain it.
_HALF_DIAGONAL = 0.87
# Low corner of the four cells round the grid edge at the high corner of the first one, per axis of the edge.
_QUAD_OFFSETS = (
    ((0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0)),
    ((0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1)),
    ((0, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0, 0)),
)


def remesh_narrow_band(
    mesh: Mesh,
    *,
    resolution: int,
    band: float = 1.0,
    project_back: float = 0.0,
    center: tuple[float, float, float] = (0.0, 0.0, 0.0),
    scale: float | None = None,
) -> Mesh:
    """Closed, outward-oriented double shell round `mesh`, without attributes.

    Args:
        resolution: cells per axis: 32 times a power of two, or at most 32 (halved until it is).
        band: distance of the shell from the surface, in cells.
        project_back: fraction of the way back to the input's surface that every vertex is moved, 0 to 1.
        center: centre of the grid, in the mesh's frame.
        scale: side of the grid; by default that of a unit cube widened by 1.5 bands on each side.

    Raises:
        InputError: the mesh has no face or a bad vertex, or the resolution cannot be halved down to 32.
    """
    check_mesh(mesh)
    scale = (resolution + 3 * band) / resolution if scale is None else scale
    level_distance = band * scale / resolution
    tree = TriangleTree(mesh)
    origin = torch.tensor(center) - scale / 2

    def level_set(points: Float[Tensor, "M 3"]) -> Float[Tensor, " M"]:
        return tree.query(points).distance - level_distance

    cells = _band_cells(level_set, origin, scale, resolution)
    corner_ids, corner_row = _shared_corners(cells, resolution)
    corner_value = level_set(_positions(corner_ids, resolution + 1, origin, scale / resolution))[corner_row]
    vertices = origin + (cells + _crossing_mean(corner_value)) * (scale / resolution)
    faces = _split_quads(*_quads(cells, corner_value, resolution), vertices)
    used, faces = torch.unique(faces, return_inverse=True)
    vertices = vertices[used]
    if project_back > 0:
        vertices = vertices - project_back * (vertices - tree.query(vertices).points)
    device = mesh.vertices.device
    return Mesh(vertices.to(device), faces.reshape(-1, 3).to(device))


def _band_cells(
    level_set: Callable[[Tensor], Tensor], origin: Float[Tensor, "3"], scale: float, resolution: int
) -> Int[Tensor, "N 3"]:
    """Cells that the level set may cross, refined from a coarse grid; children follow their parent."""
    level = resolution
    while level > _COARSEST:
        if level % 2:
            raise InputError(
                f"Expected a remeshing resolution of 32 times a power of two, got {resolution}; try "
                f"{_COARSEST * 2 ** round(torch.tensor(resolution / _COARSEST).log2().item())}."
            )
        level //= 2
    cells = torch.cartesian_prod(*[torch.arange(level)] * 3)
    children = torch.tensor(CORNER_OFFSETS)
    while True:
        cell_size = scale / level
        value = level_set(origin + (cells + 0.5) * cell_size)
        cells = cells[value.abs() < _HALF_DIAGONAL * cell_size]
        if level == resolution:
            return cells
        cells = (cells[:, None] * 2 + children).flatten(0, 1)
        level *= 2


def _shared_corners(cells: Int[Tensor, "N 3"], resolution: int) -> tuple[Int[Tensor, " U"], Int[Tensor, "N 8"]]:
    corners = cells[:, None] + torch.tensor(CORNER_OFFSETS)
    return torch.unique(_flatten(corners, resolution + 1), return_inverse=True)


def _crossing_mean(corner_value: Float[Tensor, "N 8"]) -> Float[Tensor, "N 3"]:
    """Mean of the zero crossings on a cell's edges, in cells from its low corner; its centre where there is none."""
    total = torch.zeros(len(corner_value), 3)
    count = torch.zeros(len(corner_value), 1)
    offsets = torch.tensor(CORNER_OFFSETS, dtype=torch.float32)
    for a, b in CUBE_EDGES:
        start, end = corner_value[:, a], corner_value[:, b]
        crossed = (start < 0) != (end < 0)
        t = torch.where(crossed, start / (start - end), 0.0)
        total += torch.where(crossed[:, None], offsets[a] + t[:, None] * (offsets[b] - offsets[a]), 0.0)
        count += crossed[:, None]
    return torch.where(count > 0, total / count.clamp(min=1), 0.5)


def _quads(
    cells: Int[Tensor, "N 3"], corner_value: Float[Tensor, "N 8"], resolution: int
) -> tuple[Int[Tensor, "Q 4"], Bool[Tensor, " Q"]]:
    """Crossed grid edges whose four cells exist, by cell and then by axis; True where values rise along the axis."""
    inside = corner_value < 0
    # The edges at a cell's high corner (7) start at corners 6, 5, 3 along x, y, z.
    direction = inside[:, [6, 5, 3]].long() - inside[:, 7:].long()
    cell, axis = direction.nonzero(as_tuple=True)
    corners = cells[cell, None] + torch.tensor(_QUAD_OFFSETS)[axis]
    # A neighbour beyond the grid must not alias the next row: ids are taken on a grid one cell larger.
    ids, order = torch.sort(_flatten(cells, resolution + 1))
    wanted = _flatten(corners, resolution + 1)
    row = torch.searchsorted(ids, wanted).clamp(max=max(len(ids) - 1, 0))
    is_complete = (ids[row] == wanted).all(1) if len(ids) else torch.zeros(0, dtype=torch.bool)
    return order[row[is_complete]], (direction[cell, axis] > 0)[is_complete]


def _split_quads(
    quads: Int[Tensor, "Q 4"], is_rising: Bool[Tensor, " Q"], vertices: Float[Tensor, "N 3"]
) -> Int[Tensor, "F 3"]:
    """Outward triangles along diagonal 0-2, or along 1-3 where the first triangle of the former has no area."""
    has_area = area_vectors(vertices[quads[:, :3]]).square().sum(1) > 0
    rising = torch.where(has_area[:, None], quads[:, [0, 2, 1, 0, 3, 2]], quads[:, [0, 3, 1, 3, 2, 1]])
    falling = torch.where(has_area[:, None], quads[:, [0, 1, 2, 0, 2, 3]], quads[:, [0, 1, 3, 3, 1, 2]])
    return torch.where(is_rising[:, None], rising, falling).reshape(-1, 3)


def _flatten(coords: Int[Tensor, "*shape 3"], size: int) -> Int[Tensor, "*shape"]:
    x, y, z = coords.unbind(-1)
    return (x * size + y) * size + z


def _positions(ids: Int[Tensor, " U"], size: int, origin: Float[Tensor, "3"], step: float) -> Float[Tensor, "U 3"]:
    return origin + torch.stack([ids // (size * size), ids // size % size, ids % size], 1) * step
