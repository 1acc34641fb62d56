"""Published TRELLIS.2 class names and constructor arguments, translated to our networks in one place.

Parameter names are kept as published, so no rename table is needed.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from scenewright.backbones.structure_vae import StructureDecoder, StructureEncoder, structure_vae_config
from scenewright.backbones.trellis2.config import FlowConfig, SparseUNetConfig
from scenewright.backbones.trellis2.latent_flow import LatentFlow
from scenewright.backbones.trellis2.shape_vae import ShapeDecoder, ShapeEncoder
from scenewright.backbones.trellis2.structure_flow import StructureFlow
from scenewright.backbones.trellis2.texture_vae import TextureDecoder, TextureEncoder
from scenewright.errors import InputError
from scenewright.weights.config import IRRELEVANT_ARGUMENTS, config_from_json

__all__ = ["build_network", "sparse_unet_config"]

Arguments = Mapping[str, Any]

_CONVOLUTION_BLOCK = "SparseConvNeXtBlock3d"
_RESAMPLING_BLOCKS = {
    "SparseResBlockS2C3d": "channel",
    "SparseResBlockC2S3d": "channel",
    "SparseResBlockDownsample3d": "nearest",
    "SparseResBlockUpsample3d": "nearest",
}
_SHAPE_ENCODER_CHANNELS, _SHAPE_DECODER_CHANNELS = 6, 7


def build_network(class_name: str, arguments: Arguments) -> nn.Module:
    """One of our networks from a published class name and its constructor arguments.

    Raises:
        InputError: the class or an argument is not known, or asks for a variant no published checkpoint uses.
    """
    if class_name not in _BUILDERS:
        raise InputError(f"'{class_name}' is no TRELLIS.2 network; known are {', '.join(sorted(_BUILDERS))}.")
    return _BUILDERS[class_name](arguments)


def sparse_unet_config(arguments: Arguments, io_channels: int | None = None) -> SparseUNetConfig:
    """Configuration of an encoder or decoder; `io_channels` is given for the classes that have it built in.

    The decoder's `resolution` is dropped: it says at which scale meshes are made, not what the network is.
    """
    num_levels = len(arguments["model_channels"])
    for name in arguments.get("block_type", ()):
        if name != _CONVOLUTION_BLOCK:
            raise InputError(
                f"Blocks of type '{name}' are used by no published checkpoint; expected {_CONVOLUTION_BLOCK}."
            )
    resampling = arguments.get("down_block_type") or arguments.get("up_block_type") or ()
    for name in resampling:
        if name not in _RESAMPLING_BLOCKS:
            raise InputError(
                f"'{name}' is no known resampling block; known are {', '.join(sorted(_RESAMPLING_BLOCKS))}."
            )
    block_arguments = arguments.get("block_args") or [{}] * num_levels
    translated = {
        "io_channels": arguments.get("in_channels", arguments.get("out_channels", io_channels)),
        "resample": [_RESAMPLING_BLOCKS[name] for name in resampling],
        "mlp_ratios": [block.get("mlp_ratio", 4.0) for block in block_arguments],
        "predicts_subdivision": arguments.get("pred_subdiv", True),
    }
    kept = {name: value for name, value in arguments.items() if name not in _TRANSLATED}
    return config_from_json(SparseUNetConfig, kept | translated)


_TRANSLATED = frozenset(
    {
        "block_args",
        "block_type",
        "down_block_type",
        "in_channels",
        "out_channels",
        "pred_subdiv",
        "resolution",
        "up_block_type",
    }
)


def _flow_config(arguments: Arguments) -> FlowConfig:
    return config_from_json(FlowConfig, arguments, irrelevant=IRRELEVANT_ARGUMENTS)


_BUILDERS: dict[str, Callable[[Arguments], nn.Module]] = {
    # The training configurations name the flow with activation checkpointing, which is the same network.
    "ElasticSLatFlowModel": lambda arguments: LatentFlow(_flow_config(arguments)),
    "FlexiDualGridVaeDecoder": lambda arguments: ShapeDecoder(sparse_unet_config(arguments, _SHAPE_DECODER_CHANNELS)),
    "FlexiDualGridVaeEncoder": lambda arguments: ShapeEncoder(sparse_unet_config(arguments, _SHAPE_ENCODER_CHANNELS)),
    "SLatFlowModel": lambda arguments: LatentFlow(_flow_config(arguments)),
    "SparseStructureDecoder": lambda arguments: StructureDecoder(structure_vae_config(arguments)),
    "SparseStructureEncoder": lambda arguments: StructureEncoder(structure_vae_config(arguments)),
    "SparseStructureFlowModel": lambda arguments: StructureFlow(_flow_config(arguments)),
    "SparseUnetVaeDecoder": lambda arguments: TextureDecoder(sparse_unet_config(arguments)),
    "SparseUnetVaeEncoder": lambda arguments: TextureEncoder(sparse_unet_config(arguments)),
}
