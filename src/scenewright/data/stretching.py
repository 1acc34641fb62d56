"""Models with other proportions: more kinds of furniture than a pack holds.

A model is cut by planes across each axis, and every slab between two planes gets its own scale. Boxes stay boxes and
boards stay flat, but legs, seats, backs and shelves get other shares of the whole. Of what is as wide as deep only the
height is cut, since a lamp or a bowl must stay round.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.types import Mesh

__all__ = ["Stretching"]

_CUTS = 3
# Widths and depths that differ by less belong to something round.
_ROUND = 0.03


@dataclass(frozen=True)
class Stretching:
    """Where the planes across width, depth and height are, before and after.

    Args:
        factors: the new size over the old one, per axis.
        before: shares of the old size, per axis rising from 0 to 1.
        after: shares of the new size to which they go.
    """

    factors: Float[np.ndarray, " 3"]
    before: Float[np.ndarray, "3 K"]
    after: Float[np.ndarray, "3 K"]

    @classmethod
    def drawn(
        cls, size_m: tuple[float, float, float], whole: float, slabs: float, rng: np.random.Generator
    ) -> "Stretching":
        """A random one: `whole` and `slabs` are standard deviations of the logarithms of the scales.

        Left and right stay alike.
        """
        cuts = np.sort(rng.uniform(0, 1, (3, _CUTS)), axis=1)
        cuts[0] = _mirrored(cuts[0])
        cuts = np.concatenate([np.zeros((3, 1)), cuts, np.ones((3, 1))], 1)
        scales = np.exp(rng.normal(0, slabs, (3, _CUTS + 1)))
        scales[0] = (scales[0] + scales[0, ::-1]) / 2
        if abs(np.log(max(size_m[0], 1e-6) / max(size_m[1], 1e-6))) < _ROUND:
            scales[:2] = 1
        lengths = np.diff(cuts, axis=1) * scales
        after = np.concatenate([np.zeros((3, 1)), np.cumsum(lengths / lengths.sum(1, keepdims=True), 1)], 1)
        return cls(np.exp(rng.normal(0, whole, 3)), cuts, after)

    def __call__(self, parts: tuple[Mesh, ...]) -> tuple[Mesh, ...]:
        """The parts so stretched; the lower corner of their common box stays where it is."""
        points = torch.cat([part.vertices for part in parts]).double()
        low, extent = points.amin(0), (points.amax(0) - points.amin(0)).clamp_min(1e-9)
        new_extent = extent * torch.from_numpy(self.factors)
        stretched = []
        for part in parts:
            shares = ((part.vertices.double() - low) / extent).numpy()
            moved = np.stack([np.interp(shares[:, axis], self.before[axis], self.after[axis]) for axis in range(3)], 1)
            vertices = (low + torch.from_numpy(moved) * new_extent).float()
            stretched.append(replace(part, vertices=vertices, vertex_normals=self._turned(part, shares)))
        return tuple(stretched)

    def _turned(self, part: Mesh, shares: Float[np.ndarray, "V 3"]) -> Float[Tensor, "V 3"] | None:
        # Normals stretch by the inverse of their slab's scale.
        if part.vertex_normals is None:
            return None
        slopes = self.factors[:, None] * np.diff(self.after, axis=1) / np.diff(self.before, axis=1).clip(1e-9)
        slab = [np.searchsorted(self.before[axis, 1:-1], shares[:, axis]) for axis in range(3)]
        scales = np.stack([slopes[axis, slab[axis]] for axis in range(3)], 1).clip(1e-6)
        return torch.nn.functional.normalize(part.vertex_normals.double() / torch.from_numpy(scales), dim=-1).float()


def _mirrored(cuts: Float[np.ndarray, " K"]) -> Float[np.ndarray, " K"]:
    mirrored: np.ndarray = (cuts + 1 - cuts[::-1]) / 2
    return mirrored
