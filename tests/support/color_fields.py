"""A colour field of known values."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.color import srgb_from_linear
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.types import Mesh

__all__ = ["VertexColorField"]


@dataclass(frozen=True)
class VertexColorField:
    """Interpolated vertex colours at the closest point of a mesh.

    Raises:
        InputError: the mesh has no vertex colours or no face.
    """

    mesh: Mesh

    def __post_init__(self) -> None:
        if self.mesh.vertex_colors is None:
            raise InputError("Expected a mesh with vertex colours to bake from, got one without; give a colour source.")
        _ = self._tree  # a mesh without faces is refused here

    @property
    def channels(self) -> tuple[str, ...]:
        return ("red", "green", "blue", "alpha")

    def at(self, points: Float[Tensor, "M 3"]) -> Float[Tensor, "M 4"]:
        assert self.mesh.vertex_colors is not None
        hits = self._tree.query(points.cpu())
        colors = self.mesh.vertex_colors.detach().float().cpu()[self.mesh.faces.cpu().long()[hits.faces]]
        rgba = (colors * hits.barycentric[..., None]).sum(1).clamp(0, 1)
        return torch.cat([srgb_from_linear(rgba[:, :3]), rgba[:, 3:]], 1).to(points.device)

    @cached_property
    def _tree(self) -> TriangleTree:
        return TriangleTree(self.mesh)
