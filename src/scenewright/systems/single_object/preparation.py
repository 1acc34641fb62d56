"""From models to what autoencoders train on: occupancy, dual grid, materials and cut-out pictures of every asset.

One sample per asset, in tensor shards (`scenewright.data.tensor_shards`):

    occupancy      uint8 [1, R, R, R]      surface voxels of the structure grid
    coords         int32 [N, 3]            voxels of the finer grid, with
    dual_vertices  [N, 3], intersected bool [N, 3], materials [N, 6]    (docs/conventions.md#grid)
    pictures       uint8 [K, 4, S, S]      RGBA views from random directions and distances

Frame: the asset's box centred, its longest side filling [-0.5, 0.5]^3, z up. Source: microsoft/TRELLIS
dataset_toolkits (there with Cycles pictures; here with our own renderer).
"""

import functools
import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scenewright.data.held_out import TrainingAsset
from scenewright.data.library import TrainingLibrary
from scenewright.data.occupancy import surface_occupancy
from scenewright.data.shards import ShardReader, is_whole, shard_paths
from scenewright.data.tensor_shards import write_tensor_shard
from scenewright.data.viewpoints import pinhole
from scenewright.errors import InputError
from scenewright.files import Seed
from scenewright.geometry.camera.cameras import look_at, orbit_position, sphere_yaw_pitch
from scenewright.geometry.ovoxel.voxelize import fit_unit_cube
from scenewright.geometry.ovoxel.voxelize_object import object_to_ovoxel
from scenewright.io.atomic import make_folder
from scenewright.jobs import run
from scenewright.progress import Advance, ignore
from scenewright.rendering.random_lights import random_lights
from scenewright.rendering.render import RenderOptions, render
from scenewright.rendering.triangles import pack_objects
from scenewright.types import Mesh, SceneObject

__all__ = ["PARTS", "AssetPreparation", "num_asset_shards", "prepare_asset", "prepare_asset_shard", "prepare_assets"]

logger = logging.getLogger(__name__)
_ASSETS_PER_SHARD = 16
_VALIDATION_EVERY = 20
PARTS = ("train", "validation")
"""Folders of the samples to train on, and of every twentieth, which is kept apart."""

_MATERIALS = ("base_color", "metallic", "roughness", "alpha")


@dataclass(frozen=True)
class AssetPreparation:
    """Samples to make of every asset of `packs` and of `parametric` members of our own families.

    `resolution` is the side of the dual grid, `structure_resolution` of the occupancy; `views` pictures of
    `picture_size` pixels (0: none). Every twentieth asset is kept apart for validation.
    """

    packs: tuple[str, ...] = ()
    parametric: int = 0
    resolution: int = 64
    structure_resolution: int = 64
    views: int = 0
    picture_size: int = 518
    seed: Seed = 0

    def assets(self, library: TrainingLibrary) -> list[str]:
        """Keys of all assets: ids of the packs' training split, then `parametric-<number>`."""
        return [*sorted(library.rows), *(f"parametric-{number:06d}" for number in range(self.parametric))]

    def asset(self, library: TrainingLibrary, key: str) -> TrainingAsset:
        """An asset by its key."""
        if key in library.rows:
            return library[key]
        return library.random_parametric(np.random.default_rng([self.seed, int(key.rpartition("-")[2])]))


def prepare_asset(source: TrainingAsset, config: AssetPreparation, generator: torch.Generator) -> dict[str, Tensor]:
    """The sample of one asset; see the module's first lines.

    Raises:
        InputError: the asset has no extent, or is too thin for the grid.
    """
    parts = [part for part in source.asset.parts if len(part.faces)]
    voxels = object_to_ovoxel(parts, config.resolution)
    grid, materials = voxels.grid, [voxels.materials[name].float() / 255 for name in _MATERIALS]
    sample = {
        "occupancy": surface_occupancy(source.asset, config.structure_resolution)[None].byte(),
        "coords": grid.coords.int(),
        "dual_vertices": grid.dual_vertices,
        "intersected": grid.intersected,
        "materials": torch.cat(materials, 1),
    }
    if config.views:
        sample["pictures"] = _pictures(parts, config, generator)
    return sample


def _pictures(parts: list[Mesh], config: AssetPreparation, generator: torch.Generator) -> Tensor:
    """Transparent pictures that just hold the unit cube's sphere, fields of view from 10 to 70 degrees."""
    fitted, _, _ = fit_unit_cube(torch.cat([part.vertices.float() for part in parts]))
    pieces = fitted.split([len(part.vertices) for part in parts])
    moved = tuple(replace(part, vertices=piece) for part, piece in zip(parts, pieces, strict=True))
    (scene,) = pack_objects([SceneObject("object", moved)])
    offset = torch.rand(2, generator=generator).tolist()
    directions = sphere_yaw_pitch(config.views, (offset[0], offset[1]))
    options = RenderOptions(supersample=2, background=None, threads=1)
    near, far = (math.sqrt(3) / 2 / math.sin(math.radians(fov) / 2) for fov in (70.0, 10.0))
    pictures = []
    for direction in directions:
        share = float(torch.rand(1, generator=generator))
        radius = (share / near**2 + (1 - share) / far**2) ** -0.5  # 1 / radius^2 is uniform
        eye = orbit_position(direction, radius).double()
        fov_deg = math.degrees(2 * math.asin(math.sqrt(3) / 2 / radius))
        camera = pinhole(look_at(eye, torch.zeros(3, dtype=torch.float64)), fov_deg, *[config.picture_size] * 2)
        image = render(scene, camera, random_lights(generator), options).image(transparent=True)
        pictures.append(torch.from_numpy(np.array(image)).movedim(-1, 0))
    return torch.stack(pictures)


def prepare_assets(
    config: AssetPreparation,
    out: str | Path,
    *,
    workers: int = 1,
    progress: Advance = ignore,
) -> tuple[int, int]:
    """Writes `out/train` and `out/validation`; whole shards are kept. Returns both numbers of assets.

    Assets that cannot be voxelised are left out with a warning.

    Args:
        progress: receives (shards ready, shards in all).

    Raises:
        InputError: there is no asset, a pack cannot be read, or `out` cannot be written.
    """
    jobs = [(config, Path(out), shard) for shard in _shards(config)]
    for name in {shard.part for _, _, shard in jobs}:
        make_folder(Path(out) / name)
    todo = [job for job in jobs if not is_whole(job[1] / job[2].part, job[2].number)]
    progress(0, len(todo))
    run(_prepare_shard, todo, workers=workers, progress=progress)
    counts = [len(ShardReader(Path(out) / name)) if (Path(out) / name).is_dir() else 0 for name in PARTS]
    return counts[0], counts[1]


def num_asset_shards(config: AssetPreparation) -> int:
    """Number of shards that `prepare_assets` writes.

    Raises:
        InputError: there is no asset, or a pack cannot be read.
    """
    return len(_shards(config))


def prepare_asset_shard(config: AssetPreparation, out: str | Path, number: int) -> list[str]:
    """One shard of `prepare_assets`, which later keeps it; returns the names of its files in `out`.

    Raises:
        InputError: as of `prepare_assets`, or there is no such shard.
    """
    shards = _shards(config)
    if number >= len(shards):
        raise InputError(f"There are {len(shards)} shards, so there is no shard {number}.")
    shard, out = shards[number], Path(out)
    make_folder(out / shard.part)
    if not is_whole(out / shard.part, shard.number):
        _prepare_shard((config, out, shard))
    return [path.relative_to(out).as_posix() for path in shard_paths(out / shard.part, shard.number)]


@dataclass(frozen=True)
class _Shard:
    """The assets of one shard, of those to train on or of those for validation."""

    part: str
    number: int
    keys: tuple[str, ...]


@functools.lru_cache(1)
def _shards(config: AssetPreparation) -> tuple[_Shard, ...]:
    keys = config.assets(TrainingLibrary(config.packs))
    if not keys:
        raise InputError("Expected model packs with training models or a number of parametric ones, got neither.")
    held_out = keys[::_VALIDATION_EVERY] if len(keys) >= _VALIDATION_EVERY else []
    kept_apart = set(held_out)
    parts = zip(PARTS, ([key for key in keys if key not in kept_apart], held_out), strict=True)
    return tuple(
        _Shard(name, number, tuple(chosen[start : start + _ASSETS_PER_SHARD]))
        for name, chosen in parts
        for number, start in enumerate(range(0, len(chosen), _ASSETS_PER_SHARD))
    )


def _prepare_shard(job: tuple[AssetPreparation, Path, _Shard]) -> None:
    config, out, shard = job
    library = TrainingLibrary(config.packs)
    samples = []
    for place, key in enumerate(shard.keys):
        own_seed = config.seed * 1_000_003 + shard.number * _ASSETS_PER_SHARD + place
        generator = torch.Generator().manual_seed(own_seed % (1 << 64))  # torch takes no more bits
        try:
            samples.append((key.replace(".", "_"), prepare_asset(config.asset(library, key), config, generator)))
        except InputError as error:
            logger.warning("'%s' is left out: %s", key, error)
    write_tensor_shard(out / shard.part, shard.number, samples)
