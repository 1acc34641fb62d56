"""Where texture values come from: sparse voxels, vertex colours, Gaussians, as fields that are asked at points.

A field is a frozen dataclass of tensors and plain data, so that it can be stored beside the surface it belongs to
(`io.data_file`). What it looks up (trees, tables) is built at the first question and is not stored. Colour channels are
display-encoded (sRGB), as textures store them; metallic, roughness and opacity are linear.

Legend: M points, C channels, N voxels or Gaussians. Frame: that of the mesh being baked.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import scipy
import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.grid_sample import sample_sparse_grid
from scenewright.geometry.rotation import quaternion_wxyz_to_matrix
from scenewright.geometry.splat import SH_DEGREE_0
from scenewright.types import Gaussians, SparseVoxels

__all__ = ["AttributeField", "Placed", "SplatField", "VoxelField"]

_COLOR = ("red", "green", "blue")
# Attribute of the voxels -> channels it fills.
_CHANNELS_OF_ATTRIBUTE = {
    "base_color": _COLOR,
    "metallic": ("metallic",),
    "roughness": ("roughness",),
    "alpha": ("alpha",),
}


@runtime_checkable
class AttributeField(Protocol):
    """Named values at points; `channels` are among red, green, blue (sRGB), alpha, metallic, roughness."""

    @property
    def channels(self) -> tuple[str, ...]: ...

    def at(self, points: Float[Tensor, "M 3"]) -> Float[Tensor, "M C"]:
        """Values in [0, 1], one column per channel, on the device of `points`."""
        ...


@dataclass(frozen=True)
class VoxelField:
    """Trilinear values of `base_color`, `metallic`, `roughness` and `alpha`, as far as the voxels have them.

    Points whose eight surrounding voxels are all empty take the nearest voxel's value, so that a simplified surface
    that left the voxel shell is not black.

    Raises:
        InputError: there is no voxel, or none of the four attributes.
    """

    voxels: SparseVoxels

    def __post_init__(self) -> None:
        if not self._names or len(self.voxels.coords) == 0:
            got = f"{len(self.voxels.coords)} voxels with {', '.join(self.voxels.attributes) or 'no attributes'}"
            raise InputError(
                f"Expected voxels with at least one of {', '.join(_CHANNELS_OF_ATTRIBUTE)}, got {got}; "
                "decode the texture latent first."
            )

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(channel for name in self._names for channel in _CHANNELS_OF_ATTRIBUTE[name])

    def at(self, points: Float[Tensor, "M 3"]) -> Float[Tensor, "M C"]:
        coords = torch.nn.functional.pad(self.voxels.coords.cpu(), (1, 0))
        query = (points.detach().float().cpu() + 0.5) * self.voxels.resolution
        sampled = sample_sparse_grid(coords, self._values, query[None])[0]
        is_empty = sampled[:, -1] < 0.5
        if is_empty.any():
            _, row = self._tree.query(query[is_empty].numpy(), workers=-1)
            sampled[is_empty] = self._values[torch.from_numpy(row)]
        return sampled[:, :-1].clamp(0, 1).to(points.device)

    @property
    def _names(self) -> list[str]:
        return [name for name in _CHANNELS_OF_ATTRIBUTE if name in self.voxels.attributes]

    @cached_property
    def _values(self) -> Float[Tensor, "N C_plus_1"]:
        """All channels, and one more of ones that tells where no voxel was near: its sample is 0 there, 1 elsewhere."""
        rows = len(self.voxels.coords)
        columns = [self.voxels.attributes[name].float().cpu().reshape(rows, -1) for name in self._names]
        return torch.cat([*columns, torch.ones(rows, 1)], 1)

    @cached_property
    def _tree(self) -> "scipy.spatial.cKDTree":
        return scipy.spatial.cKDTree(self.voxels.coords.cpu().numpy() + 0.5)


@dataclass(frozen=True)
class SplatField:
    """Colour of the Gaussians round a point: the nearest ones' degree-0 colours, weighted by opacity and density.

    One pass over the texels instead of rendering and fitting many views: exact where Gaussians hug the surface, with no
    view-dependent colour and no occlusion; a point outside every Gaussian's reach takes the nearest one's colour.

    Raises:
        InputError: there is no Gaussian.
    """

    gaussians: Gaussians
    num_neighbours: int = 8

    def __post_init__(self) -> None:
        if len(self.gaussians.means) == 0:
            raise InputError("Expected Gaussians to bake colour from, got none.")

    @property
    def channels(self) -> tuple[str, ...]:
        return _COLOR

    def at(self, points: Float[Tensor, "M 3"]) -> Float[Tensor, "M 3"]:
        means, color, opacity, whiten = self._arrays
        query = points.detach().double().cpu().numpy()
        distance, row = self._tree.query(query, k=min(self.num_neighbours, len(means)), workers=-1)
        distance, row = distance.reshape(len(query), -1), row.reshape(len(query), -1)
        offset = (query[:, None] - means[row]).astype(np.float32)
        local = np.einsum("mkij,mkj->mki", whiten[row], offset)
        weight = opacity[row] * np.exp(-0.5 * np.minimum((local**2).sum(2), 80.0))
        # Far outside, weights underflow together: let the nearest centre decide there.
        weight = weight + 1e-6 * np.exp(-distance / np.maximum(distance[:, :1], 1e-12))
        mixed = (weight[..., None] * color[row]).sum(1) / weight.sum(1, keepdims=True)
        return torch.from_numpy(mixed.astype(np.float32)).to(points.device)

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, ...]:
        """Means (float64), colours, opacities, and whitening matrices: from an offset to deviations along the axes."""
        item = self.gaussians
        color = (0.5 + SH_DEGREE_0 * item.sh[:, 0].detach().float().cpu()).clamp(0, 1)
        world_from_local = quaternion_wxyz_to_matrix(item.quaternions_wxyz.detach().float().cpu())
        whiten = world_from_local.mT / item.scales.detach().float().cpu().clamp(min=1e-9)[..., None]
        means, opacities = item.means.detach().double().cpu(), item.opacities.detach().float().cpu()
        return means.numpy(), color.numpy(), opacities.numpy(), whiten.numpy()

    @cached_property
    def _tree(self) -> "scipy.spatial.cKDTree":
        return scipy.spatial.cKDTree(self._arrays[0])


@dataclass(frozen=True)
class Placed:
    """A field of another frame: a point is taken there by `field_from_points` before `field` is asked."""

    field: AttributeField
    field_from_points: Float[Tensor, "4 4"]

    @property
    def channels(self) -> tuple[str, ...]:
        return self.field.channels

    def at(self, points: Float[Tensor, "M 3"]) -> Float[Tensor, "M C"]:
        matrix = self.field_from_points.to(points)
        return self.field.at(points @ matrix[:3, :3].T + matrix[:3, 3])
