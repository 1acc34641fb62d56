"""Names of DINOv2's tensors: the published torch-hub file against transformers, where q, k and v are three tensors.

transformers renamed its attention projections within the 5.x line, in memory but not in the files on the hub, so
which names hold is read off the module or file at hand.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from scenewright.weights.checkpoint import Checkpoint
from scenewright.weights.keymap import KeyMap

__all__ = ["AttentionNames", "TransformersCheckpoint", "attention_names", "to_published", "to_transformers"]

AttentionNames = tuple[str, str, str, str]

_ATTENTION_NAMES: tuple[AttentionNames, ...] = (
    ("attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj"),
    ("attention.attention.query", "attention.attention.key", "attention.attention.value", "attention.output.dense"),
)


def attention_names(names: Iterable[str]) -> AttentionNames:
    """Names of the query, key, value and output projections among transformers' parameter `names`."""
    names = list(names)
    fits = (candidate for candidate in _ATTENTION_NAMES if any(f".{candidate[0]}." in name for name in names))
    return next(fits, _ATTENTION_NAMES[0])


def to_transformers(published: Mapping[str, Tensor], attention: AttentionNames) -> dict[str, Tensor]:
    """Tensors under transformers' names; the packed projection is split (views), unknown names stay as they are."""
    keymap = _keymap(attention)
    result: dict[str, Tensor] = {}
    for name, tensor in published.items():
        block, packed, kind = name.partition(".attn.qkv.")
        if packed:
            layer = block.replace("blocks.", "encoder.layer.", 1)
            thirds = zip(attention[:3], tensor.chunk(3), strict=True)
            result |= {f"{layer}.{part}.{kind}": third for part, third in thirds}
        else:
            result[keymap.rename(name)] = tensor
    return result


def to_published(ours: Mapping[str, Tensor], attention: AttentionNames) -> dict[str, Tensor]:
    """Tensors under the published names; the inverse of `to_transformers`."""
    parts_of = _published_parts(ours, attention)
    return {
        name: ours[parts[0]] if len(parts) == 1 else torch.cat([ours[part] for part in parts])
        for name, parts in parts_of.items()
    }


class TransformersCheckpoint:
    """A file in transformers' layout, seen under the published names."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        names, shapes = checkpoint.shapes.keys(), checkpoint.shapes
        parts_of = _published_parts(names, attention_names(names))
        # A pack that lacks a part is left out, so that strict loading says what is missing.
        self._parts = {name: parts for name, parts in parts_of.items() if names >= set(parts)}
        self.shapes = {name: _packed_shape([shapes[part] for part in parts]) for name, parts in self._parts.items()}
        self.dtypes = {name: checkpoint.dtypes[parts[0]] for name, parts in self._parts.items()}

    def read_into(self, name: str, target: Tensor) -> None:
        parts = self._parts[name]
        for part, rows in zip(parts, target.chunk(len(parts)) if len(parts) > 1 else (target,), strict=True):
            self._checkpoint.read_into(part, rows)


def _packed_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return shapes[0] if len(shapes) == 1 else (sum(shape[0] for shape in shapes), *shapes[0][1:])


def _published_parts(names: Iterable[str], attention: AttentionNames) -> dict[str, tuple[str, ...]]:
    """For every published name, transformers' names of the tensors that it packs one behind another."""
    keymap, result = _keymap(attention).reversed(), dict[str, tuple[str, ...]]()
    for name in names:
        layer, is_query, kind = name.partition(f".{attention[0]}.")
        if is_query:
            block = layer.replace("encoder.layer.", "blocks.", 1)
            result[f"{block}.attn.qkv.{kind}"] = tuple(f"{layer}.{part}.{kind}" for part in attention[:3])
        elif not any(f".{part}." in name for part in attention[1:3]):
            result[keymap.rename(name)] = (name,)
    return result


def _keymap(attention: AttentionNames) -> KeyMap:
    return KeyMap(
        {
            "cls_token": "embeddings.cls_token",
            "mask_token": "embeddings.mask_token",
            "register_tokens": "embeddings.register_tokens",
            "pos_embed": "embeddings.position_embeddings",
            "patch_embed.proj.*": "embeddings.patch_embeddings.projection.*",
            "blocks.{}.norm1.*": "encoder.layer.{}.norm1.*",
            "blocks.{}.attn.proj.*": f"encoder.layer.{{}}.{attention[3]}.*",
            "blocks.{}.ls1.gamma": "encoder.layer.{}.layer_scale1.lambda1",
            "blocks.{}.norm2.*": "encoder.layer.{}.norm2.*",
            "blocks.{}.mlp.*": "encoder.layer.{}.mlp.*",
            "blocks.{}.ls2.gamma": "encoder.layer.{}.layer_scale2.lambda1",
            "norm.*": "layernorm.*",
        }
    )
