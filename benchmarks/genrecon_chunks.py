"""Time and memory of GenRecon over the number of chunks, with random weights of small size.

    uv run python -m benchmarks genrecon_chunks [--chunks 1 4 9 16] [--steps 12]

Every number of chunks runs in a process of its own. Printed are processor seconds of making the raw surface (encoding,
three sampling stages, decoding) and of assembling it (cleaning, simplifying, unwrapping, baking), and the peak of
resident memory above what the process held before. The structure is fixed, floor and ceiling of every chunk, so that
all chunks have the same work; everything else is what the networks make of noise.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.measure import Report, in_new_process
from scenewright.backbones.trellis2.config import FlowConfig, SparseUNetConfig
from scenewright.backbones.trellis2.shape_vae import ShapeDecoder
from scenewright.backbones.trellis2.texture_vae import TextureDecoder
from scenewright.geometry.camera.cameras import look_at
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.machine import memory_in_use, peak_memory_bytes
from scenewright.systems.genrecon.captures import Capture, PosedPicture
from scenewright.systems.genrecon.flow import ProjectedLatentFlow, ProjectedStructureFlow
from scenewright.systems.genrecon.pipeline import AS_PUBLISHED, KeptStages, reconstruct
from scenewright.systems.genrecon.scene_assembly import scene_objects
from scenewright.systems.genrecon.scene_plan import PlanOptions, ScenePlan, plan_scene
from scenewright.systems.genrecon.tiling import Chunks
from scenewright.types import Camera
from scenewright.weights.record import LatentStatistics

CELLS, CHANNELS, WIDTH, PATCHES = 16, 8, 192, 16
SIDE_M, OVERLAP = 2.7, 0.75
FLOW = FlowConfig(
    resolution=CELLS // 2,
    in_channels=CHANNELS,
    model_channels=WIDTH,
    cond_channels=96,
    out_channels=CHANNELS,
    num_blocks=6,
    num_heads=6,
    mlp_ratio=4.0,
    pe_mode="rope",
    share_mod=True,
    initialization="scaled",
    qk_rms_norm=True,
    qk_rms_norm_cross=True,
)
LATENT = replace(FLOW, resolution=CELLS)
UNET = SparseUNetConfig(
    model_channels=(64, 32, 16),
    latent_channels=CHANNELS,
    num_blocks=(2, 1, 0),
    io_channels=7,
    resample=("channel", "channel"),
    mlp_ratios=(2.0, 2.0, 2.0),
)


class Encoder(nn.Module):
    """Patch means behind five constant tokens, repeated to the width of the condition."""

    def forward(self, images: Tensor) -> Tensor:
        patches = nn.functional.adaptive_avg_pool2d(images, PATCHES).flatten(2).transpose(1, 2)
        tokens = torch.cat([patches.new_full((len(images), 5, 3), 0.5), patches], 1)
        return tokens.repeat(1, 1, FLOW.cond_channels // 3)


class FloorAndCeiling(nn.Module):
    """Logits above 0 in the two lowest and the two highest layers of cells."""

    def forward(self, canvas: Tensor) -> Tensor:
        logits = nn.functional.interpolate(canvas[:, :1] * 0 - 1, scale_factor=2)
        logits[..., :2] = logits[..., -2:] = 1
        return logits


class Networks:
    """Random networks for `reconstruct`."""

    latent_resolution = CELLS
    device = torch.device("cpu")
    shape_statistics = texture_statistics = LatentStatistics((0.0,) * CHANNELS, (1.0,) * CHANNELS)

    def encoder(self) -> nn.Module:
        return Encoder()

    def structure_flow(self) -> ProjectedStructureFlow:
        return random_weights(ProjectedStructureFlow(FLOW), 1)

    def structure_decoder(self) -> nn.Module:
        return FloorAndCeiling()

    def shape_flow(self) -> ProjectedLatentFlow:
        return random_weights(ProjectedLatentFlow(LATENT), 2)

    def texture_flow(self) -> ProjectedLatentFlow:
        return random_weights(ProjectedLatentFlow(replace(LATENT, in_channels=2 * CHANNELS)), 3)

    def shape_decoder(self) -> ShapeDecoder:
        return random_weights(ShapeDecoder(UNET), 4)

    def texture_decoder(self) -> TextureDecoder:
        return random_weights(TextureDecoder(replace(UNET, io_channels=6, predicts_subdivision=False)), 5)

    def weights_sha256(self) -> dict[str, str]:
        return {}


def random_weights(network: Any, seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network.eval().requires_grad_(False)


def square_of_chunks(count: int, options: PlanOptions) -> tuple[Capture, ScenePlan]:
    """A flat place of `count` chunks, seen by sixteen pictures."""
    rows = math.isqrt(count)
    assert rows * rows == count
    length = SIDE_M * (1 + (rows - 1) * OVERLAP) - 0.5
    rng = np.random.default_rng(0)
    points = rng.uniform(size=(2000 * count, 3)) * [length, length, SIDE_M]
    intrinsics = torch.tensor([[100.0, 0, 64], [0, 100.0, 64], [0, 0, 1]]).double()
    pictures = []
    for index in range(16):
        angle = torch.tensor(2 * math.pi * index / 16)
        direction = torch.stack([angle.cos(), angle.sin(), torch.tensor(0.0)])
        eye = torch.tensor([length / 2, length / 2, 1.5]) - 0.4 * length * direction
        camera = Camera(intrinsics, look_at(eye.double(), (eye + direction).double()), 128, 128)
        image = Image.fromarray(rng.integers(0, 255, (128, 128, 3), dtype=np.uint8))
        pictures.append(PosedPicture(f"{index}", Path(f"{index}"), camera, intrinsics.numpy(), image=image))
    ones = np.ones(len(points))
    capture = Capture(tuple(pictures), points, ones, 5 * ones.astype(int), "own", world_from_capture=np.eye(4))
    plan = plan_scene(capture, options)
    centres = torch.tensor([
        [SIDE_M * OVERLAP * x, SIDE_M * OVERLAP * y, SIDE_M / 2] for y in range(rows) for x in range(rows)
    ])  # fmt: skip
    chunks = Chunks(centres.double(), SIDE_M)
    return capture, replace(plan, chunks=chunks, chunk_views=tuple(k % len(plan.views) for k in range(count)))


def measure(count: int, steps: int, *, warms_up: bool = True) -> dict[str, float]:
    """One number of chunks, in this process."""
    torch.set_num_threads(1)
    if warms_up:
        measure(1, 1, warms_up=False)  # compiles what is compiled
    options = AS_PUBLISHED
    options = replace(
        options,
        structure_sampler=replace(options.structure_sampler, steps=steps),
        shape_sampler=replace(options.shape_sampler, steps=steps),
        texture_sampler=replace(options.texture_sampler, steps=steps),
        plan=PlanOptions(min_points_per_chunk=1, lattice_cells=CELLS // 2),
        image_size=128,
        max_cells=4000,
        margin_cells=4,
        finish=FinishOptions(max_faces=4000, texture_size=512, orient=True, unwrap_method="boxes"),
    )
    capture, plan = square_of_chunks(count, options.plan)
    before = memory_in_use("cpu")
    with TemporaryDirectory() as folder:
        surface, generation_s = timed(lambda: reconstruct(capture, plan, Networks(), options, keep_in=Path(folder)))
        middle = peak_memory_bytes()
        stages = KeptStages(Path(folder), "benchmark")
        _, assembly_s = timed(lambda: scene_objects(surface, plan, finish=options.finish, stages=stages))
    return {
        "generation_s": generation_s,
        "assembly_s": assembly_s,
        "generation_mib": (middle - before) / 2**20,
        "assembly_mib": (peak_memory_bytes() - before) / 2**20,
        "faces": len(surface.mesh.faces),
    }


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.process_time()
    return work(), time.process_time() - begin


QUICK = {"chunks": (1,), "steps": 1}


def section(report: Report, *, chunks: tuple[int, ...] = (1, 4, 9, 16), steps: int = 12) -> None:
    """Prints a row for each number of chunks; `steps` are those of each of the three sampling stages."""
    report.table(
        "chunks", "generation CPU s", "per chunk", "assembly CPU s", "MiB, generation", "MiB, with assembly", "faces"
    )
    each: list[float] = []
    for count in chunks:
        found = in_new_process(measure, count, steps)
        each.append(found["generation_s"] / count)
        times = f"{found['generation_s']:.1f}", f"{each[-1]:.2f}", f"{found['assembly_s']:.1f}"
        report.row(count, *times, *(f"{found[key]:.0f}" for key in ("generation_mib", "assembly_mib", "faces")))
        report.ratio(f"{count} chunks: assembly / generation", found["assembly_s"] / found["generation_s"])
    if len(each) > 2:
        report.ratio(f"a chunk of {chunks[-1]} / a chunk of {chunks[1]}", each[-1] / each[1])
