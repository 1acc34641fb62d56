"""Where texture values come from: sparse voxels, vertex colours, or Gaussians, as functions of a surface point.

Every source is an `AttributeField`: named channels and a function from points to values. Colour channels are
display-encoded (sRGB), as textures store them; metallic, roughness and opacity are linear.

Legend: M points, C channels, N voxels or Gaussians. Frame: that of the mesh being baked.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.color import srgb_from_linear
from scenewright.geometry.grid_sample import sample_sparse_grid
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.geometry.rotation import quaternion_wxyz_to_matrix
from scenewright.types import Gaussians, Mesh, SparseVoxels

__all__ = ["AttributeField", "gaussian_field", "vertex_color_field", "voxel_field"]

_COLOR = ("red", "green", "blue")
# Attribute of the voxels -> channels it fills.
_CHANNELS_OF_ATTRIBUTE = {
    "base_color": _COLOR,
    "metallic": ("metallic",),
    "roughness": ("roughness",),
    "alpha": ("alpha",),
}
_SH_DEGREE_0 = 0.28209479177387814


@dataclass(frozen=True)
class AttributeField:
    """Named values at points. `channels` are among red, green, blue (sRGB), alpha, metallic, roughness; in [0, 1]."""

    channels: tuple[str, ...]
    sample: Callable[[Float[Tensor, "M 3"]], Float[Tensor, "M C"]]


def voxel_field(voxels: SparseVoxels) -> AttributeField:
    """Trilinear values of `base_color`, `metallic`, `roughness` and `alpha`, as far as the voxels have them.

    Points whose eight surrounding voxels are all empty take the nearest voxel's value, so that a simplified surface
    that left the voxel shell is not black.

    Raises:
        InputError: there is no voxel, or none of the four attributes.
    """
    names = [name for name in _CHANNELS_OF_ATTRIBUTE if name in voxels.attributes]
    if not names or len(voxels.coords) == 0:
        got = f"{len(voxels.coords)} voxels with {', '.join(voxels.attributes) or 'no attributes'}"
        raise InputError(
            f"Expected voxels with at least one of {', '.join(_CHANNELS_OF_ATTRIBUTE)}, got {got}; "
            "decode the texture latent first."
        )
    channels = tuple(channel for name in names for channel in _CHANNELS_OF_ATTRIBUTE[name])
    columns = [voxels.attributes[name].float().cpu().reshape(len(voxels.coords), -1) for name in names]
    # One more channel of ones tells where no voxel was near: the sample is 0 there, 1 elsewhere.
    values = torch.cat([*columns, torch.ones(len(voxels.coords), 1)], 1)
    coords = torch.nn.functional.pad(voxels.coords.cpu(), (1, 0))
    nearest: list[cKDTree] = []

    def sample(points: Float[Tensor, "M 3"]) -> Float[Tensor, "M C"]:
        query = (points.detach().float().cpu() + 0.5) * voxels.resolution
        sampled = sample_sparse_grid(coords, values, query[None])[0]
        is_empty = sampled[:, -1] < 0.5
        if is_empty.any():
            if not nearest:
                nearest.append(cKDTree(voxels.coords.cpu().numpy() + 0.5))
            _, row = nearest[0].query(query[is_empty].numpy(), workers=-1)
            sampled[is_empty] = values[torch.from_numpy(row)]
        return sampled[:, :-1].clamp(0, 1).to(points.device)

    return AttributeField(channels, sample)


def vertex_color_field(mesh: Mesh) -> AttributeField:
    """Interpolated vertex colours at the closest point of `mesh`.

    Raises:
        InputError: the mesh has no vertex colours or no face.
    """
    if mesh.vertex_colors is None:
        raise InputError("Expected a mesh with vertex colours to bake from, got one without; give a colour source.")
    tree, colors, faces = TriangleTree(mesh), mesh.vertex_colors.detach().float().cpu(), mesh.faces.cpu().long()

    def sample(points: Float[Tensor, "M 3"]) -> Float[Tensor, "M 4"]:
        hits = tree.query(points.cpu())
        rgba = (colors[faces[hits.faces]] * hits.barycentric[..., None]).sum(1).clamp(0, 1)
        return torch.cat([srgb_from_linear(rgba[:, :3]), rgba[:, 3:]], 1).to(points.device)

    return AttributeField((*_COLOR, "alpha"), sample)


def gaussian_field(gaussians: Gaussians, *, neighbours: int = 8) -> AttributeField:
    """Colour of the Gaussians round a point: the nearest ones' degree-0 colours, weighted by opacity and density.

    One pass over the texels instead of rendering and fitting many views: exact where Gaussians hug the surface, with no
    view-dependent colour and no occlusion; a point outside every Gaussian's reach takes the nearest one's colour.

    Raises:
        InputError: there is no Gaussian.
    """
    if len(gaussians.means) == 0:
        raise InputError("Expected Gaussians to bake colour from, got none.")
    means = gaussians.means.detach().double().cpu().numpy()
    tree = cKDTree(means)
    neighbours = min(neighbours, len(means))
    color = (0.5 + _SH_DEGREE_0 * gaussians.sh[:, 0].detach().float().cpu()).clamp(0, 1).numpy()
    opacity = gaussians.opacities.detach().float().cpu().numpy()
    whiten = _whitening(gaussians)

    def sample(points: Float[Tensor, "M 3"]) -> Float[Tensor, "M 3"]:
        query = points.detach().double().cpu().numpy()
        distance, row = tree.query(query, k=neighbours, workers=-1)
        distance, row = distance.reshape(len(query), -1), row.reshape(len(query), -1)
        offset = (query[:, None] - means[row]).astype(np.float32)
        local = np.einsum("mkij,mkj->mki", whiten[row], offset)
        weight = opacity[row] * np.exp(-0.5 * np.minimum((local**2).sum(2), 80.0))
        # Far outside, weights underflow together: let the nearest centre decide there.
        weight = weight + 1e-6 * np.exp(-distance / np.maximum(distance[:, :1], 1e-12))
        mixed = (weight[..., None] * color[row]).sum(1) / weight.sum(1, keepdims=True)
        return torch.from_numpy(mixed.astype(np.float32)).to(points.device)

    return AttributeField(_COLOR, sample)


def _whitening(gaussians: Gaussians) -> Float[np.ndarray, "N 3 3"]:
    """Matrices that turn an offset from the centre into standard deviations along the Gaussian's axes."""
    world_from_local = quaternion_wxyz_to_matrix(gaussians.quaternions_wxyz.detach().float().cpu())
    scales = gaussians.scales.detach().float().cpu().clamp(min=1e-9)
    return (world_from_local.mT / scales[..., None]).numpy()
