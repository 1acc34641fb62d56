"""Surface and materials by mini's shape and texture networks, TRELLIS.2's classes on a grid of 64.

What a small network invents has holes, and it cannot remember a pattern; so it works on what is known already. The
shape flow starts from the latent of the voxels' smoothed surface, and that closed surface is drawn onto the decoded
one. The texture flow says which materials there are, on all sides; where the camera sees the object, the picture's own
detail is laid over them. Measured on held-out scenes: docs/mini.md.

Legend: W objects with voxels, N voxels of all, M latent tokens of all.
Frame: the objects' cubes, z up, camera looking along +y.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from scenewright.backbones.trellis2.decoding import decode_materials, decode_shape, object_surface
from scenewright.backbones.trellis2.sampling import (
    latent_noise,
    normalized,
    sample_shape_latent,
    sample_texture_latent,
)
from scenewright.backbones.trellis2.shape_vae import shape_features
from scenewright.backbones.trellis2.sparse_unet import Pyramid
from scenewright.errors import EmptyStructureError
from scenewright.geometry.mesh.edges import edge_table
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.geometry.mesh.surface_color import VoxelField
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.geometry.ovoxel.dual_grid import mesh_to_dual_grid
from scenewright.progress import SILENT, Progress
from scenewright.samplers.config import SamplerConfig
from scenewright.samplers.flow import interpolate
from scenewright.sparse.tensor import SparseTensor, VoxelSet, packed_voxels
from scenewright.systems.assembly.decoding import GeneratorOf, RawObject
from scenewright.systems.assembly.structures import PlacedStructures
from scenewright.systems.mini.networks import LatentNetworks
from scenewright.systems.mini.picture_colors import picture_field, with_picture
from scenewright.systems.mini.sizes import (
    SHAPE_SAMPLER,
    SHAPE_START,
    TEXTURE_SAMPLER,
    VOXEL_RESOLUTION,
)
from scenewright.systems.mini.surface import surfaces_of
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.types import DualGrid, Mesh, SparseVoxels

__all__ = ["LatentDecoder", "drawn_onto"]

# How far from the voxels' surface the decoded one may be, in voxels of its own grid, and how often moves are averaged.
_REACH = 2.5
_ROUNDS = 3


@dataclass(frozen=True)
class LatentDecoder:
    """An `ObjectDecoder` that needs the pictures and condition tokens of a mini structure stage."""

    networks: LatentNetworks
    source: str = "mini"
    name: str = "mini"

    @property
    def weights(self) -> Mapping[str, Path]:
        return self.networks.files

    @property
    def finish(self) -> FinishOptions:
        return FinishOptions(max_faces=8_000, texture_size=256, smooth_steps=2)

    @torch.no_grad()
    def decode(
        self,
        structures: PlacedStructures,
        generator_of: GeneratorOf,
        options: GenerateOptions = DEFAULT,
        *,
        progress: Progress = SILENT,
    ) -> list[RawObject | None]:
        """See `ObjectDecoder.decode`."""
        found: list[RawObject | None] = [None] * len(structures.coords)
        guesses = surfaces_of(structures)
        if not guesses:
            return found
        tokens = structures.tokens[0, list(guesses)].to(self.networks.device)
        surfaces = list(guesses.values())
        pictures = [structures.pictures[index] for index in guesses]
        shape = self._shape(surfaces, tokens, [generator_of(index, "shape") for index in guesses], options, progress)
        try:
            grids, pyramid = decode_shape(self.networks.shape_decoder, shape, VOXEL_RESOLUTION)
        except EmptyStructureError:  # of all objects: what is known without the networks is left
            made = [RawObject(s, picture_field(s.vertices, p)) for s, p in zip(surfaces, pictures, strict=True)]
        else:
            noise = [generator_of(index, "texture") for index in guesses]
            voxels = self._materials(shape, pyramid, tokens, noise, options, progress)
            made = [_finished(*parts) for parts in zip(surfaces, pictures, grids, voxels, strict=True)]
        for index, item in zip(guesses, made, strict=True):
            found[index] = item
        return found

    def _shape(
        self,
        surfaces: Sequence[Mesh],
        tokens: Float[Tensor, "W L C"],
        generators: Sequence[torch.Generator],
        options: GenerateOptions,
        progress: Progress,
    ) -> SparseTensor:
        """Shape latent of all objects."""
        networks = self.networks
        grids = [mesh_to_dual_grid(surface, VOXEL_RESOLUTION) for surface in surfaces]
        features = shape_features(
            packed_voxels([grid.coords for grid in grids], networks.device),
            torch.cat([grid.dual_vertices for grid in grids]).to(networks.device),
            torch.cat([grid.intersected for grid in grids]).to(networks.device),
        )
        statistics = networks.statistics["shape"]
        guess = normalized(networks.shape_encoder(features).mean, statistics)
        return sample_shape_latent(
            networks.shape_flow,
            tokens,
            guess.voxels,
            interpolate(guess.feats, _noise(guess.voxels, guess.feats.shape[1], generators), SHAPE_START),
            _sampler(SHAPE_SAMPLER, options),
            statistics,
            start_time=SHAPE_START,
            progress=progress.stage("shape"),
        )

    def _materials(
        self,
        shape: SparseTensor,
        pyramid: Pyramid,
        tokens: Float[Tensor, "W L C"],
        generators: Sequence[torch.Generator],
        options: GenerateOptions,
        progress: Progress,
    ) -> list[SparseVoxels]:
        """Materials of all objects."""
        networks = self.networks
        latent = sample_texture_latent(
            networks.texture_flow,
            tokens,
            shape,
            _noise(shape.voxels, networks.texture_flow.config.out_channels, generators),
            _sampler(TEXTURE_SAMPLER, options),
            networks.statistics["texture"],
            networks.statistics["shape"],
            progress=progress.stage("texture"),
        )
        return decode_materials(networks.texture_decoder, latent, pyramid, VOXEL_RESOLUTION)


def _finished(guess: Mesh, picture: Image.Image, grid: DualGrid, voxels: SparseVoxels) -> RawObject:
    """An object from its voxels' surface and what was decoded, which may be nothing."""
    if not len(voxels.coords):
        return RawObject(guess, picture_field(guess.vertices, picture))
    surface = drawn_onto(guess, grid)
    return RawObject(surface, with_picture(VoxelField(voxels), surface, picture))


def drawn_onto(guess: Mesh, grid: DualGrid) -> Mesh:
    """The closed surface of the voxels, moved onto the decoded one, which has holes wherever an edge was missed.

    Vertices move as their neighbours do on average, so that stray faces leave no dents.
    """
    try:
        decoded = object_surface(grid)
    except EmptyStructureError:
        return guess
    pull = TriangleTree(decoded).query(guess.vertices).points - guess.vertices
    reach = _REACH / grid.resolution
    # What is further away belongs to another part.
    pull = pull * (pull.norm(dim=1, keepdim=True) < reach)
    first, second = torch.from_numpy(edge_table(guess.faces).edges).T
    for _ in range(_ROUNDS):
        total = pull.index_add(0, first, pull[second]).index_add(0, second, pull[first])
        pull = total / (1 + torch.bincount(torch.cat([first, second]), minlength=len(pull)))[:, None]
    return replace(guess, vertices=guess.vertices + pull)


def _sampler(config: SamplerConfig, options: GenerateOptions) -> SamplerConfig:
    """Surfaces and materials are sampled without guidance."""
    return config.overridden(options.sampling.unguided)


def _noise(voxels: VoxelSet, channels: int, generators: Sequence[torch.Generator]) -> Float[Tensor, "M C"]:
    """Every object's from a generator of its own."""
    drawn = [
        latent_noise(count, channels, generator) for count, generator in zip(voxels.lengths, generators, strict=True)
    ]
    return torch.cat(drawn).to(voxels.coords.device)
