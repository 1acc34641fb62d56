"""Surface and materials by the preset's shape and texture networks, TRELLIS.2's classes on a grid of 64.

Both flows start from a guess instead of pure noise, since small networks invent little: the shape latent from that of
the voxels' smoothed surface, the texture latent from that of the picture's colours laid on from the front (both as
`decoder.py` makes them). The flow brings in what the networks know: flat sides, thin plates, colours of the back.

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

from scenewright.backbones.trellis2.config import IntervalSamplerConfig
from scenewright.backbones.trellis2.decoding import decode_materials, decode_shape, object_surface
from scenewright.backbones.trellis2.sampling import (
    latent_noise,
    normalized,
    sample_shape_latent,
    sample_texture_latent,
)
from scenewright.backbones.trellis2.shape_vae import shape_features
from scenewright.backbones.trellis2.sparse_unet import Pyramid
from scenewright.backbones.trellis2.texture_vae import texture_features
from scenewright.errors import EmptyStructureError
from scenewright.geometry.dual_grid import mesh_to_dual_grid
from scenewright.geometry.finish import FinishOptions
from scenewright.geometry.surface_color import AttributeField, voxel_field
from scenewright.presets.mini.decoder import picture_field, surface_of_voxels
from scenewright.presets.mini.networks import LatentNetworks
from scenewright.presets.mini.sizes import (
    SHAPE_SAMPLER,
    SHAPE_START,
    TEXTURE_SAMPLER,
    TEXTURE_START,
    VOXEL_RESOLUTION,
)
from scenewright.samplers.flow import interpolate
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.systems.scene.decoding import AS_PUBLISHED, GeneratorOf, LatentOptions, RawObject, packed_voxels
from scenewright.systems.scene.structures import PlacedStructures, StageProgress
from scenewright.types import Mesh

__all__ = ["LatentDecoder"]


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
        return FinishOptions(max_faces=8_000, texture_size=256)

    @torch.no_grad()
    def decode(
        self,
        structures: PlacedStructures,
        generator_of: GeneratorOf,
        options: LatentOptions = AS_PUBLISHED,
        *,
        progress: StageProgress | None = None,
    ) -> list[RawObject | None]:
        """See `ObjectDecoder.decode`."""
        report = progress or (lambda stage, done: None)
        found: list[RawObject | None] = [None] * len(structures.coords)
        guesses = {
            index: surface
            for index, coords in enumerate(structures.coords)
            if (surface := surface_of_voxels(coords, structures.resolution)) is not None
        }
        if not guesses:
            return found
        assert structures.tokens is not None, "a mini structure stage gives the tokens of its pictures"
        tokens = structures.tokens[0, list(guesses)].to(self.networks.device)
        report("shape", 0.0)
        surfaces = list(guesses.values())
        shape = self._shape(surfaces, tokens, [generator_of(index, "shape") for index in guesses], options)
        grids, pyramid = decode_shape(self.networks.shape_decoder, shape, VOXEL_RESOLUTION)
        report("texture", 0.0)
        fields = self._fields(
            shape,
            pyramid,
            tokens,
            [structures.pictures[index] for index in guesses],
            surfaces,
            [generator_of(index, "texture") for index in guesses],
            options,
        )
        for index, grid, field in zip(guesses, grids, fields, strict=True):
            try:
                found[index] = RawObject(object_surface(grid), field)
            except EmptyStructureError:
                continue
        report("decode", 1.0)
        return found

    def _shape(
        self,
        surfaces: Sequence[Mesh],
        tokens: Float[Tensor, "W L C"],
        generators: Sequence[torch.Generator],
        options: LatentOptions,
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
            _begun(guess, SHAPE_START, generators),
            _sampler(SHAPE_SAMPLER, options),
            statistics,
            start_time=SHAPE_START,
        )

    def _fields(
        self,
        shape: SparseTensor,
        pyramid: Pyramid,
        tokens: Float[Tensor, "W L C"],
        pictures: Sequence[Image.Image],
        surfaces: Sequence[Mesh],
        generators: Sequence[torch.Generator],
        options: LatentOptions,
    ) -> list[AttributeField]:
        """Materials of all objects."""
        networks, voxels = self.networks, pyramid[-1].fine
        places = ((voxels.coords[:, 1:].float() + 0.5) / VOXEL_RESOLUTION - 0.5).split(list(voxels.lengths))
        painted = [
            picture_field(surface.vertices, picture).sample(points)
            for surface, picture, points in zip(surfaces, pictures, places, strict=True)
        ]
        color = torch.cat(painted)
        materials = torch.cat([color, torch.ones_like(color[:, :1])], 1)
        statistics = networks.statistics["texture"]
        coarse = normalized(networks.texture_encoder(texture_features(voxels, materials)).mean, statistics)
        guess = shape.replace(_on_tokens(coarse, shape.voxels))
        latent = sample_texture_latent(
            networks.texture_flow,
            tokens,
            shape,
            _begun(guess, TEXTURE_START, generators),
            _sampler(TEXTURE_SAMPLER, options),
            statistics,
            networks.statistics["shape"],
            start_time=TEXTURE_START,
        )
        decoded = decode_materials(networks.texture_decoder, latent, pyramid, VOXEL_RESOLUTION)
        return [voxel_field(item) for item in decoded]


def _sampler(config: IntervalSamplerConfig, options: LatentOptions) -> IntervalSamplerConfig:
    return config if options.steps is None else replace(config, steps=options.steps)


def _begun(guess: SparseTensor, time: float, generators: Sequence[torch.Generator]) -> Float[Tensor, "M C"]:
    """The flow's state at `time` on its way from a guess; every object has a generator of its own."""
    channels = guess.feats.shape[1]
    noise = [
        latent_noise(count, channels, generator)
        for count, generator in zip(guess.voxels.lengths, generators, strict=True)
    ]
    return interpolate(guess.feats, torch.cat(noise).to(guess.feats), time)


def _on_tokens(latent: SparseTensor, tokens: VoxelSet) -> Float[Tensor, "M C"]:
    """The latent's rows for these tokens; zeros, the mean of all, for tokens without a voxel."""
    found = latent.feats.new_zeros(len(tokens), latent.feats.shape[1])
    rows, sources = latent.voxels.table.find(tokens.keys)
    return found.index_copy(0, rows, latent.feats[sources])
