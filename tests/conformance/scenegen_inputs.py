"""SceneGen goldens of the input side: VGGT, image preparation, mask splitting, condition assembly."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scenewright.encoders.normalisation import imagenet_normalized
from scenewright.encoders.preprocess.crop import image_to_tensor
from scenewright.encoders.preprocess.trellis1 import prepare_object
from scenewright.encoders.vggt import VGGTAggregator, VGGTConfig
from scenewright.systems.scenegen.preprocess import asset_cut_out, prepare_frame, prepare_vggt_frame
from scenewright.weights.load import load_state
from tests.conformance.case import Case
from tests.support.scenegen_condition import assemble_condition
from tests.support.scenegen_published import masks_by_grey_level


def vggt_aggregator(case: Case) -> dict[str, Tensor]:
    config, embed = case.config, case.config["patch_embed"]
    network = VGGTAggregator(
        VGGTConfig(
            image_size=config["img_size"],
            patch_size=config["patch_size"],
            width=config["embed_dim"],
            depth=config["depth"],
            num_heads=config["num_heads"],
            num_registers=config["num_register_tokens"],
            rotary_frequency=float(config["rope_freq"]),
            patch_embed_depth=embed["depth"],
            patch_embed_num_heads=embed["num_heads"],
            patch_embed_num_registers=embed["num_register_tokens"],
        )
    ).eval()
    load_state(network, case.params)
    outputs: dict[str, Tensor] = {}
    with torch.no_grad():
        for name, images in case.inputs.items():
            stem = name.rpartition("/")[0]
            first, last = network(images, depths=(0, -1))
            pixels = imagenet_normalized(images).flatten(0, 1)
            outputs[f"{stem}/first"] = first
            outputs[f"{stem}/last"] = last
            outputs[f"{stem}/patch_tokens"] = network.patch_embed.normed_patch_tokens(pixels)
            outputs[f"{stem}/scene_condition"] = torch.cat(last.chunk(2, dim=-1), dim=2)
    return outputs


def condition_assembly(case: Case) -> dict[str, Tensor]:
    given = case.inputs
    vggt = torch.cat([given["vggt_tokens_frame"], given["vggt_tokens_global"]], dim=-1)
    assets, masks, scene = given["asset_tokens"], given["mask_tokens"], given["scene_tokens"]
    condition = assemble_condition(assets, masks, scene, vggt)
    return {
        "cond": condition,
        "cond_no_mask": assemble_condition(assets, None, scene, vggt),
        "cond_no_scene": assemble_condition(assets, masks, None, vggt),
        "cond_no_vggt": assemble_condition(assets, masks, scene),
        "neg_cond_abs_sum": torch.zeros_like(condition).abs().sum(),
    }


def image_preprocess(case: Case) -> dict[str, Tensor]:
    image = Image.fromarray(case.inputs["rgba"].byte().numpy())
    prepared = {
        "dino_scene_input": imagenet_normalized(prepare_frame(image)),
        "vggt_input": prepare_vggt_frame(image.convert("RGB")),
        "vggt_input_rgba": prepare_vggt_frame(image),
    }
    outputs = {f"{name}_every7": pixels[:, 3::7, 3::7] for name, pixels in prepared.items()}
    asset = image_to_tensor(prepare_object(image)).permute(1, 2, 0)
    return outputs | {"asset_image_every7": asset[3::7, 3::7]}


def mask_split(case: Case) -> dict[str, Tensor]:
    image, labels = (Image.fromarray(case.inputs[name].byte().numpy()) for name in ("rgb", "seg_rgb"))
    outputs = {}
    for order in ("order", "smallest", "largest"):
        masks = masks_by_grey_level(labels, order)
        cut_outs = [torch.from_numpy(np.array(asset_cut_out(image, mask))) for mask in masks]
        outputs[f"{order}/instance_rgba"] = torch.stack(cut_outs) if cut_outs else torch.empty(*masks.shape, 4)
        outputs[f"{order}/mask_rgb"] = masks.int() * 255
    return outputs


INPUT_MODULES = {
    "condition_assembly": condition_assembly,
    "image_preprocess": image_preprocess,
    "mask_split": mask_split,
    "vggt_aggregator": vggt_aggregator,
}
