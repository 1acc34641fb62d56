"""Procedural PBR materials: a small tileable base-colour texture or a plain colour, roughness and metallic by kind.

Patterns are sums of periodic functions, so they repeat without seams. Every number comes from the generator given.

Legend: T texture side in texels.
"""

import colorsys
import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float

from scenewright.geometry.color import linear_from_srgb_array
from scenewright.types import PBRMaterial

__all__ = ["MATERIAL_KINDS", "sample_material"]

TEXTURE_SIDE = 64
Pattern = Callable[[np.random.Generator], Float[np.ndarray, "T T"]]


def _grid() -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(TEXTURE_SIDE) + 0.5) / TEXTURE_SIDE
    return np.meshgrid(axis, axis, indexing="xy")


def _noise(rng: np.random.Generator, cells: int, stretch: int = 1) -> np.ndarray:
    """Periodic value noise in [-1, 1], `cells` cells per side (`cells * stretch` along v)."""
    lattice = rng.uniform(-1, 1, (cells * stretch, cells))
    u, v = _grid()
    x, y = u * cells, v * cells * stretch
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = (f * f * (3 - 2 * f) for f in (x - x0, y - y0))
    rows, columns = lattice.shape

    def at(j: np.ndarray, i: np.ndarray) -> np.ndarray:
        return lattice[j % rows, i % columns]

    low = at(y0, x0) * (1 - fx) + at(y0, x0 + 1) * fx
    high = at(y0 + 1, x0) * (1 - fx) + at(y0 + 1, x0 + 1) * fx
    return low * (1 - fy) + high * fy


def _wood(rng: np.random.Generator) -> np.ndarray:
    _, v = _grid()
    warp = 0.15 * _noise(rng, 2) + 0.05 * _noise(rng, 4, 4)
    return 0.5 + 0.35 * np.sin(2 * math.pi * (rng.integers(3, 8) * v + warp * 4)) + 0.25 * _noise(rng, 3, 12)


def _weave(rng: np.random.Generator) -> np.ndarray:
    u, v = _grid()
    count = int(rng.integers(8, 20))
    return 0.5 + 0.3 * np.sin(2 * math.pi * count * u) * np.sin(2 * math.pi * count * v) + 0.2 * _noise(rng, 16)


def _stripes(rng: np.random.Generator) -> np.ndarray:
    u, _ = _grid()
    return (np.sin(2 * math.pi * rng.integers(2, 8) * u) > rng.uniform(-0.6, 0.6)).astype(float)


def _checks(rng: np.random.Generator) -> np.ndarray:
    u, v = _grid()
    count = int(rng.integers(1, 4))
    return 0.5 * ((u * count % 1 > 0.5).astype(float) + (v * count % 1 > 0.5))


def _mottled(rng: np.random.Generator) -> np.ndarray:
    return 0.5 + 0.3 * _noise(rng, 4) + 0.2 * _noise(rng, 8) + 0.15 * _noise(rng, 16)


def _speckled(rng: np.random.Generator) -> np.ndarray:
    return (_noise(rng, 16) > rng.uniform(0.2, 0.6)).astype(float)


def _tiles(rng: np.random.Generator) -> np.ndarray:
    u, v = _grid()
    count, joint = int(rng.integers(1, 4)), rng.uniform(0.02, 0.06)
    gap = (np.minimum(u * count % 1, v * count % 1) < joint * count).astype(float)
    return np.clip(1 - gap + 0.15 * _noise(rng, 8) * (1 - gap), 0, 1)


def _boards(rng: np.random.Generator) -> np.ndarray:
    u, _ = _grid()
    count = int(rng.integers(3, 7))
    tone = rng.uniform(-0.25, 0.25, count)[np.minimum((u * count).astype(int), count - 1)]
    gap = (u * count % 1 < 0.06).astype(float)
    return np.clip(0.55 + tone + 0.2 * _noise(rng, 6, 1).T - 0.5 * gap, 0, 1)


# kind: (hue, saturation, value) ranges, roughness range, metallic range, patterns, share of plain colours.
_Range = tuple[float, float]
_KINDS: dict[str, tuple[tuple[_Range, _Range, _Range], _Range, _Range, tuple[Pattern, ...], float]] = {
    "wood": (((0.04, 0.11), (0.25, 0.7), (0.25, 0.85)), (0.35, 0.8), (0, 0), (_wood,), 0.15),
    "lacquer": (((0, 1), (0, 0.85), (0.08, 0.95)), (0.12, 0.5), (0, 0), (_mottled,), 0.9),
    "fabric": (((0, 1), (0.05, 0.7), (0.15, 0.9)), (0.75, 1.0), (0, 0), (_weave, _weave, _stripes, _checks), 0.25),
    "leather": (((0.0, 0.12), (0.2, 0.75), (0.08, 0.6)), (0.35, 0.65), (0, 0), (_mottled,), 0.5),
    "metal": (((0.05, 0.65), (0, 0.15), (0.35, 0.9)), (0.15, 0.55), (0.8, 1.0), (_mottled,), 0.9),
    "plastic": (((0, 1), (0, 0.95), (0.1, 0.95)), (0.25, 0.7), (0, 0), (_mottled,), 0.9),
    "ceramic": (((0, 1), (0.05, 0.7), (0.4, 0.97)), (0.1, 0.4), (0, 0), (_speckled, _stripes, _mottled), 0.5),
    "leaf": (((0.2, 0.4), (0.4, 0.85), (0.2, 0.6)), (0.5, 0.9), (0, 0), (_mottled,), 0.3),
    "paper": (((0, 1), (0, 0.8), (0.4, 0.97)), (0.7, 1.0), (0, 0), (_checks, _stripes, _mottled), 0.5),
    "shade": (((0.08, 0.16), (0.02, 0.35), (0.75, 0.97)), (0.8, 1.0), (0, 0), (_weave,), 0.7),
    "soil": (((0.05, 0.1), (0.3, 0.6), (0.1, 0.25)), (0.9, 1.0), (0, 0), (_speckled,), 0.3),
    "floor": (((0.04, 0.14), (0.05, 0.55), (0.3, 0.85)), (0.3, 0.9), (0, 0), (_boards, _boards, _tiles, _weave), 0.1),
    "wall": (((0, 1), (0, 0.22), (0.68, 0.97)), (0.85, 1.0), (0, 0), (_mottled, _stripes), 0.75),
    "ceiling": (((0.08, 0.14), (0, 0.05), (0.88, 0.98)), (0.9, 1.0), (0, 0), (_mottled,), 1.0),
}
MATERIAL_KINDS = tuple(sorted(_KINDS))


def sample_material(kind: str, rng: np.random.Generator) -> PBRMaterial:
    """A random material of a kind (see `MATERIAL_KINDS`), textured or plain."""
    (hue, saturation, value), roughness, metallic, patterns, plain = _KINDS[kind]
    base = (rng.uniform(*hue) % 1, rng.uniform(*saturation), rng.uniform(*value))
    rough, metal = float(rng.uniform(*roughness)), float(rng.uniform(*metallic))
    srgb = np.array(colorsys.hsv_to_rgb(*base))
    if rng.uniform() < plain:
        linear = linear_from_srgb_array(srgb)
        factor = (float(linear[0]), float(linear[1]), float(linear[2]), 1.0)
        return PBRMaterial(base_color_factor=factor, metallic_factor=metal, roughness_factor=rough, name=kind)
    pattern = patterns[int(rng.integers(len(patterns)))]
    contrast = 0.35 if pattern in (_wood, _weave, _mottled, _boards) else 0.6
    other = (base[0] + rng.uniform(-0.06, 0.06)) % 1, base[1], base[2] * (1 - contrast * rng.uniform(0.4, 1.0))
    blend = np.clip(pattern(rng), 0, 1)[..., None]
    texels = np.array(colorsys.hsv_to_rgb(*other)) * (1 - blend) + srgb * blend
    texture = torch.from_numpy(np.round(texels * 255).astype(np.uint8))
    return PBRMaterial(metallic_factor=metal, roughness_factor=rough, base_color_texture=texture, name=kind)
