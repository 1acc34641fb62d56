"""One model: its meshes in the canonical frame, where it can stand, and whom to credit.

Frame: z up, front -y, centred on x = y = 0, floor at z = 0, metres (docs/conventions.md).
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int

from scenewright.errors import InputError
from scenewright.types import Mesh, merged_mesh

__all__ = ["Asset", "Credit", "canonical_parts", "merged_geometry"]


@dataclass(frozen=True)
class Credit:
    """Creator and licence of a model; one row of the attribution table."""

    creator: str = ""
    rights_holder: str = ""
    licence: str = ""
    licence_url: str = ""
    original_url: str = ""
    changes: str = ""


@dataclass(frozen=True)
class Asset:
    """A model in the canonical frame. `category` is the catalogue's or the family's word; `flags` are quality notes."""

    id: str
    name: str
    category: str
    parts: tuple[Mesh, ...]
    credit: Credit = field(default_factory=Credit)
    flags: frozenset[str] = frozenset()

    @cached_property
    def size_m(self) -> tuple[float, float, float]:
        """Width (x), depth (y), height (z) of the bounding box."""
        points = torch.cat([part.vertices for part in self.parts])
        extent = points.amax(0) - points.amin(0)
        return float(extent[0]), float(extent[1]), float(extent[2])

    @property
    def num_faces(self) -> int:
        return sum(len(part.faces) for part in self.parts)


def merged_geometry(
    parts: tuple[Mesh, ...],
) -> tuple[Float[np.ndarray, "V 3"], Int[np.ndarray, "F 3"]]:
    """All parts as one vertex and one face array."""
    mesh = merged_mesh(parts)
    return mesh.vertices.cpu().numpy(), mesh.faces.cpu().numpy()


def canonical_parts(parts: tuple[Mesh, ...], size_m: tuple[float, float, float] | None = None) -> tuple[Mesh, ...]:
    """Parts (z up, front -y) moved to stand centred on the origin, and scaled to a catalogue's size where one is given.

    Args:
        parts: geometry in any unit.
        size_m: width, depth, height to stretch the bounding box to; axes without extent keep their scale.

    Raises:
        InputError: no vertex, or a coordinate that is not finite.
    """
    if not any(len(part.vertices) for part in parts):
        raise InputError("Expected a model with vertices, got none; export it again with geometry.")
    points = torch.cat([part.vertices for part in parts]).double()
    if not torch.isfinite(points).all():
        raise InputError("Expected finite coordinates, got NaN or infinity in the vertices; repair the model first.")
    low, high = points.amin(0), points.amax(0)
    extent = high - low
    scale = torch.ones(3, dtype=torch.float64)
    if size_m is not None:
        target = torch.tensor(size_m, dtype=torch.float64)
        scale = torch.where(extent > 1e-9, target / extent.clamp_min(1e-9), torch.ones_like(target))
    origin = torch.stack([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    moved = []
    for part in parts:
        normals = part.vertex_normals
        if normals is not None:
            # Normals stretch by the inverse of the scale.
            normals = torch.nn.functional.normalize(normals.double() / scale, dim=-1).float()
        vertices = ((part.vertices.double() - origin) * scale).float()
        moved.append(replace(part, vertices=vertices, vertex_normals=normals))
    return tuple(moved)
