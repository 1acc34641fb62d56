"""Connected pieces of a mesh: splitting it, and removing floaters.

Pieces are connected through shared edges; vertices at the same position are welded first, so seams do not cut a piece.
Areas are in the square of the mesh's own unit.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.geometry.mesh.edges import face_components
from scenewright.geometry.mesh.parts import face_areas, select_faces, weld_vertices
from scenewright.types import Mesh

__all__ = ["component_areas", "component_of_face", "remove_floaters"]


def component_of_face(mesh: Mesh) -> Int[Tensor, " F"]:
    """The number of the piece each face belongs to, from 0, in order of first appearance."""
    return torch.from_numpy(face_components(weld_vertices(mesh).faces)[1]).to(mesh.faces.device)


def component_areas(mesh: Mesh, component: Int[Tensor, " F"]) -> Float[Tensor, " pieces"]:
    number = int(component.max()) + 1 if len(component) else 0
    return torch.zeros(number, device=component.device).index_add(0, component, face_areas(mesh).float())


def remove_floaters(mesh: Mesh, *, min_area_fraction: float = 0.01, min_area: float = 0.0) -> Mesh:
    """Drops pieces whose area is below a fraction of the largest piece's area, or below `min_area`.

    The largest piece always stays. With `min_area_fraction` 0 and `min_area` 1e-5 this is TRELLIS.2's clean-up.
    """
    component = component_of_face(mesh)
    areas = component_areas(mesh, component)
    if len(areas) < 2:
        return mesh
    keep = areas >= np.maximum(float(areas.max()) * min_area_fraction, min_area)
    keep[areas.argmax()] = True
    return mesh if keep.all() else select_faces(mesh, keep[component])
