"""Colours of an object's picture, laid on from the camera's side.

The object is seen from the front, a little from above, and stretched to its picture's outline: no reconstruction of
materials, but what the picture shows ends up about where it belongs.

Legend: M points, D depth cells a side, H/W picture size. Frame: the object's cube, z up, camera looking along +y.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from scenewright.geometry.mesh.parts import vertex_normals
from scenewright.geometry.mesh.surface_color import AttributeField
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.types import Mesh

__all__ = ["OverlaidField", "ProjectedField", "picture_field", "with_picture"]

_PITCH_DEG = 20.0
_ROUGHNESS = 0.8
_TO_CAMERA = torch.tensor([0.0, -math.cos(math.radians(_PITCH_DEG)), math.sin(math.radians(_PITCH_DEG))])
# What is seen is found on this many cells a side of the plane [-1, 1]^2; what lies less than this behind is seen, too,
# what lies twice as far is not.
_DEPTH_CELLS = 96
_SAME_SURFACE = 0.05


@dataclass(frozen=True)
class ProjectedField:
    """A picture's colours on everything in the line of sight, with one roughness and no metal.

    Attributes:
        pixels: sRGB in [0, 1]; colours go on beyond the object's outline.
        outline: corners (x, y), low and high, of the object in the picture, in pixels.
        extent: corners (right, down), low and high, of the object as a distant camera in front sees it.
    """

    pixels: Float[Tensor, "H W 3"]
    outline: Float[Tensor, "2 2"]
    extent: Float[Tensor, "2 2"]

    @property
    def channels(self) -> tuple[str, ...]:
        return ("red", "green", "blue", "metallic", "roughness")

    def at(self, points: Float[Tensor, "M 3"]) -> Float[Tensor, "M 5"]:
        low, high = self.extent
        share = (_from_front(points.detach().float().cpu()) - low) / (high - low).clamp(min=1e-6)
        pixel = (self.outline[0] + share * (self.outline[1] - self.outline[0])).long()
        x, y = (pixel[:, axis].clamp(0, self.pixels.shape[1 - axis] - 1) for axis in (0, 1))
        color = self.pixels[y, x]
        rest = torch.tensor([0.0, _ROUGHNESS]).expand(len(color), -1)
        return torch.cat([color, rest], 1).to(points.device)


@dataclass(frozen=True)
class OverlaidField:
    """A field with a picture's detail where the camera sees the surface, at the field's brightness.

    Attributes:
        field: with red, green, blue first.
        picture: laid on from the front.
        surface: what is seen, closed and wound outwards.
        brighter: factor of the picture's colours.
        tint: factors of the field's red, green, blue.
    """

    field: AttributeField
    picture: ProjectedField
    surface: Mesh
    brighter: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def channels(self) -> tuple[str, ...]:
        return self.field.channels

    def at(self, points: Float[Tensor, "M 3"]) -> Float[Tensor, "M C"]:
        on_cpu = points.detach().float().cpu()
        own, color = self.field.at(on_cpu), self.picture.at(on_cpu)[:, :3] * self.brighter
        base = own[:, :3] * torch.tensor(self.tint)
        return torch.cat([(base + self.seen(on_cpu) * (color - base)).clamp(0, 1), own[:, 3:]], 1).to(points.device)

    def seen(self, points: Float[Tensor, "M 3"]) -> Float[Tensor, "M 1"]:
        """Share of a point's colour that the picture knows: all where it faces the camera and nothing is in between."""
        hits = self._tree.query(points)
        towards = (self._facing[self.surface.faces.long()[hits.faces]] * hits.barycentric).sum(1)
        behind = (_depth(points) - self._nearest[_depth_cells(points)]) / _SAME_SURFACE
        return ((2 * towards).clamp(0, 1) * (2 - behind).clamp(0, 1))[:, None]

    @cached_property
    def middles(self) -> Float[Tensor, "F 3"]:
        """Middles of the surface's faces."""
        return self.surface.vertices[self.surface.faces.long()].mean(1)

    @cached_property
    def _tree(self) -> TriangleTree:
        return TriangleTree(self.surface)

    @cached_property
    def _facing(self) -> Float[Tensor, " V"]:
        return vertex_normals(self.surface) @ _TO_CAMERA

    @cached_property
    def _nearest(self) -> Float[Tensor, " D_squared"]:
        """Depth of what a distant camera in front sees first in each cell."""
        points = torch.cat([self.surface.vertices, self.middles])
        depth = torch.full((_DEPTH_CELLS**2,), torch.inf)
        return depth.scatter_reduce(0, _depth_cells(points), _depth(points), "amin")


def picture_field(vertices: Float[Tensor, "V 3"], picture: Image.Image) -> ProjectedField:
    """Colours of a picture on black, laid on an object from its front."""
    pixels = np.asarray(picture.convert("RGB")).astype(np.float32) / 255
    shown = pixels.max(-1) > 0.02
    if not shown.any():
        shown = np.ones_like(shown)
    # Half-covered border pixels are dark; the colours further inside replace them.
    inner = scipy.ndimage.binary_erosion(shown, iterations=2)
    _, (rows, columns) = scipy.ndimage.distance_transform_edt(~(inner if inner.any() else shown), return_indices=True)
    ys, xs = np.nonzero(shown)
    outline = torch.tensor([[xs.min(), ys.min()], [xs.max() + 1, ys.max() + 1]], dtype=torch.float32)
    flat = _from_front(vertices.float())
    return ProjectedField(torch.from_numpy(pixels[rows, columns]), outline, torch.stack([flat.amin(0), flat.amax(0)]))


def with_picture(field: AttributeField, surface: Mesh, picture: Image.Image) -> AttributeField:
    """The field with the picture's detail where the camera sees the surface.

    The picture is lit, the field is not: over what is seen, both get the picture's hue and the field's brightness.

    Args:
        field: with red, green, blue first.
        surface: closed, wound outwards.
    """
    overlaid = OverlaidField(field, picture_field(surface.vertices, picture), surface)
    weight = overlaid.seen(overlaid.middles)
    if not bool((weight > 0).any()):
        return field
    level, seen = (
        (weight * source.at(overlaid.middles)[:, :3]).sum(0) / weight.sum() for source in (field, overlaid.picture)
    )
    brighter = (level.mean() / seen.mean().clamp(min=0.02)).clamp(0.5, 2.0)
    tint = (seen * brighter / level.clamp(min=0.02)).clamp(0.5, 2.0)
    return OverlaidField(field, overlaid.picture, surface, float(brighter), tuple(tint.tolist()))


def _depth_cells(points: Float[Tensor, "M 3"]) -> Int[Tensor, " M"]:
    """Cell of the plane [-1, 1]^2 in front of the camera that a point is seen in."""
    x, y = ((_from_front(points) + 1) / 2 * _DEPTH_CELLS).long().clamp(0, _DEPTH_CELLS - 1).unbind(1)
    return x * _DEPTH_CELLS + y


def _depth(points: Float[Tensor, "M 3"]) -> Float[Tensor, " M"]:
    return -(points @ _TO_CAMERA)


def _from_front(points: Float[Tensor, "M 3"]) -> Float[Tensor, "M 2"]:
    """Picture coordinates (right, down) of a distant camera that looks along +y and down."""
    pitch = math.radians(_PITCH_DEG)
    return torch.stack([points[:, 0], -points[:, 2] * math.cos(pitch) - points[:, 1] * math.sin(pitch)], 1)
