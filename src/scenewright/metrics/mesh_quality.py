"""Usability of a mesh: closedness, manifoldness, pieces, floaters, face budget, use of UV space, texture range.

Definitions: an edge is a *boundary* where one face uses it and *non-manifold* where three or more do; a mesh is
watertight when it has faces and every edge is used by exactly two. Vertices at one place count as one, so seams of a
texture atlas are no boundary. A *component* is a set of faces joined by shared vertices; a *floater* is a component
with less than 1 % of the mesh's area. UV coverage is the share of the unit square that triangles occupy (cell centres
of a grid of 512), UV overlap the share of those cells that two or more triangles do. Texel density is the square root
of the texels of the base colour's texture over the area that they cover: texels per unit of length. The texture range
is the smallest and largest value of that texture, 0 to 255. A mesh is within the budget when it has no more faces.

Boundary, manifold and closed meshes: Botsch et al. 2010, Polygon Mesh Processing. For floaters, budget, coverage,
overlap, density and range there is no published definition; they are the ones above.

Legend: V vertices, F faces.
"""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from scenewright.compiled import njit
from scenewright.geometry.mesh.area_vectors import area_vectors
from scenewright.types import Mesh

__all__ = ["MeshQuality", "mesh_quality"]

_FLOATER_SHARE = 0.01
_COVERAGE_CELLS = 512


@dataclass(frozen=True)
class MeshQuality:
    """Counts and shares as the module note defines them; None where the mesh has no UV or texture."""

    num_vertices: int
    num_faces: int
    num_degenerate_faces: int
    num_boundary_edges: int
    num_nonmanifold_edges: int
    is_watertight: bool
    num_components: int
    num_floaters: int
    is_within_budget: bool
    uv_coverage: float | None
    is_uv_in_range: bool | None
    texture_range: tuple[int, int] | None
    uv_overlap: float | None = None
    texel_density: float | None = None


def mesh_quality(mesh: Mesh, *, face_budget: int = 100_000) -> MeshQuality:
    """Measures one mesh, as defined above (Botsch et al. 2010 for what is closed and manifold)."""
    vertices = mesh.vertices.detach().cpu().double().numpy()
    faces = mesh.faces.detach().cpu().numpy().astype(np.int64)
    welded = _weld(vertices)[faces] if len(faces) else faces
    corners = vertices[faces]
    area = np.linalg.norm(area_vectors(corners), axis=1) / 2
    flat = (
        (area <= 0) | (welded[:, 0] == welded[:, 1]) | (welded[:, 1] == welded[:, 2]) | (welded[:, 2] == welded[:, 0])
    )
    good = welded[~flat]
    edges = np.sort(good[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    uses = np.unique(edges, axis=0, return_counts=True)[1] if len(edges) else np.zeros(0, int)
    num_components, num_floaters = _components(good, area[~flat])
    covered = None if mesh.uv is None else _uv_counts(mesh)
    texture = mesh.material.base_color_texture if mesh.material is not None else None
    return MeshQuality(
        num_vertices=len(vertices),
        num_faces=len(faces),
        num_degenerate_faces=int(flat.sum()),
        num_boundary_edges=int((uses == 1).sum()),
        num_nonmanifold_edges=int((uses > 2).sum()),
        is_watertight=bool(len(good) and (uses == 2).all()),
        num_components=num_components,
        num_floaters=num_floaters,
        is_within_budget=len(faces) <= face_budget,
        uv_coverage=None if covered is None else float((covered > 0).mean()),
        is_uv_in_range=bool(((mesh.uv >= 0) & (mesh.uv <= 1)).all()) if mesh.uv is not None else None,
        texture_range=_range(texture) if texture is not None else None,
        uv_overlap=None if covered is None else float((covered > 1).sum() / max(1, (covered > 0).sum())),
        texel_density=None if texture is None or mesh.uv is None else _texel_density(mesh, texture, float(area.sum())),
    )


def _weld(vertices):
    """The vertex that each one is: those nearer than a millionth of the box's longest side are one."""
    side = float((vertices.max(0) - vertices.min(0)).max()) or 1.0
    keys = np.round((vertices - vertices.min(0)) / (side * 1e-6)).astype(np.int64)
    return np.unique(keys, axis=0, return_inverse=True)[1].ravel()


def _components(faces: np.ndarray, area: np.ndarray) -> tuple[int, int]:
    if len(faces) == 0:
        return 0, 0
    used, local = np.unique(faces, return_inverse=True)
    local = local.reshape(faces.shape)
    rows, columns = local[:, [0, 1]].ravel(), local[:, [1, 2]].ravel()
    graph = coo_matrix((np.ones(len(rows), bool), (rows, columns)), shape=(len(used), len(used)))
    count, labels = connected_components(graph, directed=False)
    areas = np.bincount(labels[local[:, 0]], area, minlength=count)
    return int(count), int((areas < _FLOATER_SHARE * areas.sum()).sum())


def _uv_counts(mesh: Mesh) -> np.ndarray:
    """The number of triangles over each cell centre of the grid over the unit square, at most 2."""
    assert mesh.uv is not None
    triangles = mesh.uv.detach().cpu().double().numpy()[mesh.faces.cpu().numpy()] * _COVERAGE_CELLS - 0.5
    triangles += [7.3e-5, 3.1e-5]  # keeps centres off shared edges, where a hit would count twice
    return _covered(np.ascontiguousarray(triangles), _COVERAGE_CELLS)


def _texel_density(mesh: Mesh, texture: torch.Tensor, area: float) -> float:
    assert mesh.uv is not None
    a, b, c = mesh.uv.detach().cpu().double().numpy()[mesh.faces.cpu().numpy()].transpose(1, 0, 2)
    u, v = b - a, c - a
    share = float(np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]).sum() / 2)
    return float(np.sqrt(share * texture.shape[0] * texture.shape[1] / max(area, 1e-12)))


def _range(texture: torch.Tensor) -> tuple[int, int]:
    return int(texture.min()), int(texture.max())


@njit(cache=True, nogil=True)
@no_type_check
def _covered(triangles, size):
    cells = np.zeros((size, size), np.uint8)
    for f in range(triangles.shape[0]):
        ax, ay = triangles[f, 0, 0], triangles[f, 0, 1]
        bx, by = triangles[f, 1, 0], triangles[f, 1, 1]
        cx, cy = triangles[f, 2, 0], triangles[f, 2, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0:
            continue
        for x in range(max(0, int(np.ceil(min(ax, bx, cx)))), min(size - 1, int(np.floor(max(ax, bx, cx)))) + 1):
            for y in range(max(0, int(np.ceil(min(ay, by, cy)))), min(size - 1, int(np.floor(max(ay, by, cy)))) + 1):
                u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                if u >= 0.0 and v >= 0.0 and u + v <= 1.0 and cells[x, y] < 2:
                    cells[x, y] += 1
    return cells
