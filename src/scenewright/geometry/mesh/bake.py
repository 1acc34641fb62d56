"""Baking: textures filled with whatever a function says about points on the surface.

UV triangles are rasterised into texels, each texel's centre becomes a point on the surface, a callable turns points
into attributes, and texels round the charts continue their neighbours so that filtering finds no seam.

Legend: T texture side, M covered texels, C channels. Texel (row, column) has its centre at ((column, row) + 0.5) / T;
UV origin top left, v down (docs/conventions.md). Sampling order is row by row; memory is linear in T^2.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenewright.compiled import njit
from scenewright.errors import InputError
from scenewright.geometry.mesh.area_vectors import area_vectors
from scenewright.progress import Advance, ignore
from scenewright.types import Mesh

__all__ = ["BakedTexture", "TexelSurface", "bake", "fill_gutters", "texel_surface"]

Sampler = Callable[[Float[Tensor, "M 3"]], Float[Tensor, "M C"]]
Projection = Callable[[Float[Tensor, "M 3"], Float[Tensor, "M 3"]], Float[Tensor, "M 3"]]

_CHUNK = 1 << 20


@dataclass(frozen=True)
class TexelSurface:
    """The covered texels of a mesh: where each lies on the surface. `texels` = row * T + column, ascending."""

    size: int
    texels: Int[Tensor, " M"]
    faces: Int[Tensor, " M"]
    barycentric: Float[Tensor, "M 3"]

    def interpolate(self, mesh: Mesh, values: Float[Tensor, "V C"]) -> Float[Tensor, "M C"]:
        """Vertex values at the texels' surface points."""
        result = torch.zeros(len(self.texels), values.shape[1], device=values.device, dtype=values.dtype)
        for corner in range(3):
            rows = mesh.faces[self.faces, corner].long()
            result.addcmul_(self.barycentric[:, corner, None], values[rows])
        return result


@dataclass(frozen=True)
class BakedTexture:
    """Sampled values, gutters filled, and which texels were really covered by the surface."""

    values: Float[Tensor, "T T C"]
    coverage: Bool[Tensor, "T T"]


def bake(
    mesh: Mesh,
    sample: Sampler,
    size: int,
    *,
    project: Projection | None = None,
    margin: int = 8,
    progress: Advance = ignore,
) -> BakedTexture:
    """A texture of `size` x `size` texels with `sample`'s attributes on the surface of `mesh`.

    Args:
        mesh: needs `uv`; overlapping triangles share texels, the first one wins.
        sample: attributes at points of the mesh's frame, called with at most 1,048,576 points at a time.
        project: moves points before they are sampled, e.g. on to the surface the mesh was simplified from; it gets the
            normals of the faces that they lie on, too.
        margin: texels round each chart that continue its border; farther ones get a smooth blend of all charts.

    Raises:
        InputError: the mesh has no texture coordinates, or none of its triangles covers a texel.
    """
    surface = texel_surface(mesh, size)
    points = surface.interpolate(mesh, mesh.vertices.float())
    results = []
    for start in range(0, len(points), _CHUNK):
        chunk = points[start : start + _CHUNK]
        if project is not None:
            corners = mesh.vertices.float()[mesh.faces[surface.faces[start : start + _CHUNK]].long()]
            normals = area_vectors(corners)
            chunk = project(chunk, normals)
        results.append(sample(chunk))
        progress(min(start + _CHUNK, len(points)), len(points))
    return fill_gutters(surface, torch.cat(results), margin=margin)


def texel_surface(mesh: Mesh, size: int) -> TexelSurface:
    """The surface point under every texel centre that a UV triangle covers.

    Raises:
        InputError: the mesh has no texture coordinates, or none of its triangles covers a texel.
    """
    if mesh.uv is None:
        raise InputError("Expected a mesh with texture coordinates to bake into, got one without; unwrap it first.")
    corners = (mesh.uv.detach().cpu().double().numpy() * size)[mesh.faces.cpu().numpy()]
    owner, weights = _rasterize(corners, size)
    texels = np.nonzero(owner.reshape(-1) >= 0)[0]
    if len(texels) == 0:
        raise InputError(
            f"Expected UV triangles that cover texels of a {size}-texel texture, got none; unwrap the mesh."
        )
    barycentric = torch.from_numpy(weights.reshape(-1, 2)[texels])
    barycentric = torch.cat([barycentric, 1 - barycentric.sum(1, keepdim=True)], 1)
    device = mesh.vertices.device
    faces = torch.from_numpy(owner.reshape(-1)[texels].astype(np.int64))
    return TexelSurface(size, torch.from_numpy(texels).to(device), faces.to(device), barycentric.to(device))


def fill_gutters(surface: TexelSurface, values: Float[Tensor, "M C"], *, margin: int = 8) -> BakedTexture:
    """Spreads the values of covered texels over the whole texture."""
    size = surface.size
    image = np.zeros((size, size, values.shape[1]), dtype=np.float32)
    covered = np.zeros((size, size), dtype=np.int32)
    rows, columns = np.divmod(surface.texels.cpu().numpy(), size)
    image[rows, columns] = values.detach().float().cpu().numpy()
    covered[rows, columns] = 1
    coverage = torch.from_numpy(covered > 0)
    rim = np.ascontiguousarray(np.argwhere(_is_rim(covered)))
    for step in range(margin):
        if len(rim) == 0:
            break
        rim = _grow(image, covered, rim, step + 2)
    blend = _pull_push(torch.from_numpy(image), torch.from_numpy(covered > 0))
    return BakedTexture(blend.to(values.device), coverage.to(values.device))


@njit(cache=True)
@no_type_check
def _rasterize(corners, size):
    """Owning face of every texel (-1: none) and the barycentric weights of its first two corners."""
    owner = np.full((size, size), -1, dtype=np.int32)
    weights = np.zeros((size, size, 2), dtype=np.float32)
    for face in range(len(corners)):
        ax, ay = corners[face, 0, 0], corners[face, 0, 1]
        bx, by = corners[face, 1, 0], corners[face, 1, 1]
        cx, cy = corners[face, 2, 0], corners[face, 2, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if not abs(area) > 0:
            continue
        first_row = max(int(np.ceil(min(ay, by, cy) - 0.5)), 0)
        last_row = min(int(np.floor(max(ay, by, cy) - 0.5)), size - 1)
        first_column = max(int(np.ceil(min(ax, bx, cx) - 0.5)), 0)
        last_column = min(int(np.floor(max(ax, bx, cx) - 0.5)), size - 1)
        for row in range(first_row, last_row + 1):
            y = row + 0.5
            for column in range(first_column, last_column + 1):
                x = column + 0.5
                wa = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                wb = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                if wa >= 0 and wb >= 0 and wa + wb <= 1 and owner[row, column] < 0:
                    owner[row, column] = face
                    weights[row, column, 0] = wa
                    weights[row, column, 1] = wb
    return owner, weights


@njit(cache=True)
@no_type_check
def _is_rim(covered):
    """Texels that are empty and touch a covered one."""
    size = len(covered)
    rim = np.zeros((size, size), dtype=np.bool_)
    for row in range(size):
        for column in range(size):
            if covered[row, column] == 0:
                for y in range(max(row - 1, 0), min(row + 2, size)):
                    for x in range(max(column - 1, 0), min(column + 2, size)):
                        rim[row, column] |= covered[y, x] > 0
    return rim


@njit(cache=True)
@no_type_check
def _grow(image, covered, rim, stamp):
    """Gives each rim texel the mean of its neighbours from earlier steps; returns the next rim."""
    size = len(covered)
    for i in range(len(rim)):
        row, column = rim[i, 0], rim[i, 1]
        covered[row, column] = stamp
    next_rim = np.empty((8 * len(rim), 2), dtype=np.int64)
    count = 0
    for i in range(len(rim)):
        row, column = rim[i, 0], rim[i, 1]
        total = 0
        for y in range(max(row - 1, 0), min(row + 2, size)):
            for x in range(max(column - 1, 0), min(column + 2, size)):
                if covered[y, x] == 0:
                    covered[y, x] = -1
                    next_rim[count, 0], next_rim[count, 1] = y, x
                    count += 1
                elif 0 < covered[y, x] < stamp:
                    for c in range(image.shape[2]):
                        image[row, column, c] += image[y, x, c]
                    total += 1
        for c in range(image.shape[2]):
            image[row, column, c] /= max(total, 1)
    for i in range(count):
        covered[next_rim[i, 0], next_rim[i, 1]] = 0
    return next_rim[:count]


def _pull_push(image: Float[Tensor, "T T C"], known: Bool[Tensor, "T T"]) -> Float[Tensor, "T T C"]:
    """Fills unknown texels from coarser and coarser averages of the known ones; known texels stay as they are."""
    if known.all():
        return image
    if not known.any():
        return torch.zeros_like(image)
    size = len(image)
    pad = (0, 0, 0, size % 2, 0, size % 2)
    values = torch.nn.functional.pad(image * known[..., None], pad)
    weight = torch.nn.functional.pad(known.float()[..., None], pad)

    def halve(x: Tensor) -> Tensor:
        return x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]

    weight = halve(weight)
    coarse = _pull_push(halve(values) / weight.clamp(min=1), weight[..., 0] > 0)
    fine = coarse.repeat_interleave(2, 0).repeat_interleave(2, 1)[:size, :size]
    return torch.where(known[..., None], image, fine)
