"""Surfaces and colours without a latent stage: the mini preset's stand-in for shape and texture networks.

The surface is that of the smoothed, filled voxels; its colours are the picture's, laid on from the camera's side: the
object is seen from the front, a little from above, and stretched to its picture's outline. What the camera does not
see gets the colour of what is in front of it. This is a drawing aid, no reconstruction of materials.

Legend: M points, P picture side, R resolution. Frame: the object's cube, z up, camera looking along +y.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from scipy import ndimage
from torch import Tensor

from scenewright.geometry.dual_marching_cubes import ScalarGrid, dual_marching_cubes
from scenewright.geometry.finish import FinishOptions
from scenewright.geometry.surface_color import AttributeField
from scenewright.presets.mini.occupancy import filled
from scenewright.systems.scene.decoding import AS_PUBLISHED, GeneratorOf, LatentOptions, RawObject
from scenewright.systems.scene.structures import PlacedStructures, StageProgress
from scenewright.types import Mesh

__all__ = ["VoxelDecoder", "picture_field", "surface_of_voxels", "voxel_surface"]

# A surface passes anywhere through its outermost voxels, so it is drawn a little inside their outer faces, as far as
# lets bars of a single voxel stay. Chosen on held-out made scenes (F-score of the drawn surface 0.67 -> 0.73).
_BLUR = 0.5
_LEVEL = 0.55
_PITCH_DEG = 20.0
_ROUGHNESS = 0.8
_MARGIN = 2


class VoxelDecoder:
    """An `ObjectDecoder` that needs no weights."""

    name = "voxels"
    source = "none: surface and colours are made from voxels and picture"
    weights: Mapping[str, Path] = {}

    @property
    def finish(self) -> FinishOptions:
        return FinishOptions(max_faces=6_000, texture_size=256, smooth_steps=2)

    def decode(
        self,
        structures: PlacedStructures,
        generator_of: GeneratorOf,
        options: LatentOptions = AS_PUBLISHED,
        *,
        progress: StageProgress | None = None,
    ) -> list[RawObject | None]:
        """See `ObjectDecoder.decode`."""
        found: list[RawObject | None] = []
        for coords, picture in zip(structures.coords, structures.pictures, strict=True):
            found.append(_raw_object(coords, structures.resolution, picture))
            if progress is not None:
                progress("decode", len(found) / len(structures.coords))
        return found


def _raw_object(coords: Int[Tensor, "n 3"], resolution: int, picture: Image.Image) -> RawObject | None:
    surface = surface_of_voxels(coords, resolution)
    return None if surface is None else RawObject(surface, picture_field(surface.vertices, picture))


def surface_of_voxels(coords: Int[Tensor, "n 3"], resolution: int) -> Mesh | None:
    """`voxel_surface` of a list of voxels; None where there is nothing."""
    if not len(coords):
        return None
    occupied = np.zeros((resolution,) * 3, dtype=bool)
    occupied[tuple(coords.long().numpy().T)] = True
    surface = voxel_surface(occupied)
    return surface if len(surface.faces) else None


def voxel_surface(occupied: Bool[np.ndarray, "R R R"]) -> Mesh:
    """The closed surface round the voxels and what they enclose, in the cube [-0.5, 0.5]^3, wound outwards."""
    resolution = occupied.shape[0]
    solid = np.pad(filled(occupied), _MARGIN).astype(np.float32)
    smooth = ndimage.gaussian_filter(solid, _BLUR)
    side = len(smooth)
    # Voxel middles become the corners of the extraction's cubes.
    ids = np.arange((side + 1) ** 3).reshape((side + 1,) * 3)[:side, :side, :side].ravel()
    cubes = np.arange(side**3).reshape((side,) * 3)[: side - 1, : side - 1, : side - 1].ravel()
    grid = ScalarGrid(
        resolution=side,
        vertex_ids=torch.from_numpy(ids),
        vertex_sdf=torch.from_numpy(_LEVEL - smooth.ravel()),
        vertex_shift=torch.zeros(len(ids), 3),
        vertex_attributes=torch.zeros(len(ids), 0),
        cube_ids=torch.from_numpy(cubes),
        edge_weights=torch.ones(len(cubes), 12),
        corner_weights=torch.ones(len(cubes), 8),
        split_weights=torch.ones(len(cubes)),
    )
    surface = dual_marching_cubes(grid)
    corner = (surface.vertices + 0.5) * side
    return Mesh(((corner + 0.5 - _MARGIN) / resolution - 0.5).float(), surface.faces)


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


def _from_front(points: Float[Tensor, "M 3"]) -> Float[Tensor, "M 2"]:
    """Picture coordinates (right, down) of a distant camera that looks along +y and down."""
    pitch = math.radians(_PITCH_DEG)
    return torch.stack([points[:, 0], -points[:, 2] * math.cos(pitch) - points[:, 1] * math.sin(pitch)], 1)
