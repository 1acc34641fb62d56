"""Cutting meshes apart."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.geometry.mesh.components import component_areas, component_of_face
from scenewright.geometry.mesh.parts import select_faces
from scenewright.types import Mesh, OrientedBox


def split_components(mesh: Mesh) -> list[Mesh]:
    """The pieces as meshes of their own, largest area first."""
    component = component_of_face(mesh)
    areas = component_areas(mesh, component)
    return [select_faces(mesh, component == piece) for piece in torch.argsort(areas, descending=True, stable=True)]


def world_from_unit_box(box: OrientedBox) -> Float[Tensor, "4 4"]:
    """Maps [-0.5, 0.5]^3 onto the box (stretched per axis)."""
    c, s = np.cos(box.yaw), np.sin(box.yaw)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) * np.array(box.size)
    matrix[:3, 3] = box.centre
    return torch.from_numpy(matrix).float()
