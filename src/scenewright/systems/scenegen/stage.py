"""SceneGen's structure stage: one picture with masks, or several of the same objects, to voxels and poses.

    views -> encode_views -> sample_scene_structures -> structure decoder -> voxels, world_from_objects

The assets are sampled together. The largest is the query, in whose z-up frame all others are placed: the world.
Source: Mengmouxu/SceneGen scenegen/pipelines/scenegen_image_to_scene.py.

Legend: N objects of the picture, K views, R latent resolution.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.backbones.structure_vae import StructureDecoder, occupied_coords
from scenewright.errors import ScenewrightError
from scenewright.machine import memory_in_use
from scenewright.progress import SILENT, Progress
from scenewright.systems.assembly.structures import PlacedStructures, SceneRequest
from scenewright.systems.scenegen.encoding import GeometryMode, encode_views
from scenewright.systems.scenegen.memory import keeps_keys
from scenewright.systems.scenegen.poses import MIN_SCALE, world_from_objects
from scenewright.systems.scenegen.pretrained import SceneGenNetworks
from scenewright.systems.scenegen.sampling import SceneStructures, sample_scene_structures
from scenewright.types import ObjectMasks
from scenewright.weights.source import WeightsSource

__all__ = ["SceneGenStage", "decoded_coords", "largest_first", "scene_noise"]

logger = logging.getLogger(__name__)

# Scenes in training were cut to this many assets.
MAX_TRAINED_ASSETS = 7


class SceneGenStage:
    """The `StructureStage` of SceneGen."""

    name = "scenegen"
    max_views: int | None = None

    def __init__(self, networks: SceneGenNetworks, *, geometry_mode: GeometryMode = "per_view") -> None:
        self.networks = networks
        self.geometry_mode = geometry_mode
        self.source = networks.source
        self.decoder_source = networks.source
        self.weights: Mapping[str, Path] = dict(networks.files)

    @property
    def device(self) -> torch.device:
        return self.networks.device

    @classmethod
    def from_pretrained(
        cls,
        source: WeightsSource,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> "SceneGenStage":
        """The stage with networks of the published layout; see `SceneGenNetworks`."""
        return cls(SceneGenNetworks.from_pretrained(source, device=device, dtype=dtype))

    def sample_structures(self, request: SceneRequest, *, progress: Progress = SILENT) -> PlacedStructures:
        """Voxels and placement of the wanted objects; all objects are sampled, together.

        With several views, the steps take them in turn; at the last step, velocities and poses of all are averaged.

        Raises:
            InputError: an object cannot be cut out.
            OutOfMemoryBudgetError: the scene does not fit the ceiling.
        """
        networks = self.networks
        flow, decoder, encoders = networks.structure_flow, networks.structure_decoder, networks.encoders
        order = largest_first(request.objects)
        views = [view.at(order) for view in request.views]
        encoded = encode_views(
            views,
            encoders.to(self.device),
            geometry_mode=self.geometry_mode,
            advance=progress.stage("encode"),
        )
        conditions, budget = encoded.conditions, request.options.max_memory_bytes
        if budget is not None and self.device.type != "cpu":
            encoders.to("cpu")  # not needed while sampling
        sampled = sample_scene_structures(
            flow,
            conditions,
            scene_noise(networks, [request.generator(index, "structure") for index in order]).to(self.device),
            networks.structure_sampler.overridden(request.options.sampling),
            keep_keys=keeps_keys(flow, conditions, budget, memory_in_use(self.device)),
            progress=progress.stage("structure"),
        )
        _check_finite(sampled)

        wanted = [order.index(index) for index in request.wanted_indices]
        coords, resolution = decoded_coords(decoder, sampled.latents[wanted])
        return PlacedStructures(
            coords=tuple(rows.cpu() for rows in coords),
            resolution=resolution,
            world_from_object=world_from_objects(sampled.poses)[wanted].cpu(),
            tokens=encoded.asset_tokens[:, wanted],
            pictures=tuple(encoded.pictures[row] for row in wanted),
            notes=tuple(_notes([request.names[index] for index in order], sampled.poses, wanted)),
        )


def largest_first(objects: ObjectMasks) -> list[int]:
    """Indices by area, largest first; the first is the query. Of equal areas the later comes first, as published."""
    areas = torch.tensor([mask.area for mask in objects.regions])
    return areas.argsort(stable=True).flip(0).tolist()


def scene_noise(networks: SceneGenNetworks, generators: Sequence[torch.Generator]) -> Float[Tensor, "N C R R R"]:
    """Where the latents start, drawn for each asset by its own generator, on the generators' device."""
    config = networks.structure_flow.config
    shape = (config.in_channels, *[config.resolution] * 3)
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators])


@torch.no_grad()
def decoded_coords(
    decoder: StructureDecoder, latents: Float[Tensor, "N C R R R"]
) -> tuple[list[Int[Tensor, "_ 3"]], int]:
    """Occupied voxels (x, y, z) of every asset, decoded one at a time, and the resolution of their grid.

    An asset may have none; it keeps its place in the list.
    """
    coords, resolution = [], 0
    for latent in latents:
        logits = decoder(latent[None])
        resolution = logits.shape[-1]
        coords.append(occupied_coords(logits)[:, 1:])
    return coords, resolution


def _check_finite(sampled: SceneStructures) -> None:
    if not (bool(sampled.latents.isfinite().all()) and bool(sampled.poses.isfinite().all())):
        raise ScenewrightError(
            "The structure flow gave numbers beyond its precision; VGGT's tokens are large. "
            "Run it in bfloat16 or float32 instead of float16."
        )


def _notes(names: Sequence[str], poses: Float[Tensor, "N 8"], wanted: Sequence[int]) -> list[str]:
    notes = []
    if len(names) > MAX_TRAINED_ASSETS:
        notes.append(
            f"SceneGen was trained with at most {MAX_TRAINED_ASSETS} objects; "
            f"with {len(names)} their places may be off."
        )
    notes += [f"Object '{names[row]}' came out without size." for row in wanted if poses[row, 7] < MIN_SCALE]
    for note in notes:
        logger.warning("%s", note)
    return notes
