"""The published configuration of I-Scene's structure flow, translated to ours in one place.

Source: I-Scene sheet, sections 2 and 3.1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from scenewright.backbones.trellis1.published import structure_flow_config
from scenewright.errors import InputError
from scenewright.systems.iscene.config import SceneContextConfig, has_canonical_slot

__all__ = ["scene_context_config", "type_embedding"]

_PUBLISHED_DEFAULTS: dict[str, Any] = {"scene_context_attn_num": 5, "exp_setting": "global local", "k_bias_scale": 0.2}
# Where the weights start from, which the checkpoint overwrites entirely, and how they were trained.
_IRRELEVANT = ("pretrained_base", "learning_pattern", "type_embedding_type")


def scene_context_config(arguments: Mapping[str, Any]) -> SceneContextConfig:
    """The configuration from the published constructor arguments.

    Raises:
        InputError: an argument is unknown or asks for a variant that cannot exist.
    """
    if arguments.get("learning_pattern", "full-finetune") != "full-finetune":
        raise InputError(f"Expected learning_pattern 'full-finetune', got '{arguments['learning_pattern']}'.")
    given: dict[str, Any] = _PUBLISHED_DEFAULTS | dict(arguments)
    has_gate, has_key_bias = type_embedding(given.get("type_embedding_type"))
    backbone = {name: given[name] for name in given if name not in (*_PUBLISHED_DEFAULTS, *_IRRELEVANT)}
    return SceneContextConfig(
        flow=structure_flow_config(backbone),
        num_context_blocks=int(given["scene_context_attn_num"]),
        with_canonical=has_canonical_slot(given["exp_setting"]),
        has_gate=has_gate,
        has_key_bias=has_key_bias,
        key_bias_scale=float(given["k_bias_scale"]),
    )


def type_embedding(names: str | Sequence[str] | None) -> tuple[bool, bool]:
    """(has gate, has key bias) of the published `type_embedding_type`, a string or a list of words."""
    names = names or ""
    return "enable_gate" in names, "enable_k_bias" in names
