"""TRELLIS.2 from a local folder or the hub, in the published layout.

A source holds `pipeline.json` (picture to object) and `texturing_pipeline.json` (materials for a given mesh), and for
every network they name `<stem>.json` and `<stem>.safetensors`. An entry that is not in the source is a stand-alone
`<owner>/<repository>/<stem>`, as the structure decoder is: it belongs to TRELLIS v1.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from scenewright.backbones.trellis2.object_sampling import ObjectSamplers
from scenewright.backbones.trellis2.published import build_network
from scenewright.backbones.trellis2.weights import RECORDS, REPOSITORY
from scenewright.errors import WeightsError
from scenewright.nn.precision import cast_torso
from scenewright.samplers.config import SamplerConfig
from scenewright.weights.config import read_config, read_pipeline_arguments
from scenewright.weights.hub import fetch, find_file, is_local_source
from scenewright.weights.load import load_weights
from scenewright.weights.record import LatentStatistics, WeightsRecord

__all__ = ["Trellis2", "read_sampler"]

Report = Callable[[str], None]
PipelineFile = Literal["pipeline.json", "texturing_pipeline.json"]

_STRUCTURE_DECODER = WeightsRecord(
    name="trellis2/structure_decoder",
    repository="microsoft/TRELLIS-image-large",
    file="ckpts/ss_dec_conv3d_16l8_fp16.safetensors",
    architecture="SparseStructureDecoder",
    licence="MIT",
    paper="arXiv:2412.01506",
    size_bytes=147_591_972,
    num_parameters=73_671_201,
    stored_dtype="fp16",
)
_PIPELINE_PARTS = frozenset(
    {"models", "tex_slat_sampler", "shape_slat_normalization", "tex_slat_normalization", "image_cond_model"}
)
_SAMPLERS = {
    "structure": "sparse_structure_sampler",
    "shape": "shape_slat_sampler",
    "texture": "tex_slat_sampler",
}


class Trellis2:
    """The networks of a pipeline, loaded when they are asked for, with the settings published beside them.

    Args:
        source: a local folder in the published layout, or a hub repository (cached, else downloaded).
        dtype: of the repeated blocks; None is the published one on CUDA (bfloat16 for flows, float16 for autoencoders)
            and float32 elsewhere. The rest stays fp32 as published.
        keep_loaded: keep every network in memory; otherwise asking for one lets go of the one before.
        report: called with one line per network that is being loaded.

    Raises:
        WeightsError: the pipeline file is missing, unreadable, or lacks a part.
    """

    def __init__(
        self,
        source: str | Path = REPOSITORY,
        *,
        pipeline: PipelineFile = "pipeline.json",
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        keep_loaded: bool = False,
        offline: bool = False,
        report: Report | None = None,
    ) -> None:
        self.source, self.device = str(source), torch.device(device)
        self._dtype, self._offline, self._keep_loaded = dtype, offline, keep_loaded
        self._report = report or (lambda line: None)
        self._pipeline = pipeline
        self._loaded: dict[str, nn.Module] = {}
        arguments = self._read_pipeline()
        self._stems: dict[str, str] = arguments["models"]
        self._samplers = {stage: arguments[key] for stage, key in _SAMPLERS.items() if key in arguments}
        self.shape_statistics = _statistics(arguments["shape_slat_normalization"])
        self.texture_statistics = _statistics(arguments["tex_slat_normalization"])
        self.default_plan: str = arguments.get("default_pipeline_type", "1024_cascade")
        self.image_encoder: str = arguments["image_cond_model"]["args"]["model_name"]

    @property
    def samplers(self) -> ObjectSamplers:
        """The published settings of all three stages (a texturing pipeline has only `sampler("texture")`)."""
        return ObjectSamplers(*(self.sampler(stage) for stage in _SAMPLERS))

    def sampler(self, stage: str) -> SamplerConfig:
        """The published settings of the stage "structure", "shape" or "texture"."""
        if stage not in self._samplers:
            raise WeightsError(f"{self._pipeline} of '{self.source}' has no sampler for the {stage} stage.")
        return read_sampler(self._samplers[stage])

    def network(self, key: str) -> Any:
        """The network with that key in the pipeline file, in evaluation mode.

        Raises:
            WeightsError: there is none, or its files are missing, damaged, or do not fit.
        """
        if key not in self._stems:
            raise WeightsError(f"{self._pipeline} of '{self.source}' names no '{key}'.")
        if key not in self._loaded:
            if not self._keep_loaded:
                self._loaded.clear()
            self._report(f"Loading {key}")
            self._loaded[key] = self._load(self._stems[key])
        return self._loaded[key]

    def weights_file(self, key: str) -> Path:
        """Where the weights of the network with that key are on this machine; downloads them if they are not."""
        source, stem = self._located(self._stems[key])
        return find_file(source, f"{stem}.safetensors", offline=self._offline)

    def _load(self, entry: str) -> nn.Module:
        source, stem = self._located(entry)
        class_name, arguments = read_config(find_file(source, f"{stem}.json", offline=self._offline))
        dtype = self._dtype or _default_dtype(class_name, self.device)
        record = next((known for known in (*RECORDS.values(), _STRUCTURE_DECODER) if _is_of(known, source, stem)), None)
        if record is None:
            weights = find_file(source, f"{stem}.safetensors", offline=self._offline)
        else:
            weights = fetch(record, source, offline=self._offline)

        def build() -> nn.Module:
            network = build_network(class_name, arguments)
            cast_torso(network.torso, dtype)  # type: ignore[arg-type]
            return network

        return load_weights(build, weights, device=self.device, ignore=("rope_phases",))

    def _located(self, entry: str) -> tuple[str, str]:
        """Repository or folder, and stem inside it, of an entry of `models`."""
        is_here = (
            (Path(self.source).expanduser() / f"{entry}.json").is_file()
            if is_local_source(self.source)
            else entry.startswith("ckpts/")
        )
        owner, _, rest = entry.partition("/")
        repository, _, stem = rest.partition("/")
        return (self.source, entry) if is_here or not stem else (f"{owner}/{repository}", stem)

    def _read_pipeline(self) -> dict[str, Any]:
        path = find_file(self.source, self._pipeline, offline=self._offline)
        return read_pipeline_arguments(path, _PIPELINE_PARTS, "a TRELLIS.2 pipeline")


def read_sampler(description: dict[str, Any]) -> SamplerConfig:
    """Sampler settings from their published form, whose guidance g of g v_cond + (1 - g) v_uncond is 1 + ours."""
    params = description.get("params", {})
    return SamplerConfig(
        steps=params["steps"],
        guidance_strength=params["guidance_strength"] - 1,
        guidance_rescale=params.get("guidance_rescale", 0.0),
        guidance_interval=tuple(params.get("guidance_interval", (0.0, 1.0))),
        rescale_t=params.get("rescale_t", 1.0),
        sigma_min=description.get("args", {}).get("sigma_min", 1e-5),
    )


def _statistics(description: dict[str, Any]) -> LatentStatistics:
    return LatentStatistics(tuple(description["mean"]), tuple(description["std"]))


def _is_of(record: WeightsRecord, source: str, stem: str) -> bool:
    return not is_local_source(source) and record.repository == source and record.file == f"{stem}.safetensors"


def _default_dtype(class_name: str, device: torch.device) -> torch.dtype:
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if "Flow" in class_name else torch.float16
