"""A published I-Scene package: which files it is made of and how its structure flow is built.

    iscene_config.json          base_model_id, config_file, denoiser_checkpoint, image_conditioner_checkpoint
    config_file                 YAML (or JSON) with models.denoiser.{name, args} and dataset.args.exp_setting
    denoiser_checkpoint         the structure flow, plain state dict, .pt or .safetensors
    image_conditioner_checkpoint  DINOv2 under "base_img_conditioner."

The base model (TRELLIS-image-large) brings the decoders and the latent flow. Two of the four entries may be missing:
without a configuration it is inferred, without a conditioner the base model's image encoder is used.
Source: the released package, LuLing06/I-Scene-project.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
import yaml

from scenewright.backbones.trellis1.config import StructureFlowConfig
from scenewright.backbones.trellis1.pretrained import trellis1_networks
from scenewright.backbones.trellis1.published import structure_flow_config
from scenewright.backbones.trellis1.weights import RECORDS as TRELLIS1
from scenewright.errors import WeightsError
from scenewright.files import read_file, read_json, reading, text_of
from scenewright.nn.precision import cast_torso
from scenewright.systems.iscene.config import SceneContextConfig
from scenewright.systems.iscene.published import flow_arguments, inferred_config, scene_context_config
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.systems.iscene.weights import PACKAGE_FILE, RECORDS
from scenewright.weights.checkpoint import open_checkpoint
from scenewright.weights.config import read_config
from scenewright.weights.load import load_weights
from scenewright.weights.source import WeightsSource

__all__ = ["IScenePackage", "load_flow", "read_package"]

_MAX_YAML_BYTES = 1 << 18
CONDITIONER_PREFIX = "base_img_conditioner."


@dataclass(frozen=True)
class _PackageFile:
    base_model_id: str
    denoiser_checkpoint: str
    config_file: str | None = None
    image_conditioner_checkpoint: str | None = None


@dataclass(frozen=True)
class IScenePackage:
    """Where the parts of a package are.

    `flow` is None where the package has no configuration file; `image_conditioner` where it has no encoder.
    """

    source: WeightsSource
    base: WeightsSource
    denoiser: Path
    flow: SceneContextConfig | None
    image_conditioner: Path | None


def read_package(source: WeightsSource) -> IScenePackage:
    """The package in a local folder or a hub repository; its weight files are fetched, not opened.

    Raises:
        WeightsError: files are missing or describe something else.
        InputError: the configuration asks for a network that cannot be built.
    """
    path = source.find(PACKAGE_FILE)
    with reading(path, "the description of an I-Scene package", "download it again", error=WeightsError):
        entries = read_json(path, _PackageFile)
        base, denoiser = _base_place(source, entries.base_model_id), _inside(entries.denoiser_checkpoint)
        config, conditioner = (
            _inside(file) if file else None for file in (entries.config_file, entries.image_conditioner_checkpoint)
        )
    flow = None
    if config is not None:
        config_path = source.find(config)
        with reading(config_path, "an I-Scene configuration", "download it again", error=WeightsError):
            flow = scene_context_config(flow_arguments(_read_yaml(config_path), str(config_path)))
    return IScenePackage(
        source=source,
        base=source.named_by_file(base, (*RECORDS.values(), *TRELLIS1.values()), f"'{path}'"),
        denoiser=source.weights(denoiser, RECORDS.values()),
        flow=flow,
        image_conditioner=None if conditioner is None else source.weights(conditioner, RECORDS.values()),
    )


def load_flow(
    package: IScenePackage, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> SceneContextFlow:
    """The structure flow of a package; `dtype` is that of the repeated blocks.

    The base model's flow is not read: every tensor of it is in the package.

    Raises:
        WeightsError: the checkpoint cannot be read or does not fit.
    """
    config = package.flow
    if config is None:
        with open_checkpoint(package.denoiser) as checkpoint:
            config = inferred_config(checkpoint.shapes, _base_flow_config(package.base))

    def build() -> SceneContextFlow:
        flow = SceneContextFlow(config)
        cast_torso(flow.torso, dtype)
        return flow

    return load_weights(build, package.denoiser, device=device)


def _read_yaml(path: Path) -> Mapping[str, Any]:
    content = yaml.load(text_of(read_file(path, max_bytes=_MAX_YAML_BYTES)), _PlainLoader)
    if not isinstance(content, dict):
        raise WeightsError(f"Expected a mapping in '{path}', got {type(content).__name__}.")
    return content


class _PlainLoader(yaml.SafeLoader):
    """YAML without references: a few of them to each other stand for more than any memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it holds a YAML alias")
        return super().compose_node(parent, index)


def _inside(file: str) -> str:
    """A path relative to the package's root, which it may not leave."""
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"'{file}' is outside the package")
    return str(path)


def _base_place(source: WeightsSource, base: str) -> str:
    """The base model: a folder beside or inside a local package where there is one, else as it is named."""
    if source.is_local:
        package = Path(source.place).expanduser().resolve()
        folder = (package / base).resolve()
        if folder.is_dir() and folder.is_relative_to(package.parent):
            return str(folder)
    return base


def _base_flow_config(base: WeightsSource) -> StructureFlowConfig:
    """Sizes of the base model's structure flow, which I-Scene's has too."""
    stem = trellis1_networks(base).arguments["models"].get("sparse_structure_flow_model")
    if stem is None:
        return StructureFlowConfig()
    return structure_flow_config(read_config(base.find(f"{stem}.json"))[1])
