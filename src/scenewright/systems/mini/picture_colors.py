"""Colours of an object's picture, laid on from the camera's side.

The object is seen from the front, a little from above, and stretched to its picture's outline: no reconstruction of
materials, but what the picture shows ends up about where it belongs.

Legend: M points, P picture side. Frame: the object's cube, z up, camera looking along +y.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from scipy import ndimage
from torch import Tensor

from scenewright.geometry.mesh.parts import vertex_normals
from scenewright.geometry.mesh.surface_color import AttributeField
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.types import Mesh

__all__ = ["picture_field", "with_picture"]

_PITCH_DEG = 20.0
_ROUGHNESS = 0.8
_TO_CAMERA = torch.tensor([0.0, -math.cos(math.radians(_PITCH_DEG)), math.sin(math.radians(_PITCH_DEG))])
# What is seen is found on this many cells a side of the plane [-1, 1]^2; what lies less than this behind is seen, too,
# what lies twice as far is not.
_DEPTH_CELLS = 96
_SAME_SURFACE = 0.05


def picture_field(vertices: Float[Tensor, "V 3"], picture: Image.Image) -> AttributeField:
    """Colours of a picture on black, laid on an object from its front."""
    pixels = np.asarray(picture.convert("RGB")).astype(np.float32) / 255
    shown = pixels.max(-1) > 0.02
    if not shown.any():
        shown = np.ones_like(shown)
    # Half-covered border pixels are dark; the colours further inside replace them.
    inner = ndimage.binary_erosion(shown, iterations=2)
    _, (rows, columns) = ndimage.distance_transform_edt(~(inner if inner.any() else shown), return_indices=True)
    painted = torch.from_numpy(pixels[rows, columns])
    ys, xs = np.nonzero(shown)
    target = torch.tensor([[xs.min(), ys.min()], [xs.max() + 1, ys.max() + 1]], dtype=torch.float32)
    flat = _from_front(vertices.float())
    low, high = flat.amin(0), flat.amax(0)

    def sample(points: Float[Tensor, "M 3"]) -> Float[Tensor, "M C"]:
        share = (_from_front(points.detach().float().cpu()) - low) / (high - low).clamp(min=1e-6)
        place = (target[0] + share * (target[1] - target[0])).long()
        x, y = (place[:, axis].clamp(0, pixels.shape[1 - axis] - 1) for axis in (0, 1))
        color = painted[y, x]
        rest = torch.tensor([0.0, _ROUGHNESS]).expand(len(color), -1)
        return torch.cat([color, rest], 1).to(points.device)

    return AttributeField(("red", "green", "blue", "metallic", "roughness"), sample)


def with_picture(field: AttributeField, surface: Mesh, picture: Image.Image) -> AttributeField:
    """The field with the picture's detail where the camera sees the surface.

    The picture is lit, the field is not: over what is seen, both get the picture's hue and the field's brightness.

    Args:
        field: with red, green, blue first.
        surface: closed, wound outwards.
    """
    painted = picture_field(surface.vertices, picture)
    tree = TriangleTree(surface)
    faces, facing = surface.faces.long(), vertex_normals(surface) @ _TO_CAMERA
    middles = surface.vertices[faces].mean(1)
    nearest = _nearest_from_front(torch.cat([surface.vertices, middles]))

    def share(points: Float[Tensor, "M 3"]) -> Float[Tensor, "M 1"]:
        """How much of a point's colour the picture knows: all where it faces the camera and nothing is in between."""
        hits = tree.query(points)
        towards = (facing[faces[hits.faces]] * hits.barycentric).sum(1)
        behind = (_depth(points) - nearest(points)) / _SAME_SURFACE
        return ((2 * towards).clamp(0, 1) * (2 - behind).clamp(0, 1))[:, None]

    weight = share(middles)
    if not bool((weight > 0).any()):
        return field
    level, seen = ((weight * source.sample(middles)[:, :3]).sum(0) / weight.sum() for source in (field, painted))
    brighter = (level.mean() / seen.mean().clamp(min=0.02)).clamp(0.5, 2.0)
    tint = (seen * brighter / level.clamp(min=0.02)).clamp(0.5, 2.0)

    def sample(points: Float[Tensor, "M 3"]) -> Float[Tensor, "M C"]:
        place = points.detach().float().cpu()
        own, color, known = field.sample(place), painted.sample(place)[:, :3] * brighter, share(place)
        base = own[:, :3] * tint
        return torch.cat([(base + known * (color - base)).clamp(0, 1), own[:, 3:]], 1).to(points.device)

    return AttributeField(field.channels, sample)


def _nearest_from_front(points: Float[Tensor, "M 3"]) -> Callable[[Float[Tensor, "K 3"]], Float[Tensor, " K"]]:
    """Depth of what a distant camera in front sees first on the way to a place."""

    def cells(places: Float[Tensor, "K 3"]) -> Int[Tensor, " K"]:
        x, y = ((_from_front(places) + 1) / 2 * _DEPTH_CELLS).long().clamp(0, _DEPTH_CELLS - 1).unbind(1)
        return x * _DEPTH_CELLS + y

    depth = torch.full((_DEPTH_CELLS**2,), torch.inf)
    depth = depth.scatter_reduce(0, cells(points), _depth(points), "amin")
    return lambda places: depth[cells(places)]


def _depth(points: Float[Tensor, "M 3"]) -> Float[Tensor, " M"]:
    return -(points @ _TO_CAMERA)


def _from_front(points: Float[Tensor, "M 3"]) -> Float[Tensor, "M 2"]:
    """Picture coordinates (right, down) of a distant camera that looks along +y and down."""
    pitch = math.radians(_PITCH_DEG)
    return torch.stack([points[:, 0], -points[:, 2] * math.cos(pitch) - points[:, 1] * math.sin(pitch)], 1)
