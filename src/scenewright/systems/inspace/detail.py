"""The detail stage: shape, then texture latents of all parts of a room, and their surfaces.

    parts, boxes, tokens -> room_reading -> sample_latent (shape, texture) -> decode_part (each)

Latents are normalised, as sampled. Every part is decoded in place, on the scene's 512 grid of the cube.
Source: naver/inspace eval/pipeline/eval_pipeline.py.

Legend: T tokens of all parts, K image tokens, C channels, A boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.backbones.trellis2.config import DOWNSAMPLING
from scenewright.backbones.trellis2.decoding import DecodedObject, decode_materials, decode_shape, object_surface
from scenewright.backbones.trellis2.sampling import denormalized
from scenewright.backbones.trellis2.shape_vae import ShapeDecoder
from scenewright.backbones.trellis2.texture_vae import TextureDecoder
from scenewright.errors import EmptyStructureError
from scenewright.nn.flow_context import FlowContext
from scenewright.progress import Advance, ignore
from scenewright.samplers.config import SamplerConfig
from scenewright.samplers.euler import euler
from scenewright.samplers.guidance import Velocity, packed_deviation
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.systems.inspace.asset_views import FaceTokens
from scenewright.systems.inspace.config import DETAIL_SAMPLER
from scenewright.systems.inspace.detail_flow import DetailFlow, part_ids
from scenewright.systems.inspace.image_keys import intended_keys, published_rows
from scenewright.systems.inspace.parts import LATENT_RESOLUTION, LayoutMode, RoomParts
from scenewright.systems.inspace.view_attention import Reading, key_set_readings, project_views
from scenewright.weights.record import LatentStatistics

__all__ = ["DetailSettings", "decode_part", "room_reading", "room_voxels", "sample_latent"]


@dataclass(frozen=True)
class DetailSettings:
    """Options of the detail stage; defaults are the published run's, but for the rows it mixes up.

    Attributes:
        texture_sampler: of the texture latents; None is as of the shape latents.
        start: flow time at which shape latents start where there is a guess at them (ours).
        cross_attention_rows: "published" repeats the published mix-up of rows (`image_keys.published_rows`).
    """

    sampler: SamplerConfig = DETAIL_SAMPLER
    texture_sampler: SamplerConfig | None = None
    start: float = 1.0
    layout_mode: LayoutMode = "floor_perimeter_clean"
    cross_attention_rows: Literal["intended", "published"] = "intended"


def room_reading(
    parts: RoomParts,
    boxes: Float[Tensor, "A 7"],
    camera: Float[Tensor, " 3"],
    tokens: FaceTokens,
    rows: Literal["intended", "published"] = "intended",
) -> list[Reading]:
    """The image tokens that each part reads; `boxes` are those of the asset parts, in their order."""
    keys = intended_keys(parts, boxes, camera, tokens)
    sets = published_rows(keys, parts, boxes) if rows == "published" else keys
    return key_set_readings([sets], tokens.per_face)


def room_voxels(parts: RoomParts) -> VoxelSet:
    """The tokens of one room as a batch of one; a cell comes once for every part that holds it."""
    return VoxelSet(torch.nn.functional.pad(parts.coords, (1, 0)), 1)


@torch.no_grad()
def sample_latent(
    flow: DetailFlow,
    parts: RoomParts,
    readings: Sequence[Reading],
    tokens: Float[Tensor, "K C"],
    noise: Float[Tensor, "T Cz"],
    config: SamplerConfig,
    *,
    shape: Float[Tensor, "T Cs"] | None = None,
    start_time: float = 1.0,
    advance: Advance = ignore,
) -> Float[Tensor, "T Cz"]:
    """Normalised latent of all tokens.

    Args:
        noise: one row per token: a cell in two parts has noise of its own in each; the state at `start_time`.
        shape: for a texture flow, the sampled (normalised) shape latent.
    """
    device = tokens.device
    voxels, ids = room_voxels(parts).to(device), part_ids([parts]).to(device)
    context = project_views(flow, tokens[None], readings)

    def velocity_given(context: FlowContext | None) -> Velocity:
        def velocity(x: Tensor, t: float, step: int) -> Tensor:
            time = torch.full((1,), 1000 * t, device=device)
            return flow.velocity_of_parts(SparseTensor(x, voxels), ids, time, context, shape).feats

        return velocity

    velocity = config.guided(velocity_given(context), velocity_given(None), packed_deviation(voxels.batch_index, 1))
    times = start_time * config.times
    return euler(velocity, noise.to(device), times, on_step=lambda step, *_: advance(step + 1, config.steps))


def decode_part(
    shape_decoder: ShapeDecoder,
    texture_decoder: TextureDecoder,
    coords: Tensor,
    shape: Float[Tensor, "T C"],
    texture: Float[Tensor, "T C2"],
    statistics: tuple[LatentStatistics, LatentStatistics],
) -> DecodedObject | None:
    """Surface and materials of one part in the cube, or None where the decoder finds no surface.

    Args:
        coords: cells of the part.
        shape, texture: its normalised latents.
        statistics: of shape and texture latents.
    """
    resolution = LATENT_RESOLUTION * DOWNSAMPLING
    voxels = VoxelSet(torch.nn.functional.pad(coords, (1, 0)), 1).to(shape.device)
    try:
        latent = denormalized(SparseTensor(shape, voxels), statistics[0])
        grids, pyramid = decode_shape(shape_decoder, latent, resolution)
        surface = object_surface(grids[0])
    except EmptyStructureError:
        return None
    latent = denormalized(SparseTensor(texture, voxels), statistics[1])
    return DecodedObject(surface, decode_materials(texture_decoder, latent, pyramid, resolution)[0])
