"""I-Scene goldens of the input side: mask decoding and image preparation."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from scenewright.encoders.masks.label_map import label_map
from scenewright.encoders.preprocess.crop import image_to_tensor
from scenewright.systems.iscene.preprocess import crop_object
from tests.conformance.case import Case
from tests.support.iscene_published import prepare_slots


def segmentation_to_id_map(case: Case) -> dict[str, Tensor]:
    outputs = {}
    for name, pixels in case.inputs.items():
        ids = label_map(pixels.numpy())
        labels = np.unique(ids[ids > 0])
        outputs[f"{name}_id_map"] = torch.from_numpy(ids.astype(np.int32))
        outputs[f"{name}_labels"] = torch.from_numpy(labels.astype(np.int32) if len(labels) else np.array([-1]))
    return outputs


def preprocess_image(case: Case) -> dict[str, Tensor]:
    image = Image.fromarray(case.inputs["scene_rgb"].byte().numpy())
    labels = case.inputs["label_map"]
    scene_mask, mask = labels > 0, labels == case.inputs["label"]
    crops = crop_object(image_to_tensor(image), scene_mask, mask)
    other = scene_mask & ~mask
    masks = torch.stack([mask, other]) if other.any() else mask[None]
    stack = prepare_slots(image, masks, with_canonical="local" in case.config["exp_setting"])[0]
    if "global" not in case.config["exp_setting"]:
        stack = torch.cat([stack[:1], stack[2:]])
    canonical = crops.canonical.permute(1, 2, 0)
    step = 2 if max(canonical.shape) > 70 else 1
    return {
        "scene_box": torch.tensor(crops.scene_box),
        "canonical_box": torch.tensor(crops.canonical_box),
        "scene_crop_hw": torch.tensor(crops.scene.shape[1:]),
        "canonical_crop_hw": torch.tensor(crops.canonical.shape[1:]),
        "canonical_cropped_masked": canonical[::step, ::step],
        "stack_s14": stack[:, :, ::14, ::14],
        "stack_block8": F.avg_pool2d(stack, 37),
        "stack_mean": stack.mean(dim=(2, 3)),
    }


INPUT_MODULES = {"preprocess_image": preprocess_image, "segmentation_to_id_map": segmentation_to_id_map}
