"""Fewer faces, same shape: quadric edge collapse down to a face budget, through `fast-simplification`.

Source: "Surface Simplification Using Quadric Error Metrics" (Garland & Heckbert, 1997). Frame: any.
"""

import fast_simplification
import numpy as np
import torch

from scenewright.errors import InputError
from scenewright.geometry.mesh.parts import (
    remove_degenerate_faces,
    remove_duplicate_faces,
    select_vertices,
    weld_vertices,
)
from scenewright.types import Mesh

__all__ = ["simplify"]

# A pass can stop early at its error bound; later passes start from the smaller mesh and allow more.
_MAX_PASSES = 4
_FIRST_AGGRESSION = 5.0


def simplify(mesh: Mesh, max_faces: int) -> Mesh:
    """The mesh with at most `max_faces` faces wherever its topology allows, or unchanged if it already has so few.

    Vertices are welded first, so seams cannot tear open; a new vertex takes the attributes of the nearest old one.
    `uv` is dropped. Very noisy or fragmented meshes may keep more faces than asked.

    Raises:
        InputError: the budget is below 4.
    """
    if max_faces < 4:
        raise InputError(f"Expected a face budget of at least 4 (a tetrahedron), got {max_faces}.")
    if len(mesh.faces) <= max_faces:
        return mesh
    welded = remove_duplicate_faces(remove_degenerate_faces(weld_vertices(mesh)))
    points = welded.vertices.detach().cpu().double().numpy()
    faces = welded.faces.cpu().numpy().astype(np.int32)
    aggression = _FIRST_AGGRESSION
    for _ in range(_MAX_PASSES):
        if len(faces) <= max_faces:
            break
        points, faces = fast_simplification.simplify(points, faces, target_count=max_faces, agg=aggression)
        aggression += 1.5
    return _with_attributes(welded, points, faces)


def _with_attributes(source: Mesh, points: np.ndarray, faces: np.ndarray) -> Mesh:
    device = source.vertices.device
    simplified = Mesh(
        torch.from_numpy(np.asarray(points)).to(source.vertices),
        torch.from_numpy(np.asarray(faces).astype(np.int64)).to(device),
        material=source.material,
    )
    if source.vertex_colors is not None or source.vertex_normals is not None:
        from scipy.spatial import cKDTree

        _, nearest = cKDTree(source.vertices.detach().cpu().numpy()).query(points)
        picked = select_vertices(source, torch.from_numpy(nearest).to(device), simplified.faces)
        simplified = Mesh(
            simplified.vertices,
            simplified.faces,
            vertex_normals=picked.vertex_normals,
            vertex_colors=picked.vertex_colors,
            material=source.material,
        )
    return remove_duplicate_faces(remove_degenerate_faces(simplified, relative_area=0.0))
