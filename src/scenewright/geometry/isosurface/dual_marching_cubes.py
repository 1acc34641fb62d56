"""Dual marching cubes on a sparse grid, with FlexiCubes weights; differentiable, on any device.

Every surface cube gets one vertex per closed loop of crossed edges: the weighted mean of the zero crossings of the
loop. Every crossed grid edge inside the grid joins the vertices of its four cubes into a quad. Only values near the
surface are stored: grid vertices and cubes that are absent take the defaults below, and cubes that merely touch a
stored vertex still produce surface, exactly as if the dense grid had been filled with the defaults. Memory is linear
in the number of stored cubes; the order of vertices and faces equals the dense published implementation's.

Source: "Flexible Isosurface Extraction for Gradient-Based Mesh Optimization" (FlexiCubes, Shen et al., 2023).
Legend: R cubes per axis, U stored grid vertices, N stored cubes, K surface cubes, E (surface cube, crossed edge)
pairs, V dual vertices, Q quads, C attributes. Frame: the cube [-0.5, 0.5]^3; see docs/conventions.md#grid.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.geometry.isosurface.dual_marching_cubes_table import CORNER_OFFSETS, CUBE_EDGES, case_table

__all__ = ["DualSurface", "ScalarGrid", "average_corners", "dual_marching_cubes"]

# What a grid vertex or cube that is not stored holds: outside, undisplaced, even weights.
_DEFAULT_SDF = 1.0
_DEFAULT_WEIGHT = 1.0
_DEFAULT_SPLIT = 0.5
# Rank of an edge's second vertex among the edges that share the first: the y edge points down, z is the unit stride.
_RANK_OF_AXIS = (2, 0, 1)


@dataclass(frozen=True)
class ScalarGrid:
    """A signed distance field stored near its zero set; negative inside.

    `vertex_ids` = (x (R + 1) + y)(R + 1) + z, ascending; `vertex_shift` displaces grid vertices, in the frame's unit;
    `cube_ids` = (x R + y) R + z, ascending. `edge_weights` and `corner_weights` follow CUBE_EDGES and CORNER_OFFSETS;
    `split_weights` choose the diagonal of quads. Absent vertices have the attribute 0.5.
    """

    resolution: int
    vertex_ids: Int[Tensor, " U"]
    vertex_sdf: Float[Tensor, " U"]
    vertex_shift: Float[Tensor, "U 3"]
    vertex_attributes: Float[Tensor, "U C"]
    cube_ids: Int[Tensor, " N"]
    edge_weights: Float[Tensor, "N 12"]
    corner_weights: Float[Tensor, "N 8"]
    split_weights: Float[Tensor, " N"]


@dataclass(frozen=True)
class DualSurface:
    """Triangles winding counter-clockwise seen from positive distances, and the regulariser's terms.

    `deviation` holds, for every (dual vertex, crossed edge) pair, how far the edge's distance to its vertex is from
    the mean distance of that vertex; its mean is FlexiCubes' L_dev.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    attributes: Float[Tensor, "V C"]
    deviation: Float[Tensor, " E"]


def average_corners(
    coords: Int[Tensor, "N 3"], values: Float[Tensor, "N 8 C"], resolution: int
) -> tuple[Int[Tensor, " U"], Float[Tensor, "U C"], Int[Tensor, "N 8"]]:
    """Mean of the values that cubes give to the grid vertices they share.

    Returns:
        Ascending vertex ids, the mean per vertex, and for every cube corner the row of its vertex.
    """
    corners = coords.long()[:, None] + torch.tensor(CORNER_OFFSETS, device=coords.device)
    ids, inverse = torch.unique(_flatten(corners, resolution + 1), return_inverse=True)
    total = values.new_zeros(len(ids), values.shape[-1]).index_add(0, inverse.flatten(), values.flatten(0, 1))
    count = torch.bincount(inverse.flatten(), minlength=len(ids))
    return ids, total / count[:, None], inverse


def dual_marching_cubes(grid: ScalarGrid, *, insert_centres: bool = False) -> DualSurface:
    """The zero surface of `grid`. An empty surface has zero vertices and faces.

    The surface is open where it leaves the grid. Differentiable in every floating-point field of `grid`.

    Args:
        insert_centres: give each quad a weighted centre vertex and four triangles (used while training: no hard choice
            of a diagonal) instead of splitting it along the diagonal with the larger product of split weights.
    """
    cube_ids, corner_row = _surface_cubes(grid)
    cubes = _unflatten(cube_ids, grid.resolution)
    sdf = _pad(grid.vertex_sdf, _DEFAULT_SDF)[corner_row]
    case = _resolved_cases(cube_ids, cubes, _case_ids(sdf), grid.resolution)

    table = case_table().to(cubes.device)
    cube, edge = (table.loop_of_edge[case] >= 0).nonzero(as_tuple=True)
    vertex_start, vertex_cube = _number_vertices(table.num_loops[case])
    vertex = vertex_start[cube] + table.loop_of_edge[case[cube], edge]
    num_vertices = len(vertex_cube)

    ends = torch.tensor(CUBE_EDGES, device=cubes.device)[edge]
    end_row = corner_row[cube[:, None], ends]
    end_sdf = sdf[cube[:, None], ends]
    offsets = torch.tensor(CORNER_OFFSETS, device=cubes.device)
    end_position = (cubes[cube, None] + offsets[ends]).to(sdf) / grid.resolution - 0.5
    end_position = end_position + _pad(grid.vertex_shift, 0.0)[end_row]
    end_attributes = _pad(grid.vertex_attributes, 0.5)[end_row]

    stored = _lookup(grid.cube_ids, cube_ids)
    end_weight = _pad(grid.corner_weights, _DEFAULT_WEIGHT)[stored[cube, None], ends]
    edge_weight = _pad(grid.edge_weights, _DEFAULT_WEIGHT)[stored[cube], edge]
    fraction = _crossing_fraction(end_sdf * end_weight)
    total_weight = _sum_by(edge_weight, vertex, num_vertices)
    share = (edge_weight / total_weight[vertex])[:, None]
    vertices = _sum_by(share * _mix(end_position, fraction), vertex, num_vertices)
    attributes = _sum_by(share * _mix(end_attributes, fraction), vertex, num_vertices)

    # Regulariser: the crossing without corner weights, seen from the dual vertex.
    distance = torch.linalg.vector_norm(vertices[vertex] - _mix(end_position, _crossing_fraction(end_sdf)), dim=-1)
    edges_per_vertex = torch.bincount(vertex, minlength=num_vertices)
    mean_distance = _sum_by(distance, vertex, num_vertices) / edges_per_vertex
    deviation = (distance - mean_distance[vertex]).abs()

    quads = _quads(grid.resolution, cubes, cube, edge, vertex, end_sdf)
    split_weight = _pad(grid.split_weights, _DEFAULT_SPLIT)[stored][vertex_cube]
    if insert_centres:
        vertices, attributes, faces = _fan_quads(quads, vertices, attributes, split_weight)
    else:
        faces = _split_quads(quads, split_weight)
    return DualSurface(vertices, faces, attributes, deviation)


def _surface_cubes(grid: ScalarGrid) -> tuple[Int[Tensor, " K"], Int[Tensor, "K 8"]]:
    """Cubes of the grid with corners on both sides, ascending, and the stored row of each corner (U where absent).

    Absent vertices are outside, so every surface cube touches a stored occupied vertex: only those need a look.
    """
    resolution = grid.resolution
    offsets = torch.tensor(CORNER_OFFSETS, device=grid.vertex_ids.device)
    occupied = _unflatten(grid.vertex_ids[grid.vertex_sdf < 0], resolution + 1)
    candidates = (occupied[:, None] - offsets).flatten(0, 1)
    candidates = candidates[((candidates >= 0) & (candidates < resolution)).all(1)]
    cube_ids = torch.unique(_flatten(candidates, resolution))
    corners = _unflatten(cube_ids, resolution)[:, None] + offsets
    corner_row = _lookup(grid.vertex_ids, _flatten(corners, resolution + 1))
    is_outside = (_pad(grid.vertex_sdf.detach(), _DEFAULT_SDF)[corner_row] >= 0).any(1)
    return cube_ids[is_outside], corner_row[is_outside]


def _case_ids(sdf: Float[Tensor, "K 8"]) -> Int[Tensor, " K"]:
    powers = 2 ** torch.arange(8, device=sdf.device)
    return ((sdf < 0).long() * powers).sum(1)


def _resolved_cases(
    cube_ids: Int[Tensor, " K"], cubes: Int[Tensor, "K 3"], case: Int[Tensor, " K"], resolution: int
) -> Int[Tensor, " K"]:
    """Complements the case of a problematic cube whose neighbour across the ambiguous face is problematic as well.

    Both cubes flip together, so they agree on how the face between them is joined.
    """
    step = case_table().to(case.device).ambiguous_step[case]
    problematic = step.any(1).nonzero()[:, 0]
    neighbour = cubes[problematic] + step[problematic]
    inside = ((neighbour >= 0) & (neighbour < resolution)).all(1)
    problematic, neighbour = problematic[inside], neighbour[inside]
    row = _lookup(cube_ids[problematic], _flatten(neighbour, resolution))
    flip = problematic[row < len(problematic)]
    resolved = case.clone()
    resolved[flip] = 255 - case[flip]
    return resolved


def _number_vertices(num_loops: Int[Tensor, " K"]) -> tuple[Int[Tensor, " K"], Int[Tensor, " V"]]:
    """First dual vertex of each cube, and each dual vertex's cube: cubes with one loop come first, then two, ..."""
    by_loops = torch.argsort(num_loops, stable=True)
    count = num_loops[by_loops]
    start = torch.empty_like(num_loops)
    start[by_loops] = count.cumsum(0) - count
    return start, torch.repeat_interleave(by_loops, count)


def _quads(
    resolution: int,
    cubes: Int[Tensor, "K 3"],
    cube: Int[Tensor, " E"],
    edge: Int[Tensor, " E"],
    vertex: Int[Tensor, " E"],
    end_sdf: Float[Tensor, "E 2"],
) -> Int[Tensor, "Q 4"]:
    """Outward quads of the crossed grid edges that four surface cubes share.

    Those whose edge starts outside come first; inside each kind they follow the edges' (first vertex, second vertex).
    """
    device = cubes.device
    offsets = torch.tensor(CORNER_OFFSETS, device=device)
    edges = torch.tensor(CUBE_EDGES, device=device)
    axis_of_edge = (offsets[edges[:, 0]] != offsets[edges[:, 1]]).long().argmax(1)
    rank_of_edge = torch.tensor(_RANK_OF_AXIS, device=device)[axis_of_edge]
    first_vertex = _flatten(cubes[cube] + offsets[edges[edge, 0]], resolution + 1)
    # Stable, so that the pairs of one grid edge keep the ascending order of their cubes.
    key, order = torch.sort(first_vertex * 3 + rank_of_edge[edge], stable=True)
    _, inverse, count = torch.unique_consecutive(key, return_inverse=True, return_counts=True)
    order = order[count[inverse] == 4]
    quads = vertex[order].reshape(-1, 4)
    starts_outside = end_sdf[order[::4], 0] > 0
    return torch.cat([quads[starts_outside][:, [0, 1, 3, 2]], quads[~starts_outside][:, [2, 3, 1, 0]]])


def _split_quads(quads: Int[Tensor, "Q 4"], split_weight: Float[Tensor, " V"]) -> Int[Tensor, "F 3"]:
    first, second = _diagonal_weights(quads, split_weight)
    along_first = quads[:, [0, 1, 2, 0, 2, 3]]
    along_second = quads[:, [0, 1, 3, 3, 1, 2]]
    return torch.where((first > second)[:, None], along_first, along_second).reshape(-1, 3)


def _fan_quads(
    quads: Int[Tensor, "Q 4"],
    vertices: Float[Tensor, "V 3"],
    attributes: Float[Tensor, "V C"],
    split_weight: Float[Tensor, " V"],
) -> tuple[Float[Tensor, "V2 3"], Float[Tensor, "V2 C"], Int[Tensor, "F 3"]]:
    first, second = _diagonal_weights(quads, split_weight)

    def with_centres(values: Tensor) -> Tensor:
        a, b, c, d = values[quads].unbind(1)
        centre = ((a + c) / 2 * first[:, None] + (b + d) / 2 * second[:, None]) / (first + second + 1e-8)[:, None]
        return torch.cat([values, centre])

    centre = len(vertices) + torch.arange(len(quads), device=quads.device)
    sides = torch.stack([quads, quads.roll(-1, 1), centre[:, None].expand(-1, 4)], dim=-1)
    return with_centres(vertices), with_centres(attributes), sides.reshape(-1, 3)


def _diagonal_weights(
    quads: Int[Tensor, "Q 4"], split_weight: Float[Tensor, " V"]
) -> tuple[Float[Tensor, " Q"], Float[Tensor, " Q"]]:
    a, b, c, d = split_weight[quads].unbind(1)
    return a * c, b * d


def _crossing_fraction(end_value: Float[Tensor, "E 2"]) -> Float[Tensor, "E 2"]:
    """Weights of an edge's two ends at the zero crossing between their values."""
    return torch.stack([end_value[:, 1], -end_value[:, 0]], 1) / (end_value[:, 1:] - end_value[:, :1])


def _mix(ends: Float[Tensor, "E 2 D"], fraction: Float[Tensor, "E 2"]) -> Float[Tensor, "E D"]:
    return (ends * fraction[..., None]).sum(1)


def _sum_by(values: Float[Tensor, " E *rest"], index: Int[Tensor, " E"], size: int) -> Float[Tensor, " size2 *rest"]:
    return values.new_zeros(size, *values.shape[1:]).index_add(0, index, values)


def _pad(values: Tensor, default: float | int) -> Tensor:
    """`values` with one more row that absent entries point to."""
    return torch.cat([values, values.new_full((1, *values.shape[1:]), default)])


def _lookup(sorted_ids: Int[Tensor, " n"], ids: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Row of each id in `sorted_ids`, or n where it is absent."""
    row = torch.searchsorted(sorted_ids, ids)
    found = _pad(sorted_ids, -1)[row] == ids
    return torch.where(found, row, len(sorted_ids))


def _flatten(coords: Int[Tensor, "*shape 3"], size: int) -> Int[Tensor, "*shape"]:
    x, y, z = coords.unbind(-1)
    return (x * size + y) * size + z


def _unflatten(ids: Int[Tensor, "*shape"], size: int) -> Int[Tensor, "*shape 3"]:
    return torch.stack([ids // (size * size), ids // size % size, ids % size], -1)
