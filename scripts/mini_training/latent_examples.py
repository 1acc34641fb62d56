"""Training samples of mini's latent flows: tokens of objects' pictures beside their shape and texture latents.

    FOLDER/{shape,texture}/{train,validation}    shards of `shape_flow` and `texture_flow` samples, one for each chunk
    FOLDER/statistics.json                       of the latents, measured on the chunk that is kept for validation

Frame: as in `examples.py`, so an object is turned as its camera saw it. Voxels that no picture shows are left out.

Legend: N voxels, M latent tokens, C channels.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.backbones.trellis2.sampling import normalized
from scenewright.backbones.trellis2.shape_vae import ShapeEncoder, shape_features
from scenewright.backbones.trellis2.texture_vae import MATERIAL_CHANNELS, TextureEncoder, texture_features
from scenewright.data.asset import Asset
from scenewright.data.selection import Selector
from scenewright.data.shards import is_whole
from scenewright.data.tensor_shards import write_tensor_shard
from scenewright.errors import InputError
from scenewright.geometry.ovoxel.voxelize_object import object_to_ovoxel
from scenewright.io.atomic import make_folder
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.systems.mini.conditioner import PictureConditioner
from scenewright.systems.mini.occupancy import outer_shell
from scenewright.systems.mini.pictures import relit
from scenewright.systems.mini.sizes import RESOLUTION, VOXEL_RESOLUTION
from scenewright.systems.single_object.latent_preparation import read_statistics, write_statistics
from scenewright.types import OVoxel
from scenewright.weights.record import LatentStatistics
from scripts.mini_training.examples import compose_views, seen_objects

__all__ = ["LatentEncoders", "measured_statistics", "seen_voxels", "turned_voxels", "write_latent_examples"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LatentEncoders:
    """Networks that turn pictures and voxels into training samples."""

    conditioner: PictureConditioner
    shape: ShapeEncoder
    texture: TextureEncoder

    @torch.no_grad()
    def latents(self, voxels: OVoxel) -> tuple[SparseTensor, SparseTensor]:
        """Shape and texture latent of an object, on the same tokens."""
        grid = voxels.grid
        packed = VoxelSet(torch.nn.functional.pad(grid.coords.int(), (1, 0)))
        materials = [voxels.materials[name].float() / 255 for name in MATERIAL_CHANNELS]
        return (
            self.shape(shape_features(packed, grid.dual_vertices, grid.intersected)).mean,
            self.texture(texture_features(packed, torch.cat(materials, 1))).mean,
        )


def seen_voxels(asset: Asset, turned_from_object: Float[np.ndarray, "4 4"]) -> OVoxel:
    """Dual grid and materials of an object in its own turned cube, without what its outer shell hides.

    Raises:
        InputError: the object is too thin for the grid.
    """
    voxels = turned_voxels(asset, turned_from_object, VOXEL_RESOLUTION)
    grid = voxels.grid
    cells = (grid.coords // (VOXEL_RESOLUTION // RESOLUTION)).long()
    occupied = np.zeros((RESOLUTION,) * 3, dtype=bool)
    occupied[tuple(cells.T.numpy())] = True
    kept = torch.from_numpy(outer_shell(occupied))[tuple(cells.T)]
    seen = replace(
        grid,
        coords=grid.coords[kept],
        dual_vertices=grid.dual_vertices[kept],
        intersected=grid.intersected[kept],
    )
    return OVoxel(seen, {name: values[kept] for name, values in voxels.materials.items()})


def turned_voxels(asset: Asset, turned_from_object: Float[np.ndarray, "4 4"], resolution: int) -> OVoxel:
    """Dual grid and materials of a whole object in its own turned cube.

    Raises:
        InputError: the object is too thin for the grid.
    """
    turn = torch.from_numpy(turned_from_object[:3, :3]).float()
    parts = [part for part in asset.parts if len(part.faces)]
    turned = [replace(part, vertices=part.vertices.float() @ turn.T, vertex_normals=None) for part in parts]
    return object_to_ovoxel(turned, resolution)


def measured_statistics(latents: list[Tensor]) -> LatentStatistics:
    """Mean and standard deviation per channel over all tokens."""
    rows = torch.cat(latents).double()
    return LatentStatistics(tuple(rows.mean(0).tolist()), tuple(rows.std(0).clamp(min=1e-6).tolist()))


def write_latent_examples(
    selector: Selector, encoders: LatentEncoders, folder: Path, *, seed: int, chunk: int, num_scenes: int = 50
) -> None:
    """One chunk of scenes; chunk 0 is for validation and comes first. A chunk that exists is left alone.

    Raises:
        InputError: chunk 0 is not there yet.
    """
    part = "train" if chunk else "validation"
    if all(is_whole(folder / kind / part, chunk) for kind in ("shape", "texture")):
        return
    samples = list(_samples(selector, encoders, seed, chunk, num_scenes))
    path = folder / "statistics.json"
    if chunk == 0:
        measured = {
            kind: measured_statistics([sample[kind].feats for _, sample, _ in samples]) for kind in ("shape", "texture")
        }
        make_folder(folder)
        write_statistics(path, measured)
    statistics = read_statistics(path)
    written: dict[str, list[tuple[str, dict[str, Tensor]]]] = {"shape": [], "texture": []}
    for key, found, tokens in samples:
        scaled = {kind: normalized(latent, statistics[kind]).feats.half() for kind, latent in found.items()}
        shared = {"coords": found["shape"].coords[:, 1:].int(), "cond": tokens}
        written["shape"].append((key, shared | {"latent": scaled["shape"]}))
        written["texture"].append((key, shared | {"latent": scaled["texture"], "shape_latent": scaled["shape"]}))
    for kind, content in written.items():
        make_folder(folder / kind / part)
        write_tensor_shard(folder / kind / part, chunk, content)


def _samples(
    selector: Selector, encoders: LatentEncoders, seed: int, chunk: int, num_scenes: int
) -> Iterator[tuple[str, Mapping[str, SparseTensor], Tensor]]:
    """Key, latents by kind, and fp16 tokens of every object that is seen."""
    generator = torch.Generator().manual_seed(chunk)
    for number in range(chunk * num_scenes, (chunk + 1) * num_scenes):
        for view, scene in enumerate(compose_views(selector, seed, number)):
            seen = seen_objects(scene)
            if seen is None:
                continue
            tokens = encoders.conditioner(relit(seen.pictures.own, generator)).half()
            for place, (asset, matrix) in enumerate(zip(seen.assets, seen.turned_from_object, strict=True)):
                try:
                    shape, texture = encoders.latents(seen_voxels(asset, matrix))
                except InputError as error:
                    logger.warning("An object is left out: %s", error)
                    continue
                yield f"{number:07d}-{view}-{place:02d}", {"shape": shape, "texture": texture}, tokens[place]
