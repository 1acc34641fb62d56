"""Texture coordinates for a mesh: charts that do not overlap, packed into the unit square.

Good charts come from `xatlas`, run on compact pieces of the mesh: its time grows faster than a chart's face count, and
pieces keep it near 0.15 s per 1000 faces. Very large meshes are projected on the sides of a box instead (`uv_boxes`),
seconds for a million faces at the price of more seams. Both are deterministic.

Legend: V vertices before, V2 >= V after (a vertex on a seam is duplicated), F faces. UV: see docs/conventions.md.
"""

import numpy as np
import torch
import xatlas
from jaxtyping import Float, Int

from scenewright.errors import InputError
from scenewright.geometry.mesh.finish_options import UnwrapMethod
from scenewright.geometry.mesh.parts import select_vertices
from scenewright.geometry.mesh.uv_boxes import box_charts
from scenewright.types import Mesh

__all__ = ["unwrap"]

_MAX_FACES_FOR_CHARTS = 200_000
_PIECE_FACES = 2000


def unwrap(mesh: Mesh, *, texture_size: int = 2048, padding: int = 2, method: UnwrapMethod = "auto") -> Mesh:
    """The mesh with `uv` (replacing any it had); vertices on seams are duplicated, face order is kept.

    Weld vertices first: every split in the mesh becomes a seam.

    Args:
        texture_size: side of the texture it is meant for, in texels; sets the size of `padding` between charts.
        method: "charts" (xatlas), "boxes" (fast projection), or "auto": boxes above 200,000 faces.

    Raises:
        InputError: the mesh has no face, or more charts than the texture has room for.
    """
    if len(mesh.faces) == 0:
        raise InputError("Expected a mesh with faces to unwrap, got one without any.")
    if method == "auto":
        method = "boxes" if len(mesh.faces) > _MAX_FACES_FOR_CHARTS else "charts"
    vertices = mesh.vertices.detach().cpu().double().numpy()
    faces = mesh.faces.cpu().numpy().astype(np.int64)
    build = box_charts if method == "boxes" else _xatlas_charts
    rows, new_faces, uv = build(vertices, faces, texture_size, padding)
    device = mesh.vertices.device
    split = select_vertices(mesh, torch.from_numpy(rows).to(device), torch.from_numpy(new_faces).to(mesh.faces))
    return Mesh(
        split.vertices,
        split.faces,
        vertex_normals=split.vertex_normals,
        vertex_colors=split.vertex_colors,
        uv=torch.from_numpy(uv.astype(np.float32)).to(device),
        material=mesh.material,
    )


def _xatlas_charts(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], texture_size: int, padding: int
) -> tuple[Int[np.ndarray, " V2"], Int[np.ndarray, "F 3"], Float[np.ndarray, "V2 2"]]:
    """Old row of each new vertex, faces of new vertices, and their texture coordinates."""
    # xatlas works in float32 with absolute tolerances: give it a mesh of unit size.
    low = vertices.min(0)
    scaled = ((vertices - low) / max(float(np.ptp(vertices, axis=0).max()), 1e-30)).astype(np.float32)
    pieces = _compact_pieces(vertices[faces].mean(1), np.arange(len(faces)))
    atlas = xatlas.Atlas()
    used_rows = []
    for piece in pieces:
        used, local = np.unique(faces[piece], return_inverse=True)
        atlas.add_mesh(scaled[used], local.reshape(-1, 3).astype(np.uint32))
        used_rows.append(used)
    options = xatlas.PackOptions()
    options.resolution, options.padding = texture_size, padding
    atlas.generate(xatlas.ChartOptions(), options)
    rows, uvs, new_faces, count = [], [], np.empty_like(faces), 0
    for index, piece in enumerate(pieces):
        mapping, local, uv = atlas[index]
        rows.append(used_rows[index][mapping])
        uvs.append(uv)
        new_faces[piece] = local.astype(np.int64) + count
        count += len(mapping)
    return np.concatenate(rows), new_faces, np.concatenate(uvs)


def _compact_pieces(centres: Float[np.ndarray, "F 3"], rows: Int[np.ndarray, " n"]) -> list[Int[np.ndarray, " m"]]:
    """Halves the faces along their longest extent until every piece is small."""
    if len(rows) <= _PIECE_FACES:
        return [np.sort(rows)]
    points = centres[rows]
    order = np.argsort(points[:, np.argmax(np.ptp(points, axis=0))], kind="stable")
    half = len(rows) // 2
    return _compact_pieces(centres, rows[order[:half]]) + _compact_pieces(centres, rows[order[half:]])
