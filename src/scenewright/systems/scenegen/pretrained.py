"""SceneGen's networks from a local folder or the hub, in the published layout.

A source holds `pipeline.json` and the files it names: the structure flow as `<stem>.json` with `<stem>.pt` (published)
or `<stem>.safetensors`, the structure decoder as TRELLIS publishes it. The encoders are named there too; a local folder
may hold its own (`<name>.json` and `<name>.safetensors`), otherwise they are the published DINOv2 and VGGT. The latent
stage's networks in the same folder are TRELLIS's and loaded by whoever decodes. Source: hub haoningwu/SceneGen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from scenewright.backbones.structure_vae import StructureDecoder
from scenewright.backbones.trellis1.pretrained import STRUCTURE_DECODER, STRUCTURE_FLOW, trellis1_networks
from scenewright.encoders.records import VGGT_1B
from scenewright.encoders.vggt import VGGTConfig
from scenewright.encoders.weights import load_named_dinov2, load_vggt
from scenewright.errors import WeightsError
from scenewright.nn.precision import cast_torso
from scenewright.samplers.config import SamplerConfig
from scenewright.systems.scenegen.config import scene_flow_config
from scenewright.systems.scenegen.encoding import SceneEncoders
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow
from scenewright.systems.scenegen.weights import RECORDS
from scenewright.weights.config import config_from_json, read_config
from scenewright.weights.hub import fetch, is_local_source
from scenewright.weights.load import load_weights
from scenewright.weights.source import WeightsSource

__all__ = ["SceneGenNetworks", "find_flow_file", "load_scene_flow"]


@dataclass(frozen=True)
class SceneGenNetworks:
    """The networks of SceneGen up to voxels and poses, all on one device; `files` are the weight files by name."""

    structure_flow: SceneStructureFlow
    structure_decoder: StructureDecoder
    encoders: SceneEncoders
    structure_sampler: SamplerConfig = field(default_factory=SamplerConfig)
    source: str = ""
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        return self.structure_flow.input_layer.weight.device

    @classmethod
    def from_pretrained(
        cls,
        source: WeightsSource,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> "SceneGenNetworks":
        """Loads the networks.

        Args:
            dtype: of the repeated blocks of flow and decoder; everything else stays fp32, the encoders too; with
                torch.int8, VGGT keeps its weights in eight bits as well.

        Raises:
            WeightsError: files are missing, damaged, or do not fit.
        """
        networks = trellis1_networks(source, device=device, dtype=dtype)
        files: dict[str, Path] = {}

        source.report("Loading the structure flow")
        stem = networks.stem(STRUCTURE_FLOW)
        files["structure_flow"] = find_flow_file(source, stem)
        flow = load_scene_flow(files["structure_flow"], source.find(f"{stem}.json"), device=device, dtype=dtype)

        decoder = networks.load(STRUCTURE_DECODER)
        files["structure_decoder"] = networks.weights_file(STRUCTURE_DECODER)

        is_compact = dtype == torch.int8
        encoders = _load_encoders(source, networks.arguments, device, files, is_compact=is_compact)
        return cls(flow, decoder, encoders, networks.sampler("structure"), str(source), files)


def load_scene_flow(
    weights: str | Path, config: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> SceneStructureFlow:
    """The structure flow of a weight file (`.pt` or `.safetensors`, published names) with its configuration beside it.

    Raises:
        InputError: the configuration asks for a variant that is not built.
        WeightsError: the weights cannot be read or do not fit.
    """
    class_name, arguments = read_config(config)
    if class_name != "SparseStructureFlowModel":
        raise WeightsError(f"Expected a SparseStructureFlowModel in '{config}', got '{class_name}'.")
    sizes = scene_flow_config(arguments)

    def build() -> SceneStructureFlow:
        network = SceneStructureFlow(sizes)
        cast_torso(network.torso, dtype)
        return network

    return load_weights(build, weights, device=device)


def find_flow_file(source: WeightsSource, stem: str) -> Path:
    """The weight file of that stem: the published `.pt`, or a `.safetensors` where there is none.

    Raises:
        WeightsError: there is neither.
    """
    if source.is_local:
        return source.find(f"{stem}.safetensors" if source.holds(f"{stem}.safetensors") else f"{stem}.pt")
    (record,) = RECORDS.values()
    return source.fetch(record) if record.file == f"{stem}.pt" else source.weights(f"{stem}.safetensors")


def _load_encoders(
    source: WeightsSource,
    arguments: Mapping[str, Any],
    device: torch.device | str,
    files: dict[str, Path],
    *,
    is_compact: bool,
) -> SceneEncoders:
    source.report("Loading DINOv2")
    picture, files["image_encoder"] = load_named_dinov2(arguments["image_cond_model"], source, device=device)

    geometry = None
    name = arguments.get("vggt_model") if arguments.get("use_vggt_feature_cond", True) else None
    if name:
        source.report("Loading VGGT (its weights are licensed CC-BY-NC-4.0)")
        # Published pipelines may name a folder on their author's machine; only a hub name says anything here.
        is_elsewhere = not is_local_source(name) or Path(name).is_dir()
        sizes, files["geometry_encoder"] = source.beside(name) or (
            {},
            fetch(VGGT_1B, name if is_elsewhere else None, offline=source.offline),
        )
        config = config_from_json(VGGTConfig, sizes)
        geometry = load_vggt(files["geometry_encoder"], config=config, device=device, is_compact=is_compact)
    return SceneEncoders(
        picture,
        picture.config.image_size,
        geometry,
        reads_masks=bool(arguments.get("use_mask", True)),
        reads_scene=bool(arguments.get("use_scene_image_cond", True)),
    )
