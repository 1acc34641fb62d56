"""The coarse stage: image tokens of six faces to the occupancy of a room, optionally from partial geometry.

    faces -> tokens -> sample_coarse -> latent -> coarse_occupancy -> cells of the 64^3 grid

Source: naver/inspace eval/pipeline/eval_pipeline.py.

Legend: T tokens per face, C channels, R latent resolution, N cells.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from scenewright.backbones.structure_vae import StructureDecoder, StructureEncoder, occupied_coords
from scenewright.backbones.trellis2.structure_flow import StructureFlow
from scenewright.encoders.dinov3 import Dinov3
from scenewright.errors import EmptyStructureError
from scenewright.nn.flow_context import FlowContext
from scenewright.progress import Advance, ignore
from scenewright.samplers.config import SamplerConfig
from scenewright.samplers.euler import euler
from scenewright.samplers.guidance import Velocity, dense_deviation
from scenewright.systems.inspace.config import COARSE_SAMPLER
from scenewright.systems.inspace.inversion import Inversion, inversion_start, inversion_times
from scenewright.systems.inspace.partial_geometry import COARSE_RESOLUTION
from scenewright.systems.inspace.view_attention import face_readings, project_views
from scenewright.systems.inspace.view_bias import PUBLISHED_CAMERA_SCALE, voxel_view_bias

__all__ = ["CoarseSettings", "coarse_occupancy", "encode_faces", "encode_partial_geometry", "sample_coarse"]


@dataclass(frozen=True)
class CoarseSettings:
    """Options of the coarse stage; defaults are the published run's.

    Attributes:
        camera_scale: 1 is what published weights were trained with, 2 the geometrically right view bias.
        inversion: how partial geometry enters; without any, sampling starts from noise.
        alpha: share of noise in the start (`inversion_start`).
    """

    sampler: SamplerConfig = COARSE_SAMPLER
    camera_scale: float = PUBLISHED_CAMERA_SCALE
    inversion: Inversion = "published_batch"
    alpha: float = 0.5


@torch.no_grad()
def encode_faces(encoder: Dinov3, faces: UInt8[Tensor, "F size size 3"]) -> Float[Tensor, "F T C"]:
    """Image tokens of the cube faces, or of other pictures.

    The random face embedding of the published code is noise and left out.
    """
    pixels = faces.to(next(encoder.parameters()).device).movedim(-1, 1).float() / 255
    return torch.cat([encoder(face[None]) for face in pixels])


@torch.no_grad()
def encode_partial_geometry(
    encoder: StructureEncoder, voxels: Int[Tensor, "N 3"], resolution: int = COARSE_RESOLUTION
) -> Float[Tensor, "1 C R R R"]:
    """Structure latent (posterior mean) of occupied cells."""
    device = next(encoder.parameters()).device
    occupancy = torch.zeros(1, 1, *[resolution] * 3, device=device)
    occupancy[(0, 0, *voxels.long().to(device).T)] = 1
    return encoder(occupancy)[0]


@torch.no_grad()
def sample_coarse(
    flow: StructureFlow,
    tokens: Float[Tensor, "6 T C"],
    camera: Float[Tensor, " 3"],
    noise: Float[Tensor, "1 Cz R R R"],
    settings: CoarseSettings,
    *,
    partial: Float[Tensor, "1 Cz R R R"] | None = None,
    advance: Advance = ignore,
) -> Float[Tensor, "1 Cz R R R"]:
    """Structure latent of the room.

    Args:
        camera: position of the panorama in the cube.
        noise: taken to the device of `tokens`.
        partial: latent of partial geometry (`encode_partial_geometry`); None starts from noise.
    """
    device, config = tokens.device, settings.sampler
    bias = voxel_view_bias(camera[None].to(device), flow.config.resolution, camera_scale=settings.camera_scale)
    context = project_views(flow, tokens.flatten(0, 1)[None], face_readings(bias, tokens.shape[1]))
    noise = noise.to(device)
    if partial is None:
        start, times = noise, config.times
    else:
        start = inversion_start(partial.to(device), noise, settings.alpha, config.sigma_min)
        times = inversion_times(settings.inversion, settings.alpha, config.steps, config.rescale_t)
        config = _guided_from(config, settings)

    def velocity_given(context: FlowContext | None) -> Velocity:
        return lambda x, t, step: flow(x, torch.full((1,), 1000 * t, device=device), context)

    velocity = config.guided(velocity_given(context), velocity_given(None), dense_deviation)
    return euler(velocity, start, times, on_step=lambda step, *_: advance(step + 1, len(times) - 1))


def _guided_from(config: SamplerConfig, settings: CoarseSettings) -> SamplerConfig:
    """Guidance of an inverted run. `exact` starts at t = alpha, often below the published interval, so that the
    interval's lower end scales with it (ours); the published forms keep theirs."""
    if settings.inversion == "training_snapshot":
        return replace(config, guidance_strength=2.0, guidance_interval=(0.0, 1.0), guidance_rescale=0.0)
    if settings.inversion == "exact":
        low, high = config.guidance_interval
        return replace(config, guidance_interval=(settings.alpha * low, high))
    return config


@torch.no_grad()
def coarse_occupancy(decoder: StructureDecoder, latent: Float[Tensor, "1 C R R R"]) -> Int[Tensor, "N 3"]:
    """Occupied cells of the coarse grid, lexicographic.

    Raises:
        EmptyStructureError: there is none.
    """
    coords = occupied_coords(decoder(latent), COARSE_RESOLUTION)[:, 1:]
    if not len(coords):
        raise EmptyStructureError("The coarse stage left no occupied cell, so there is no room; try another seed.")
    return coords
