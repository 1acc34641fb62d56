"""The three sampling stages over all chunks of a scene, which agree on shared cells after every step.

Chunks start from one noise per cell of the scene. Networks see them in batches; the state, guidance statistics (per
chunk) and agreement span all of them.
Source: GenRecon, `genrecon/pipelines/{full_scene_images_to_3d,samplers/multi_diff_orchestrator}.py`.

Legend: K chunks, L tokens of a picture, D channels of the condition, R cells along a chunk side, T rows of all chunks,
C channels of the latent.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.nn.embed import grid_coords
from scenewright.nn.flow_context import FlowContext
from scenewright.progress import Advance, ignore
from scenewright.samplers.config import SamplerConfig
from scenewright.samplers.euler import euler
from scenewright.samplers.guidance import Velocity, dense_deviation, packed_deviation
from scenewright.samplers.multidiffusion import Overlap, interior_rows, synchronised
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.systems.genrecon.flow import (
    PROJECTION_BYTES,
    ProjectedFlow,
    ProjectedLatentFlow,
    ProjectedStructureFlow,
    scene_context,
    unconditional_context,
)
from scenewright.systems.genrecon.lattice import ChunkLattice

__all__ = [
    "BOUNDARY_WIDTH",
    "ChunkConditions",
    "latent_overlap",
    "sample_latents",
    "sample_structures",
    "stage_generator",
]

BOUNDARY_WIDTH = 1
"""Cells along the x and y faces of a chunk that have no say in what chunks agree on (shape and texture)."""


@dataclass(frozen=True)
class ChunkConditions:
    """Conditions of the chunks: the tokens of one picture each, and the aggregated condition of their voxels."""

    tokens: Float[Tensor, "K L D"]
    voxels: Sequence[Float[Tensor, "_ D"]]


def stage_generator(seed: int, stage: str) -> torch.Generator:
    """The noise of one stage, on the CPU whatever the device; it depends on nothing else, so that stages can resume."""
    digest = hashlib.sha256(f"{seed} {stage}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


@torch.no_grad()
def sample_structures(
    flow: ProjectedStructureFlow,
    conditions: ChunkConditions,
    lattice: ChunkLattice,
    config: SamplerConfig,
    generator: torch.Generator,
    *,
    chunks_at_once: int = 1,
    advance: Advance = ignore,
) -> Float[Tensor, "K C R R R"]:
    """Structure latents of all chunks; shared cells take the mean of their chunks.

    Args:
        conditions: rows of `voxels` are the cells of a chunk, x slowest.
    """
    device = conditions.tokens.device
    count, cells = len(lattice.offsets), grid_coords(lattice.resolution)
    noise = torch.randn(flow.config.in_channels, *lattice.size, generator=generator).movedim(0, -1)
    start = torch.stack([lattice.cut(noise, chunk).movedim(-1, 0) for chunk in range(count)]).to(device)
    overlap = Overlap.of_chunks([lattice.scene_cells(chunk, cells) for chunk in range(count)]).to(device)
    batches = _batches(count, chunks_at_once)
    contexts = _contexts(flow, conditions, batches)

    def velocity_given(contexts: Sequence[FlowContext]) -> Velocity:
        def velocity(x: Tensor, t: float, step: int) -> Tensor:
            parts = zip(batches, contexts, strict=True)
            return torch.cat([flow(x[batch], _times(t, x[batch]), context) for batch, context in parts])

        return velocity

    without = [unconditional_context(flow)] * len(batches)
    velocity = config.guided(velocity_given(contexts), velocity_given(without), dense_deviation)
    return _integrated(synchronised(velocity, overlap), start, config, advance)


def latent_overlap(
    lattice: ChunkLattice, chunk_cells: Sequence[Int[Tensor, "_ 3"]], boundary_width: int = BOUNDARY_WIDTH
) -> Overlap:
    """The overlap of occupied cells; cells near the sides of a chunk follow other chunks where there are any.

    Args:
        boundary_width: 0 lets all cells have their say.
    """
    cells = [lattice.scene_cells(chunk, rows) for chunk, rows in enumerate(chunk_cells)]
    if boundary_width == 0:
        return Overlap.of_chunks(cells)
    return Overlap.of_chunks(cells, [interior_rows(rows, lattice.resolution, boundary_width) for rows in chunk_cells])


@torch.no_grad()
def sample_latents(
    flow: ProjectedLatentFlow,
    conditions: ChunkConditions,
    chunk_cells: Sequence[Int[Tensor, "_ 3"]],
    overlap: Overlap,
    config: SamplerConfig,
    generator: torch.Generator,
    *,
    concat: Float[Tensor, "T Cconcat"] | None = None,
    chunks_at_once: int = 1,
    advance: Advance = ignore,
) -> Float[Tensor, "T C"]:
    """Normalised shape or texture latents on the rows of all chunks.

    Args:
        conditions: rows of `voxels` follow `chunk_cells`.
        concat: what a texture flow sees behind its own channels: the normalised shape latents.
    """
    device = conditions.tokens.device
    channels = flow.config.in_channels - (0 if concat is None else concat.shape[1])
    start = overlap.copied(torch.randn(len(overlap.cells), channels, generator=generator)).to(device)
    lengths = [len(rows) for rows in chunk_cells]
    ends = torch.tensor([0, *lengths]).cumsum(0).tolist()
    batches = _batches(len(chunk_cells), chunks_at_once)
    voxels = [_packed(chunk_cells[batch], device) for batch in batches]
    rows_of = [slice(ends[batch.start], ends[batch.stop]) for batch in batches]
    contexts = _contexts(flow, conditions, batches)

    def velocity_given(contexts: Sequence[FlowContext]) -> Velocity:
        def velocity(x: Tensor, t: float, step: int) -> Tensor:
            done = []
            for own, rows, context in zip(voxels, rows_of, contexts, strict=True):
                time = torch.full((own.batch_size,), 1000 * t, device=x.device)
                extra = None if concat is None else concat[rows]
                done.append(flow(SparseTensor(x[rows], own), time, context, extra).feats)
            return torch.cat(done)

        return velocity

    chunk_of_row = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(device)
    deviation = packed_deviation(chunk_of_row, len(lengths))
    without = [unconditional_context(flow)] * len(batches)
    velocity = config.guided(velocity_given(contexts), velocity_given(without), deviation)
    return _integrated(synchronised(velocity, overlap.to(device)), start, config, advance)


def _contexts(flow: ProjectedFlow, conditions: ChunkConditions, batches: Sequence[slice]) -> list[FlowContext]:
    """The condition of every batch; what is kept over the steps does not grow with their number."""
    share = PROJECTION_BYTES // max(len(batches), 1)
    return [
        scene_context(flow, conditions.tokens[batch], torch.cat(list(conditions.voxels[batch])), kept_bytes=share)
        for batch in batches
    ]


def _batches(count: int, size: int) -> list[slice]:
    return [slice(begin, min(begin + size, count)) for begin in range(0, count, size)]


def _packed(chunks: Sequence[Int[Tensor, "_ 3"]], device: torch.device) -> VoxelSet:
    rows = [torch.nn.functional.pad(cells.int(), (1, 0), value=index) for index, cells in enumerate(chunks)]
    return VoxelSet(torch.cat(rows).to(device), len(chunks))


def _times(t: float, x: Tensor) -> Float[Tensor, " B"]:
    return torch.full((len(x),), 1000 * t, device=x.device)


def _integrated(velocity: Velocity, start: Tensor, config: SamplerConfig, advance: Advance) -> Tensor:
    def report(step: int, t: float, x: Tensor, v: Tensor) -> None:
        advance(step + 1, config.steps)

    return euler(velocity, start, config.times, on_step=report)
