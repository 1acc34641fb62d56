"""The materials of textured meshes as a field that is asked at points, to bake them into another texture."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.geometry.color import srgb_from_linear
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.rendering.texture_torch import fetch, interpolate
from scenewright.rendering.triangles import TriangleScene, pack_objects
from scenewright.types import Mesh, SceneObject

__all__ = ["TexturedField"]


@dataclass(frozen=True)
class TexturedField:
    """Base colour, opacity, metal and roughness of `parts` at their closest points (an `AttributeField`)."""

    parts: tuple[Mesh, ...]

    @property
    def channels(self) -> tuple[str, ...]:
        return "red", "green", "blue", "alpha", "metallic", "roughness"

    def at(self, points: Float[Tensor, "M 3"]) -> Float[Tensor, "M 6"]:
        scene, bank = self._scene, self._scene.bank
        hits = self._tree.query(points.cpu())
        face, bary = hits.faces, hits.barycentric[:, 1:]
        material = scene.face_material[face].long()
        uv = interpolate(scene, scene.uv, face, bary)
        factor, kind = bank.factors[material], bank.kinds[material]
        base = factor[:, :4] * interpolate(scene, scene.colors, face, bary) * fetch(bank, kind[:, 1], uv, is_srgb=True)
        finish = fetch(bank, kind[:, 2], uv)
        # An opaque material's alpha is not seen, whatever its texture says (glTF 2.0, section 3.9.4).
        alpha = torch.where(kind[:, :1] == 0, torch.ones_like(base[:, 3:]), base[:, 3:])
        color = srgb_from_linear(base[:, :3].clamp(0, 1))
        metallic, roughness = factor[:, 4:5] * finish[:, 2:3], factor[:, 5:6] * finish[:, 1:2]
        return torch.cat([color, alpha, metallic, roughness], 1).to(points.device)

    @cached_property
    def _scene(self) -> TriangleScene:
        (packed,) = pack_objects([SceneObject("", self.parts)])
        return packed

    @cached_property
    def _tree(self) -> TriangleTree:
        return TriangleTree(Mesh(self._scene.vertices, self._scene.faces))
