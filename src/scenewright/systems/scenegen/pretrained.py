"""SceneGen's networks from a local folder or the hub, in the published layout.

A source holds `pipeline.json` and the files it names: the structure flow as `<stem>.json` with `<stem>.pt` (published)
or `<stem>.safetensors`, the structure decoder as TRELLIS publishes it. The encoders are named there too; a local folder
may hold its own (`<name>.json` and `<name>.safetensors`), otherwise they are the published DINOv2 and VGGT. The latent
stage's networks in the same folder are TRELLIS's and loaded by whoever decodes. Source: scenegen sheet section 1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from scenewright.backbones.structure_vae import StructureDecoder
from scenewright.backbones.trellis1.pretrained import load_named_network, network_stem, read_pipeline, read_sampler
from scenewright.encoders.records import VGGT_1B
from scenewright.encoders.vggt import VGGTConfig
from scenewright.encoders.weights import load_named_dinov2, load_vggt
from scenewright.errors import WeightsError
from scenewright.nn.precision import cast_torso
from scenewright.samplers.config import SamplerConfig
from scenewright.systems.scenegen.config import scene_flow_config
from scenewright.systems.scenegen.encoding import SceneEncoders
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow
from scenewright.systems.scenegen.weights import RECORDS, REPOSITORY
from scenewright.weights.config import config_from_json, read_config
from scenewright.weights.hub import fetch, find_file, is_local_source
from scenewright.weights.load import load_weights

__all__ = ["SceneGenNetworks", "find_flow_file", "load_scene_flow"]

Report = Callable[[str], None]


@dataclass(frozen=True)
class SceneGenNetworks:
    """What SceneGen needs up to voxels and poses, all on one device; `files` are the weight files by name."""

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
        source: str | Path = REPOSITORY,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        offline: bool = False,
        report: Report | None = None,
    ) -> "SceneGenNetworks":
        """Loads the networks.

        Args:
            source: a local folder in the published layout, or a hub repository (cached, else downloaded).
            dtype: of the repeated blocks of flow and decoder; everything else stays fp32, the encoders too.
            report: called with one line per network that is being loaded.

        Raises:
            WeightsError: files are missing, damaged, or do not fit.
        """
        arguments = read_pipeline(source, offline=offline)
        announce = report or (lambda line: None)
        files: dict[str, Path] = {}

        announce("Loading the structure flow")
        stem = network_stem(source, arguments["models"], "sparse_structure_flow_model", needed_by="SceneGen")
        files["structure_flow"] = find_flow_file(source, stem, offline=offline)
        config = find_file(source, f"{stem}.json", offline=offline)
        flow = load_scene_flow(files["structure_flow"], config, device=device, dtype=dtype)

        announce("Loading the structure decoder")
        decoder = load_named_network(
            source,
            arguments["models"],
            "sparse_structure_decoder",
            StructureDecoder,
            needed_by="SceneGen",
            device=device,
            dtype=dtype,
            offline=offline,
        )
        stem = arguments["models"]["sparse_structure_decoder"]
        files["structure_decoder"] = find_file(source, f"{stem}.safetensors", offline=offline)

        encoders = _load_encoders(source, arguments, device, offline, announce, files)
        sampler = read_sampler(arguments["sparse_structure_sampler"])
        return cls(flow, decoder, encoders, sampler, str(source), files)


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


def find_flow_file(source: str | Path, stem: str, *, offline: bool = False) -> Path:
    """The weight file of that stem: the published `.pt`, or a `.safetensors` where there is none.

    Raises:
        WeightsError: there is neither.
    """
    if is_local_source(source):
        suffix = ".safetensors" if (Path(source).expanduser() / f"{stem}.safetensors").is_file() else ".pt"
        return find_file(source, f"{stem}{suffix}", offline=offline)
    (record,) = RECORDS.values()
    if record.file == f"{stem}.pt":
        return fetch(record, source, offline=offline)
    return find_file(source, f"{stem}.safetensors", offline=offline)


def _load_encoders(
    source: str | Path,
    arguments: Mapping[str, Any],
    device: torch.device | str,
    offline: bool,
    announce: Report,
    files: dict[str, Path],
) -> SceneEncoders:
    announce("Loading DINOv2")
    name = arguments["image_cond_model"]
    picture, files["image_encoder"] = load_named_dinov2(name, source, device=device, offline=offline)

    geometry = None
    name = arguments.get("vggt_model") if arguments.get("use_vggt_feature_cond", True) else None
    if name:
        announce("Loading VGGT (its weights are licensed CC-BY-NC-4.0)")
        own = _stored_config(source, name)
        if own is not None:
            files["geometry_encoder"] = find_file(source, f"{name}.safetensors")
        else:
            # Published pipelines may name a folder on their author's machine; only a hub name says anything here.
            elsewhere = name if not is_local_source(name) or Path(name).is_dir() else None
            files["geometry_encoder"] = fetch(VGGT_1B, elsewhere, offline=offline)
        geometry = load_vggt(files["geometry_encoder"], config=config_from_json(VGGTConfig, own or {}), device=device)
    return SceneEncoders(
        picture,
        picture.config.image_size,
        geometry,
        reads_masks=bool(arguments.get("use_mask", True)),
        reads_scene=bool(arguments.get("use_scene_image_cond", True)),
    )


def _stored_config(source: str | Path, name: str) -> dict[str, Any] | None:
    """Constructor arguments of an encoder that a local folder holds itself, or None."""
    if not is_local_source(source) or not (Path(source).expanduser() / f"{name}.json").is_file():
        return None
    return read_config(find_file(source, f"{name}.json"))[1]
