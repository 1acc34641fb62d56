"""Peak memory of the published stages at full size, with random weights, on the host.

    uv run python -m benchmarks full_size [--stages iscene scenegen trellis1] [--dtype int8] [--objects 2]

Every stage runs in a process of its own, as where networks are read in turn. Of a structure stage all networks (picture
encoders, flow, decoder of structures) are made layer by layer, as the loader fills them, and the structures of a made
picture sampled, encoding included, without guidance. trellis1 is what follows: the latents of objects of `--voxels`
voxels each, and their decoding to raw surfaces. The peak is the process's largest resident memory from its start,
Python and torch included; the target is 8 GB.
"""

import time
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from benchmarks.measure import Report, in_new_process
from benchmarks.memory_ceiling import picture_request, shells
from scenewright.backbones.structure_vae import StructureDecoder, StructureVAEConfig
from scenewright.backbones.trellis1.config import (
    GaussianConfig,
    SLatFlowConfig,
    SLatTrunkConfig,
    StructureFlowConfig,
)
from scenewright.backbones.trellis1.slat_decoders import SLatGaussianDecoder, SLatMeshDecoder
from scenewright.backbones.trellis1.slat_flow import SLatFlow
from scenewright.encoders.dinov2 import Dinov2, Dinov2Config
from scenewright.encoders.vggt import VGGTAggregator, VGGTConfig
from scenewright.machine import peak_memory_bytes
from scenewright.nn.precision import cast_torso, compact_linears
from scenewright.samplers.config import SamplerConfig, SamplingOverride
from scenewright.systems.assembly.trellis1_decoder import Trellis1Decoder
from scenewright.systems.iscene.config import SceneContextConfig
from scenewright.systems.iscene.stage import ISceneStage
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.systems.options import GenerateOptions
from scenewright.systems.scenegen.config import SceneFlowConfig
from scenewright.systems.scenegen.encoding import SceneEncoders
from scenewright.systems.scenegen.pretrained import SceneGenNetworks
from scenewright.systems.scenegen.stage import SceneGenStage
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow
from scenewright.weights.record import LatentStatistics

LIMIT = 8e9
SAMPLER = SamplerConfig(guidance_strength=0.0)


def filled(network: Any) -> Any:
    """The network, built on the meta device, with small random weights, made one layer at a time."""
    for owner in network.modules():
        for table in (owner._parameters, owner._buffers):
            for name, tensor in list(table.items()):
                if tensor is None or not tensor.is_meta:
                    continue
                value = torch.empty(tensor.shape, dtype=tensor.dtype)
                value.normal_(0, max(tensor[0].numel(), 1) ** -0.5 if tensor.ndim > 1 else 0.02)
                setattr(owner, name, nn.Parameter(value, requires_grad=False) if table is owner._parameters else value)
                if (after_fill := getattr(owner, "after_fill", None)) is not None:
                    after_fill(name)
    return network.eval().requires_grad_(False)


def flow_of(kind: type[nn.Module], config: object, dtype: torch.dtype) -> Any:
    with torch.device("meta"):
        network: Any = kind(config)
        cast_torso(network.torso, dtype)
    return filled(network)


def plain(kind: type[nn.Module], config: object, *, is_compact: bool = False) -> Any:
    with torch.device("meta"):
        network = kind(config)
        if is_compact:
            compact_linears(network)
    return filled(network)


def iscene(dtype: torch.dtype, width: int) -> ISceneStage:
    sizes = StructureFlowConfig(model_channels=width, num_heads=max(1, width // 64))
    encoder = plain(Dinov2, Dinov2Config(width=width, num_heads=max(1, width // 64)))
    return ISceneStage(
        flow=flow_of(SceneContextFlow, SceneContextConfig(replace(sizes, cond_channels=width), 5), dtype),
        structure_decoder=plain(StructureDecoder, StructureVAEConfig()),
        image_encoder=encoder,
        image_size=encoder.config.image_size,
        sampler=SAMPLER,
        source="",
        decoder_source="",
        device=torch.device("cpu"),
        weights={},
    )


def scenegen(dtype: torch.dtype, width: int) -> SceneGenStage:
    sizes = SceneFlowConfig(model_channels=width, cond_channels=width, num_heads=max(1, width // 64))
    picture = plain(Dinov2, Dinov2Config(width=width, num_heads=max(1, width // 64)))
    geometry = plain(VGGTAggregator, VGGTConfig(width=width, num_heads=max(1, width // 64)), is_compact=True)
    networks = SceneGenNetworks(
        structure_flow=flow_of(SceneStructureFlow, sizes, dtype),
        structure_decoder=plain(StructureDecoder, StructureVAEConfig()),
        encoders=SceneEncoders(picture, picture.config.image_size, geometry),
        structure_sampler=SAMPLER,
    )
    return SceneGenStage(networks)


def trellis1(dtype: torch.dtype, width: int) -> Trellis1Decoder:
    heads = max(1, width // 64)
    trunk = SLatTrunkConfig() if width == 1024 else SLatTrunkConfig(model_channels=256, num_blocks=1, num_heads=4)
    sizes = SLatFlowConfig(
        model_channels=width, cond_channels=width, num_heads=heads, io_channels=(max(32, width // 8),)
    )

    def of_trunk(kind: type[nn.Module], *given: object) -> Any:
        with torch.device("meta"):
            network: Any = kind(trunk, *given)
            cast_torso(network.torso, dtype)
        return filled(network)

    return Trellis1Decoder(
        flow=flow_of(SLatFlow, sizes, dtype),
        mesh_decoder=of_trunk(SLatMeshDecoder),
        gaussian_decoder=of_trunk(SLatGaussianDecoder, GaussianConfig()),
        sampler=SAMPLER,
        statistics=LatentStatistics((0.0,) * 8, (1.0,) * 8),
        source="",
        weights={},
    )


def measure(stage: str, dtype: str, objects: int, steps: int, voxels: int, width: int) -> dict[str, float]:
    """Bytes of all parameters and of the peaks, and processor seconds of making and of sampling."""
    begin = time.process_time()
    made: Any = {"iscene": iscene, "scenegen": scenegen, "trellis1": trellis1}[stage](getattr(torch, dtype), width)
    made_s, networks = time.process_time() - begin, peak_memory_bytes()
    options = GenerateOptions(SamplingOverride(steps=steps), max_memory_bytes=int(LIMIT))
    begin = time.process_time()
    if stage == "trellis1":
        draw = lambda index, name: torch.Generator().manual_seed(index)  # noqa: E731
        made.decode(shells(objects, voxels, width), draw, options)
    else:
        made.sample_structures(replace(picture_request(objects), options=options))
    sampled = time.process_time() - begin
    return {"networks": networks, "peak": peak_memory_bytes(), "made_s": made_s, "sampled_s": sampled}


QUICK = {"objects": 1, "voxels": 40, "width": 64}


def section(
    report: Report,
    *,
    stages: tuple[str, ...] = ("iscene", "scenegen", "trellis1"),
    dtype: str = "int8",
    objects: int = 2,
    steps: int = 1,
    voxels: int = 2000,
    width: int = 1024,
) -> None:
    """Prints a row for each stage."""
    report(f"{objects} objects, {steps} steps, {voxels:,} voxels, width {width}, {dtype}.")
    report.table("stage", "networks made, peak MB", "peak MB", "peak / 8 GB", "making CPU s", "sampling CPU s")
    for stage in stages:
        found = in_new_process(measure, stage, dtype, objects, steps, voxels, width)
        peak = found["peak"]
        megabytes = f"{found['networks'] / 1e6:.0f}", f"{peak / 1e6:.0f}"
        report.row(stage, *megabytes, f"**{peak / LIMIT:.2f}**", f"{found['made_s']:.0f}", f"{found['sampled_s']:.0f}")
        report.ratio(f"{stage}: peak / 8 GB", peak / LIMIT)
