"""I-Scene's published arrangements, for comparison with its tensors."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor

from scenewright.encoders.preprocess.crop import (
    drop_alpha,
    image_to_tensor,
)
from scenewright.io.atomic import make_folder, remove, write_bytes
from scenewright.systems.iscene.config import SceneContextConfig
from scenewright.systems.iscene.context_attention import ExternalKeyValues, SceneContextAttention
from scenewright.systems.iscene.preprocess import crop_object, slot_pictures
from scenewright.systems.iscene.published import CLASS_NAME
from scenewright.systems.iscene.sampling import SlotConditions
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.systems.iscene.weights import PACKAGE_FILE
from tests.support.saved_weights import save_weights


def prepare_slots(
    image: Image.Image, masks: Bool[Tensor, "N height width"], *, with_canonical: bool = True, size: int = 518
) -> Float[Tensor, "N S 3 size size"]:
    """Pictures of every slot of every object, in [0, 1]: slot 0 the object, 1 the scene, 2 the object's own crop.

    Args:
        image: the whole picture; transparency is dropped (fully transparent pixels become black).
        masks: one per object, at the picture's size. Their union is the scene.

    Raises:
        InputError: a mask is empty or a single pixel.
    """
    pixels, scene_mask = image_to_tensor(drop_alpha(image)), masks.any(0)
    crops = [crop_object(pixels, scene_mask, mask, name=f"Mask {number + 1}") for number, mask in enumerate(masks)]
    return slot_pictures(crops, with_canonical=with_canonical, size=size)


def object_coords(coords: Int[Tensor, "V 4"], num_slots: int) -> tuple[Int[Tensor, "V_objects 4"], tuple[int, ...]]:
    """Voxels of slot 0 with the object's index as batch index, and the voxel count of every row.

    Args:
        coords: (row, x, y, z) in the published arrangement, row = object * slots + slot.

    Rows without a voxel at the end are not counted: coordinates do not tell how many there were.
    """
    rows = coords[:, 0].long()
    objects = coords[rows % num_slots == 0].clone()
    objects[:, 0] //= num_slots
    return objects, tuple(torch.bincount(rows).tolist())


def write_package(folder: str | Path, flow: SceneContextFlow, *, base: str) -> Path:
    """A package of a structure flow of ours, read by `read_package`; returns its folder.

    Args:
        base: hub repository or folder of the base model; a relative folder is relative to the package.
    """
    folder = Path(folder)
    make_folder(folder)
    remove(folder / PACKAGE_FILE)
    save_weights(flow, folder / "denoiser.safetensors")
    description = {"models": {"denoiser": {"name": CLASS_NAME, "args": _published_arguments(flow.scene_config)}}}
    write_bytes(folder / "config.yaml", yaml.safe_dump(description, sort_keys=False).encode())
    entries = {"base_model_id": base, "config_file": "config.yaml", "denoiser_checkpoint": "denoiser.safetensors"}
    write_bytes(folder / PACKAGE_FILE, json.dumps(entries, indent=2).encode())
    return folder


def _published_arguments(config: SceneContextConfig) -> dict[str, Any]:
    """The inverse of `scene_context_config`."""
    marks = {"enable_gate": config.has_gate, "enable_k_bias": config.has_key_bias}
    return {
        **vars(config.flow),
        "scene_context_attn_num": config.num_context_blocks,
        "exp_setting": "global local" if config.with_canonical else "global",
        "type_embedding_type": [name for name, is_on in marks.items() if is_on],
        "k_bias_scale": config.key_bias_scale,
    }


def conditions_from_slots(tokens: Float[Tensor, "N S T C"]) -> SlotConditions:
    """From the published arrangement, where every object brings its copy of the scene in slot 1."""
    return SlotConditions(tokens[0, 1], torch.cat([tokens[:, :1], tokens[:, 2:]], 1))


def project_external(layer: SceneContextAttention, x: Float[Tensor, "G L C"], external: int) -> ExternalKeyValues:
    """Keys and values of hidden sequences that are not part of the batch, of any length."""
    _, keys, values = (part.unflatten(0, x.shape[:2]) for part in layer.project(x.flatten(0, 1)))
    return ExternalKeyValues(layer.marked_keys(keys, external), values)


def latent_noise(counts: Sequence[int], channels: int, generator: torch.Generator) -> list[Float[Tensor, "_ C"]]:
    """Noise of the latent stage for every row of the published arrangement, whose voxel counts are given.

    It continues the structure's generator and is one draw over all rows, those that are dropped included: a normal
    draw in parts would not give the same numbers.
    """
    return list(torch.randn(sum(counts), channels, generator=generator).split(list(counts)))
