"""Visibility: which triangle every pixel centre sees, where on it, and how deep.

`rasterize` picks the compiled CPU rasteriser (`raster_numba`) for scenes in main memory and the plain torch one
(`raster_torch`: any device, same integers) otherwise; both honour the same sub-pixel rule and agree exactly in coverage
wherever their float64 projections agree.

Legend: H, W image size, F faces.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenewright.geometry.threads import run_bands
from scenewright.rendering import raster_numba
from scenewright.rendering.raster_torch import rasterize_torch
from scenewright.rendering.triangles import TriangleScene
from scenewright.rendering.view import View

__all__ = ["Backend", "GBuffer", "choose_backend", "rasterize", "rasterize_depth"]

Backend = Literal["auto", "numba", "torch"]
NO_ROWS = np.empty((0, 0))
ALL_FACES = np.empty(0, np.bool_)


@dataclass(frozen=True)
class GBuffer:
    """Per pixel: `face` (-1: nothing is hit), barycentric weights of the face's corners 1 and 2, z-depth (0: none)."""

    face: Int[Tensor, "height width"]
    barycentrics: Float[Tensor, "height width 2"]
    depth: Float[Tensor, "height width"]


def choose_backend(scene: TriangleScene, backend: Backend) -> Literal["numba", "torch"]:
    """The backend that "auto" stands for: compiled loops in main memory, torch elsewhere."""
    if backend == "auto":
        return "numba" if scene.vertices.device.type == "cpu" else "torch"
    return backend


def rasterize(
    scene: TriangleScene,
    view: View,
    *,
    selected: Bool[Tensor, " F"] | None = None,
    in_front_of: Float[Tensor, "height width"] | None = None,
    behind: Float[Tensor, "height width"] | None = None,
    alpha_test: bool = True,
    backend: Backend = "auto",
    threads: int | None = None,
) -> GBuffer:
    """Nearest surface at every pixel centre, from both sides of every triangle.

    Args:
        selected: which faces take part (default all).
        in_front_of: only surfaces nearer than this depth count (0: no limit there).
        behind: only surfaces farther than this depth count (0: no limit there).
        alpha_test: drop points of masked materials below their cutoff, and fully transparent points of blended ones.
        threads: CPU threads (default: all cores).
    """
    if choose_backend(scene, backend) == "torch":
        face, barycentrics, depth = rasterize_torch(
            scene, view, selected=selected, in_front_of=in_front_of, behind=behind, alpha_test=alpha_test
        )
        return GBuffer(face, barycentrics, depth)
    return GBuffer(*_rasterize_numba(scene, view, selected, in_front_of, behind, alpha_test, threads))


def rasterize_depth(
    scene: TriangleScene,
    view: View,
    *,
    selected: Bool[Tensor, " F"] | None = None,
    backend: Backend = "auto",
    threads: int | None = None,
) -> Float[Tensor, "height width"]:
    """The depth of `rasterize` alone, for shadow maps: a third faster."""
    if choose_backend(scene, backend) == "torch":
        return rasterize(scene, view, selected=selected, backend="torch").depth
    return _rasterize_numba(scene, view, selected, None, None, True, threads, depth_only=True)[2]


def _rasterize_numba(
    scene: TriangleScene,
    view: View,
    selected: Tensor | None,
    in_front_of: Tensor | None,
    behind: Tensor | None,
    alpha_test: bool,
    threads: int | None,
    *,
    depth_only: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """The fields of a `GBuffer`; with `depth_only` the first two are empty."""
    faces = scene.faces.numpy()
    height, width = view.height, view.width
    chosen = ALL_FACES if selected is None or not len(faces) else selected.numpy()
    triangles = _setup(scene.vertices.numpy(), faces, chosen, view)
    depth_key = np.full((height, width), -np.inf, dtype=np.float64)
    if in_front_of is not None:
        depth_key = _limit_key(in_front_of, view, unlimited=-np.inf)
    limit_key = NO_ROWS if behind is None else _limit_key(behind, view, unlimited=np.inf)
    triangle = np.full((height, width), -1, dtype=np.int32)
    rest = (0, 0) if depth_only else (height, width)
    face = np.empty(rest, dtype=np.int32)
    barycentrics = np.empty((*rest, 2), dtype=np.float32)
    depth = np.empty((height, width), dtype=np.float32)
    bank = scene.bank
    alpha_test = alpha_test and bool((bank.kinds[:, 0] == 1).any() or (bank.kinds[:, 0] == 2).any())
    alpha_arrays = (
        scene.uv.numpy(), scene.colors.numpy(), faces, scene.face_material.numpy(), bank.factors.numpy(),
        bank.kinds.numpy(), bank.textures.numpy(), bank.texels.numpy(),
    )  # fmt: skip

    def band(first: int, last: int) -> None:
        raster_numba.fill_band(
            *triangles, len(triangles[2]), view.ortho, first, last, depth_key, triangle, limit_key,
            behind is not None, alpha_test, *alpha_arrays,
        )  # fmt: skip
        if depth_only:
            raster_numba.resolve_depth(view.ortho, first, last, depth_key, triangle, depth)
            return
        raster_numba.resolve_band(
            *triangles, view.ortho, first, last, depth_key, triangle, face, barycentrics, depth
        )  # fmt: skip

    run_bands(band, height, threads)
    return torch.from_numpy(face), torch.from_numpy(barycentrics), torch.from_numpy(depth)


def _setup(vertices: np.ndarray, faces: np.ndarray, chosen: np.ndarray, view: View) -> tuple[np.ndarray, ...]:
    """Screen triangles: corners, depth keys, faces, clip rows, and the clipped corners' weights."""
    near = -1e30 if view.ortho else view.near
    size = (view.width, view.height)
    numbers = view.numbers.numpy()
    fixed, vertex_key = np.empty((len(vertices), 2), np.int32), np.empty(len(vertices))
    is_plain = np.empty(len(vertices), np.bool_)
    raster_numba.project_vertices(vertices, numbers, view.ortho, near, *size, fixed, vertex_key, is_plain)
    rest = np.empty(len(faces), np.int32)
    plain = _triangle_buffers(len(faces))
    count, left_over = raster_numba.setup_plain(
        fixed, vertex_key, is_plain, faces, chosen, *size, *plain, rest
    )  # fmt: skip
    kept = tuple(buffer[:count] for buffer in plain)
    if not left_over:
        return (*kept, np.empty((0, 9)))
    clipped, weights = _triangle_buffers(6 * left_over), np.empty((6 * left_over, 9))
    count = raster_numba.setup_clipped(
        vertices, numbers, faces, rest[:left_over], near, view.ortho, *size, *clipped, weights
    )  # fmt: skip
    return (*(np.concatenate([a, b[:count]]) for a, b in zip(kept, clipped, strict=True)), weights[:count])


def _triangle_buffers(count: int) -> tuple[np.ndarray, ...]:
    return (np.empty((count, 6), np.int32), np.empty((count, 3)), np.empty(count, np.int32), np.empty(count, np.int32))


def _limit_key(depth: Tensor, view: View, *, unlimited: float) -> np.ndarray:
    values = depth.numpy().astype(np.float64)
    limited = values != 0
    key = -values if view.ortho else 1 / np.where(limited, values, 1.0)
    return np.where(limited, key, unlimited)
