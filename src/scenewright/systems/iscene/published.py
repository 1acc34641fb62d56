"""The published configuration of I-Scene's structure flow, translated to ours in one place.

The package's YAML leaves references to other parts of the file in place of values (`${models.denoiser.args.x}`); they
are resolved here. Source: LuLing06/I-Scene-project.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from scenewright.backbones.trellis1.config import StructureFlowConfig
from scenewright.backbones.trellis1.published import structure_flow_config
from scenewright.errors import InputError, WeightsError
from scenewright.files import spend
from scenewright.systems.iscene.config import SceneContextConfig, has_canonical_slot

__all__ = ["flow_arguments", "inferred_config", "resolved", "scene_context_config", "type_embedding"]

CLASS_NAME = "SparseStructureSceneContextFlowModel"
_PUBLISHED_DEFAULTS: dict[str, Any] = {"scene_context_attn_num": 5, "exp_setting": "global local", "k_bias_scale": 0.2}
# Where the weights start from, which the checkpoint overwrites entirely, and how they were trained.
_IRRELEVANT = ("pretrained_base", "learning_pattern", "type_embedding_type")
_BYTES_PER_NODE = 1024
_REFERENCE = re.compile(r"\$\{([^${}]*)\}")
_MARKED_KEY = re.compile(r"blocks\.(\d+)\.self_attn\.(ext_gate|k_type_bias)")


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


def flow_arguments(description: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Constructor arguments of the structure flow from the whole published YAML, references resolved.

    Raises:
        WeightsError: the file describes something else, or its two `exp_setting` differ.
    """
    try:
        content = resolved(description)
        denoiser = content["models"]["denoiser"]
        name, arguments = denoiser["name"], dict(denoiser["args"])
        in_data = (content.get("dataset") or {}).get("args", {}).get("exp_setting")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"'{source}' is not an I-Scene configuration ({error}); download it again.") from error
    if name != CLASS_NAME:
        raise WeightsError(f"'{source}' describes a '{name}', expected '{CLASS_NAME}'.")
    setting = arguments.get("exp_setting", _PUBLISHED_DEFAULTS["exp_setting"])
    if in_data is not None and in_data != setting:
        raise WeightsError(
            f"'{source}' gives exp_setting as '{setting}' for the network and '{in_data}' for its pictures; "
            "they must agree."
        )
    return arguments


def inferred_config(shapes: Mapping[str, Sequence[int]], flow: StructureFlowConfig) -> SceneContextConfig:
    """The configuration where no YAML says it: read off the checkpoint's names, else the paper's two branches.

    Without a gate or a key bias nothing in the weights tells which blocks read the scene; five are taken.

    Raises:
        WeightsError: the blocks that have them are not in the middle of the stack.
    """
    marked: dict[str, dict[int, int]] = {"ext_gate": {}, "k_type_bias": {}}
    for key, shape in shapes.items():
        if found := _MARKED_KEY.fullmatch(key):
            marked[found.group(2)][int(found.group(1))] = shape[0]
    blocks = marked["ext_gate"] or marked["k_type_bias"]
    if not blocks:
        return SceneContextConfig(flow)
    config = SceneContextConfig(
        flow,
        num_context_blocks=len(blocks),
        with_canonical=2 in blocks.values(),
        has_gate=bool(marked["ext_gate"]),
        has_key_bias=bool(marked["k_type_bias"]),
    )
    if sorted(blocks) != list(config.context_blocks):
        raise WeightsError(
            f"The checkpoint marks blocks {sorted(blocks)} as reading the scene; "
            f"{len(blocks)} in the middle of {flow.num_blocks} would be {list(config.context_blocks)}."
        )
    return config


def resolved(content: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with every `${path.to.value}` replaced; a leading dot starts at the value's own parent.

    Raises:
        ValueError: a reference leads nowhere, in a circle, or to something outside the file.
    """

    def value_at(path: tuple[str, ...], seen: tuple[tuple[str, ...], ...]) -> Any:
        if path in seen:
            raise ValueError(f"'{'.'.join(path)}' refers to itself")
        node: Any = content
        for depth, name in enumerate(path):
            if isinstance(node, str) and _REFERENCE.fullmatch(node):
                node = expanded(node, path[:depth], (*seen, path))
            try:
                node = node[int(name)] if isinstance(node, list) else node[name]
            except (KeyError, IndexError, TypeError, ValueError):
                raise ValueError(f"'{'.'.join(path)}' is referred to and does not exist") from None
        return expanded(node, path, (*seen, path))

    def expanded(node: Any, path: tuple[str, ...], seen: tuple[tuple[str, ...], ...]) -> Any:
        # References to references double what they stand for each time.
        spend(_BYTES_PER_NODE + (len(node) if isinstance(node, str) else 0), "its references")
        if isinstance(node, Mapping):
            return {name: expanded(item, (*path, str(name)), seen) for name, item in node.items()}
        if isinstance(node, list):
            return [expanded(item, (*path, str(index)), seen) for index, item in enumerate(node)]
        if not isinstance(node, str):
            return node
        if whole := _REFERENCE.fullmatch(node):
            return value_at(_target(whole.group(1), path), seen)
        text = _REFERENCE.sub(lambda found: str(value_at(_target(found.group(1), path), seen)), node)
        spend(len(text), "its references")
        return text

    return expanded(content, (), ())


def _target(reference: str, path: tuple[str, ...]) -> tuple[str, ...]:
    """The absolute path a reference means, written at `path`."""
    if ":" in reference:
        raise ValueError(f"'${{{reference}}}' asks for something outside the file")
    name = reference.lstrip(".")
    levels = len(reference) - len(name)
    base = path[: len(path) - levels] if levels else ()
    return (*base, *name.replace("[", ".").replace("]", "").split("."))
