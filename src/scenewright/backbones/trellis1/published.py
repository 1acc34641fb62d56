"""Published TRELLIS v1 configurations and parameter names, translated to our networks in one place.

A published model is a class name with constructor arguments (the JSON beside its weights). `build_network` turns them
into one of our networks; `KEYMAPS` holds the few parameter names that differ.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from scenewright.backbones.structure_vae import StructureDecoder, StructureEncoder, structure_vae_config
from scenewright.backbones.trellis1.config import (
    GaussianConfig,
    SLatFlowConfig,
    SLatTrunkConfig,
    StructureFlowConfig,
)
from scenewright.backbones.trellis1.slat_decoders import (
    SLatGaussianDecoder,
    SLatMeshDecoder,
    SLatRadianceFieldDecoder,
)
from scenewright.backbones.trellis1.slat_encoder import SLatEncoder
from scenewright.backbones.trellis1.slat_flow import SLatFlow
from scenewright.backbones.trellis1.structure_flow import StructureFlow
from scenewright.errors import InputError
from scenewright.weights.config import config_from_json
from scenewright.weights.keymap import IDENTITY, KeyMap

__all__ = ["KEYMAPS", "build_network", "published_keymap", "structure_flow_config"]

Arguments = Mapping[str, Any]

# The published sparse convolutions nest their parameters one level deeper.
KEYMAPS = {
    "SLatFlowModel": KeyMap(
        {
            f"{group}.{{}}.{conv}.conv.*": f"{group}.{{}}.{conv}.*"
            for group in ("input_blocks", "out_blocks")
            for conv in ("conv1", "conv2")
        }
    ),
    "SLatMeshDecoder": KeyMap(
        {
            "upsample.{}.out_layers.{}.conv.*": "upsample.{}.out_layers.{}.*",
            "upsample.{}.skip_connection.conv.*": "upsample.{}.skip_connection.*",
        }
    ),
}


def published_keymap(class_name: str) -> KeyMap:
    """Rename table of a published class; most names are kept."""
    return KEYMAPS.get(class_name, IDENTITY)


def build_network(class_name: str, arguments: Arguments) -> nn.Module:
    """One of our networks from a published class name and its constructor arguments.

    Raises:
        InputError: the class or an argument is not known, or asks for a variant no published checkpoint uses.
    """
    if class_name not in _BUILDERS:
        raise InputError(f"'{class_name}' is no TRELLIS network; known are {', '.join(sorted(_BUILDERS))}.")
    return _BUILDERS[class_name](arguments)


def _structure_flow(arguments: Arguments) -> nn.Module:
    return StructureFlow(structure_flow_config(arguments))


def structure_flow_config(arguments: Arguments) -> StructureFlowConfig:
    """Configuration of a structure flow; defaults that the published constructor leaves out are filled in."""
    defaults = {"patch_size": 2, "qk_rms_norm": False}
    return config_from_json(StructureFlowConfig, defaults | _attention_arguments(arguments))


def _slat_flow(arguments: Arguments) -> nn.Module:
    converted = _without(_attention_arguments(arguments), "patch_size", "io_block_channels")
    # The patch size is 2 to the number of halvings, which the widths already say.
    io_channels = tuple(arguments.get("io_block_channels") or ())
    defaults = {"num_io_res_blocks": 2, "qk_rms_norm": False}
    return SLatFlow(config_from_json(SLatFlowConfig, defaults | converted | {"io_channels": io_channels}))


def _slat_trunk(arguments: Arguments, in_channels: int) -> SLatTrunkConfig:
    mode = arguments.get("attn_mode", "swin")
    if mode not in ("swin", "full"):
        raise InputError(f"attn_mode '{mode}' is used by no published TRELLIS checkpoint; swin and full are built.")
    dropped = ("attn_mode", "latent_channels", "in_channels", "representation_config", "num_groups")
    kept = _without(_attention_arguments(arguments), *dropped)
    return config_from_json(SLatTrunkConfig, kept | {"in_channels": in_channels, "is_windowed": mode == "swin"})


def _slat_encoder(arguments: Arguments) -> nn.Module:
    return SLatEncoder(_slat_trunk(arguments, arguments["in_channels"]), arguments["latent_channels"])


def _gaussian_decoder(arguments: Arguments) -> nn.Module:
    published = dict(arguments["representation_config"])
    renamed = {
        "lr": "learning_rates",
        "2d_filter_kernel_size": "kernel_size_2d",
        "3d_filter_kernel_size": "kernel_size_3d",
    }
    gaussians = GaussianConfig(**{renamed.get(name, name): value for name, value in published.items()})
    return SLatGaussianDecoder(_slat_trunk(arguments, arguments["latent_channels"]), gaussians)


def _radiance_field_decoder(arguments: Arguments) -> nn.Module:
    trunk = _slat_trunk(arguments, arguments["latent_channels"])
    return SLatRadianceFieldDecoder(trunk, **arguments["representation_config"])


def _mesh_decoder(arguments: Arguments) -> nn.Module:
    use_color = arguments.get("representation_config", {}).get("use_color", False)
    trunk = _slat_trunk(arguments, arguments["latent_channels"])
    return SLatMeshDecoder(trunk, use_color, arguments.get("num_groups", 32))


def _attention_arguments(arguments: Arguments) -> dict[str, Any]:
    """Heads given either way become `num_heads`; only absolute positions exist in published checkpoints."""
    if arguments.get("pe_mode", "ape") != "ape":
        raise InputError(f"pe_mode '{arguments['pe_mode']}' is used by no published TRELLIS checkpoint.")
    converted = _without(arguments, "pe_mode", "num_head_channels")
    if converted.get("num_heads") is None:
        converted["num_heads"] = arguments["model_channels"] // arguments.get("num_head_channels", 64)
    return converted


def _without(arguments: Arguments, *names: str) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in names}


_BUILDERS: dict[str, Callable[[Arguments], nn.Module]] = {
    "SLatEncoder": _slat_encoder,
    "SLatFlowModel": _slat_flow,
    "SLatGaussianDecoder": _gaussian_decoder,
    "SLatMeshDecoder": _mesh_decoder,
    "SLatRadianceFieldDecoder": _radiance_field_decoder,
    "SparseStructureDecoder": lambda arguments: StructureDecoder(structure_vae_config(arguments)),
    "SparseStructureEncoder": lambda arguments: StructureEncoder(structure_vae_config(arguments)),
    "SparseStructureFlowModel": _structure_flow,
}
