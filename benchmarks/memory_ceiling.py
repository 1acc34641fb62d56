"""What a process really holds at its peak against the ceiling of `--max-memory`, stage by stage, with random weights.

    python -m benchmarks memory_ceiling [--objects 12] [--voxels 2000] [--width 128] [--stages iscene scenegen latent]

Each stage runs without a ceiling first, then with ceilings that leave room for fewer and fewer objects at once; for
latents, which leave room for decoding one object, and for less, which is refused. Peak: VmHWM of this process from
/proc, reset before each run; on the CPU that is what the ceiling is about. A run keeps its promise if peak / ceiling is
at most 1.

The stages:

    iscene      structures of all objects: encoding, sampling, decoding to voxels
    scenegen    the same with poses
    latent      TRELLIS v1's latents and decoders, from shells of random voxels to raw objects
    decoding    no ceiling: bytes for each voxel of the four times finer grid, by which the ceiling judges decoding
"""

import ctypes
import gc
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from benchmarks.measure import Report
from scenewright.backbones.structure_vae import StructureDecoder, StructureVAEConfig
from scenewright.backbones.trellis1.config import GaussianConfig, SLatFlowConfig, SLatTrunkConfig, StructureFlowConfig
from scenewright.backbones.trellis1.slat_decoders import SLatGaussianDecoder, SLatMeshDecoder
from scenewright.backbones.trellis1.slat_flow import SLatFlow
from scenewright.encoders.dinov2 import Dinov2, Dinov2Config
from scenewright.errors import OutOfMemoryBudgetError
from scenewright.geometry.isosurface.mesh_extraction import extract_mesh
from scenewright.machine import memory_in_use
from scenewright.samplers.config import SamplerConfig, SamplingOverride
from scenewright.sparse.tensor import SparseTensor, packed_voxels
from scenewright.systems.assembly.memory import readable_bytes
from scenewright.systems.assembly.structures import PlacedStructures, SceneRequest
from scenewright.systems.assembly.trellis1_decoder import Trellis1Decoder
from scenewright.systems.iscene.config import SceneContextConfig
from scenewright.systems.iscene.memory import object_bytes
from scenewright.systems.iscene.stage import ISceneStage
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.systems.options import GenerateOptions
from scenewright.systems.scenegen.config import SceneFlowConfig
from scenewright.systems.scenegen.encoding import SceneEncoders
from scenewright.systems.scenegen.pretrained import SceneGenNetworks
from scenewright.systems.scenegen.stage import SceneGenStage
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow
from scenewright.types import ObjectMasks, View
from scenewright.weights.record import LatentStatistics

SAMPLER = SamplerConfig(steps=1, guidance_strength=3.0)
Run = Callable[[int | None], object]


@dataclass(frozen=True)
class Sizes:
    """What is generated: objects, voxels of each, width of the networks, side of the structure latent."""

    objects: int
    voxels: int
    width: int
    latent: int


def random_network(network: nn.Module) -> nn.Module:
    """The network with small random weights, none of them zero."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        scale = max(parameter[0].numel(), 1) ** -0.5 if parameter.ndim > 1 else 0.1
        parameter.data.normal_(0, scale, generator=generator)
    return network.eval().requires_grad_(False)


def peak_of(action: Callable[[], object]) -> tuple[int, int, float]:
    """Resident bytes before, the largest during, and seconds."""
    settle_memory()
    Path("/proc/self/clear_refs").write_text("5")
    before, begin = memory_in_use("cpu"), time.perf_counter()
    action()
    seconds = time.perf_counter() - begin
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    return before, peak, seconds


def settle_memory() -> None:
    """Gives back what the allocator keeps from earlier runs, which is no part of the next one."""
    gc.collect()
    if hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)


def measure(report: Report, stage: str, run: Run, rooms: dict[str, int | None]) -> None:
    """A row for each ceiling: `rooms` is what it leaves beyond what is in use before; None is no ceiling."""
    run(None)  # what is made once and kept is in use before, too
    for label, room in rooms.items():
        settle_memory()
        ceiling = None if room is None else memory_in_use("cpu") + room
        try:
            before, peak, seconds = peak_of(lambda ceiling=ceiling: run(ceiling))
        except OutOfMemoryBudgetError as error:
            report.row(stage, label, readable_bytes(ceiling or 0), f"refused: {error}", "", "", "")
            continue
        share = float("nan") if ceiling is None else peak / ceiling
        sizes = ("none" if ceiling is None else f"{ceiling / 1e6:.0f} MB", f"{before / 1e6:.0f} MB")
        report.row(
            stage, label, *sizes, f"{peak / 1e6:.0f} MB", "" if math.isnan(share) else f"{share:.2f}", f"{seconds:.1f}"
        )
        report.ratio(f"{stage}, room for {label}: peak / ceiling", share)


def picture_request(count: int) -> SceneRequest:
    """A picture of grey with `count` bars."""
    masks = torch.zeros(count, 96, 16 * count, dtype=torch.bool)
    for index, mask in enumerate(masks):
        mask[8:90, 16 * index + 2 : 16 * index + 14] = True
    image = Image.new("RGB", (16 * count, 96), (120, 120, 120))
    return SceneRequest((View(image, ObjectMasks(masks)),))


def bounded(ceiling: int | None) -> GenerateOptions:
    return GenerateOptions(SamplingOverride(steps=1), max_memory_bytes=ceiling)


def encoder(width: int) -> Dinov2:
    return random_network(Dinov2(Dinov2Config(image_size=224, width=width, depth=2, num_heads=4)))  # type: ignore[return-value]


def structure_decoder() -> StructureDecoder:
    return random_network(StructureDecoder(StructureVAEConfig(channels=(8, 16, 32))))  # type: ignore[return-value]


def iscene(given: Sizes) -> tuple[Run, dict[str, int | None]]:
    width = given.width
    sizes = StructureFlowConfig(
        resolution=given.latent, model_channels=width, cond_channels=width, num_blocks=2, num_heads=4
    )
    flow = random_network(SceneContextFlow(SceneContextConfig(sizes, 1)))
    stage = ISceneStage(
        flow=flow,  # type: ignore[arg-type]
        structure_decoder=structure_decoder(),
        image_encoder=encoder(width),
        image_size=224,
        sampler=SAMPLER,
        source="",
        decoder_source="",
        device=torch.device("cpu"),
        weights={},
    )
    request = picture_request(given.objects)
    each = object_bytes(flow, 261)  # type: ignore[arg-type]
    rooms = {f"{part} objects at once": int((part + 1.5) * each) for part in (8, 4, 1)}
    return lambda ceiling: stage.sample_structures(replace(request, options=bounded(ceiling))), {"all": None, **rooms}


def scenegen(given: Sizes) -> tuple[Run, dict[str, int | None]]:
    width = given.width
    config = SceneFlowConfig(
        resolution=given.latent,
        model_channels=width,
        cond_channels=width,
        num_blocks=2,
        num_heads=4,
        local_context_tokens=261,
    )
    networks = SceneGenNetworks(
        structure_flow=random_network(SceneStructureFlow(config)),  # type: ignore[arg-type]
        structure_decoder=structure_decoder(),
        encoders=SceneEncoders(encoder(width), 224),
        structure_sampler=SAMPLER,
        source="",
        files={},
    )
    stage, request = SceneGenStage(networks), picture_request(given.objects)
    rooms: dict[str, int | None] = {"all": None}
    return lambda ceiling: stage.sample_structures(replace(request, options=bounded(ceiling))), rooms


def shells(count: int, voxels: int, width: int) -> PlacedStructures:
    """`count` spherical shells of about `voxels` voxels on a grid of 64, with random condition tokens."""
    radius = min(30.0, (voxels / (4 * torch.pi * 1.5)) ** 0.5)
    grid = torch.stack(torch.meshgrid(*[torch.arange(64.0) - 31.5] * 3, indexing="ij"), -1)
    thickness = voxels / (4 * torch.pi * radius**2)
    coords = ((grid.norm(dim=-1) - radius).abs() < thickness / 2).nonzero().int()
    return PlacedStructures(
        coords=(coords,) * count,
        resolution=64,
        world_from_object=torch.eye(4).repeat(count, 1, 1),
        tokens=torch.randn(1, count, 261, width),
        pictures=(Image.new("RGB", (64, 64)),) * count,
    )


def latent(given: Sizes) -> tuple[Run, dict[str, int | None]]:
    width = given.width
    trunk = SLatTrunkConfig(model_channels=width, num_blocks=2, num_heads=4)
    flow = SLatFlowConfig(
        model_channels=width, cond_channels=width, num_blocks=2, num_heads=4, io_channels=(width // 4,)
    )
    decoder = Trellis1Decoder(
        flow=random_network(SLatFlow(flow)),  # type: ignore[arg-type]
        mesh_decoder=random_network(SLatMeshDecoder(trunk, num_groups=8)),  # type: ignore[arg-type]
        gaussian_decoder=random_network(SLatGaussianDecoder(trunk, GaussianConfig())),  # type: ignore[arg-type]
        sampler=SAMPLER,
        statistics=LatentStatistics((0.0,) * 8, (1.0,) * 8),
        source="",
        weights={},
    )
    structures = shells(given.objects, given.voxels, width)
    decoding = max(decoder.decoding_bytes(structures.coords))
    rooms = {"decoding one object": int(1.25 * decoding), "half of that": decoding // 2}

    def run(ceiling: int | None) -> object:
        draw = lambda place, stage: torch.Generator().manual_seed(place)  # noqa: E731
        return decoder.decode(structures, draw, bounded(ceiling))

    return run, {"all": None, **rooms}


def decoding(report: Report, given: Sizes) -> None:
    """Peaks of decoding one object, step by step."""
    trunk = SLatTrunkConfig(model_channels=given.width, num_blocks=1, num_heads=4)
    mesh_decoder = random_network(SLatMeshDecoder(trunk, num_groups=8))
    gaussian_decoder = random_network(SLatGaussianDecoder(trunk, GaussianConfig()))
    coords = shells(1, given.voxels, 8).coords[0]
    latents = SparseTensor(torch.randn(len(coords), 8), packed_voxels([coords]))
    made: dict[str, Any] = {}
    steps: dict[str, Callable[[], Any]] = {
        "mesh decoder": lambda: mesh_decoder(latents).item(0),
        "surface": lambda: extract_mesh(*made["mesh decoder"], 256),
        "Gaussians": lambda: gaussian_decoder(latents)[0],
    }
    for name, step in steps.items():
        with torch.no_grad():
            before, peak, seconds = peak_of(lambda name=name, step=step: made.update({name: step()}))
        each = (peak - before) / (4**3 * len(coords))
        held = f"{before / 1e6:.0f} MB", f"{peak / 1e6:.0f} MB"
        report.row("decoding", name, "none", *held, f"{each:.0f} B a voxel", f"{seconds:.1f}")


STAGES = {"iscene": iscene, "scenegen": scenegen, "latent": latent}
QUICK = {"objects": 2, "voxels": 200, "width": 64, "latent": 4}


def section(
    report: Report,
    *,
    objects: int = 12,
    voxels: int = 2_000,
    width: int = 128,
    latent: int = 16,
    stages: tuple[str, ...] = (*STAGES, "decoding"),
) -> None:
    """Prints a row for each ceiling of each stage; `latent` is the side of the structure latent."""
    sizes = Sizes(objects, voxels, width, latent)
    report.table("stage", "room for", "ceiling", "before", "peak", "peak / ceiling", "s")
    for name in stages:
        if name == "decoding":
            decoding(report, sizes)
        else:
            measure(report, name, *STAGES[name](sizes))
