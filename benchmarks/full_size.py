"""Peak memory of the published structure stages at full size, with random weights, on the host.

    uv run python -m benchmarks full_size [--systems iscene scenegen] [--dtype int8] [--objects 2] [--steps 1]

Every system runs in a process of its own: all networks of its stage (picture encoders, flow, decoder of structures) are
made layer by layer, as the loader fills them, and the structures of a made picture sampled, encoding included, without
guidance. The peak is the process's largest resident memory from its start, Python and torch included; the target is
8 GB.
"""

import time
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from benchmarks.measure import Report, in_new_process
from benchmarks.memory_ceiling import picture_request
from scenewright.backbones.structure_vae import StructureDecoder, StructureVAEConfig
from scenewright.backbones.trellis1.config import StructureFlowConfig
from scenewright.encoders.dinov2 import Dinov2, Dinov2Config
from scenewright.encoders.vggt import VGGTAggregator, VGGTConfig
from scenewright.machine import peak_memory_bytes
from scenewright.nn.precision import cast_torso, compact_linears
from scenewright.samplers.config import SamplerConfig, SamplingOverride
from scenewright.systems.iscene.config import SceneContextConfig
from scenewright.systems.iscene.stage import ISceneStage
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.systems.options import GenerateOptions
from scenewright.systems.scenegen.config import SceneFlowConfig
from scenewright.systems.scenegen.encoding import SceneEncoders
from scenewright.systems.scenegen.pretrained import SceneGenNetworks
from scenewright.systems.scenegen.stage import SceneGenStage
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow

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


def measure(system: str, dtype: str, objects: int, steps: int, width: int) -> dict[str, float]:
    """Bytes of all parameters and of the peaks, and processor seconds of making and of sampling."""
    begin = time.process_time()
    stage: Any = {"iscene": iscene, "scenegen": scenegen}[system](getattr(torch, dtype), width)
    made, networks = time.process_time() - begin, peak_memory_bytes()
    options = GenerateOptions(SamplingOverride(steps=steps), max_memory_bytes=int(LIMIT))
    begin = time.process_time()
    stage.sample_structures(replace(picture_request(objects), options=options))
    sampled = time.process_time() - begin
    return {"networks": networks, "peak": peak_memory_bytes(), "made_s": made, "sampled_s": sampled}


QUICK = {"objects": 1, "width": 64}


def section(
    report: Report,
    *,
    systems: tuple[str, ...] = ("iscene", "scenegen"),
    dtype: str = "int8",
    objects: int = 2,
    steps: int = 1,
    width: int = 1024,
) -> None:
    """Prints a row for each system."""
    report(f"{objects} objects, {steps} steps, width {width}, {dtype}.")
    report.table("system", "networks made, peak MB", "peak MB", "peak / 8 GB", "making CPU s", "sampling CPU s")
    for system in systems:
        found = in_new_process(measure, system, dtype, objects, steps, width)
        peak = found["peak"]
        megabytes = f"{found['networks'] / 1e6:.0f}", f"{peak / 1e6:.0f}"
        report.row(system, *megabytes, f"**{peak / LIMIT:.2f}**", f"{found['made_s']:.0f}", f"{found['sampled_s']:.0f}")
        report.ratio(f"{system}: peak / 8 GB", peak / LIMIT)
