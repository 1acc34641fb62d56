"""Sizes of SceneGen's structure flow; defaults are the published checkpoint's (hub haoningwu/SceneGen)."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scenewright.backbones.trellis1.config import StructureFlowConfig
from scenewright.backbones.trellis1.published import structure_flow_config
from scenewright.errors import InputError

__all__ = ["SceneFlowConfig", "scene_flow_config"]


@dataclass(frozen=True)
class SceneFlowConfig(StructureFlowConfig):
    """TRELLIS v1's structure flow plus the scene parts.

    `local_context_tokens` counts the first condition tokens, which alone feed the asset's own cross-attention: one
    picture of DINOv2. `trunk_depth` and `num_iteration` are of the position head.
    """

    num_register_tokens: int = 4
    local_context_tokens: int = 1374
    trunk_depth: int = 4
    num_iteration: int = 4

    @property
    def num_special_tokens(self) -> int:
        """The position token and the registers, which precede the latent tokens of each asset."""
        return 1 + self.num_register_tokens


def scene_flow_config(arguments: Mapping[str, Any]) -> SceneFlowConfig:
    """Configuration from published constructor arguments; what they leave out has the published default.

    Raises:
        InputError: an argument is unknown, or asks for a variant that no published checkpoint uses.
    """
    for name, published in _ONLY_PUBLISHED.items():
        if arguments.get(name, published) != published:
            raise InputError(
                f"SceneGen's {name} is {published!r} in the published checkpoint, got {arguments[name]!r}."
            )
    base_names = {field.name for field in dataclasses.fields(StructureFlowConfig)}
    own_names = {field.name for field in dataclasses.fields(SceneFlowConfig)} - base_names
    own = {name: value for name, value in arguments.items() if name in own_names}
    inherited = {
        name: value for name, value in arguments.items() if name not in own_names and name not in _ONLY_PUBLISHED
    }
    return SceneFlowConfig(**dataclasses.asdict(structure_flow_config(inherited)), **own)


_ONLY_PUBLISHED: dict[str, Any] = {
    "pose_encoding_type": "absT_quatR_S",
    "use_batch_encoder": False,
    "use_global": True,
    "use_rope": False,
}
