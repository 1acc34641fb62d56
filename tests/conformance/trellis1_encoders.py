"""TRELLIS v1 goldens of image preparation and conditioning."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scenewright.encoders.dinov2 import Dinov2, Dinov2Config
from scenewright.encoders.normalisation import imagenet_normalized
from scenewright.encoders.preprocess.trellis1 import prepare_object
from scenewright.weights.load import load_state
from tests.conformance.case import Case


def dinov2_features(case: Case) -> dict[str, Tensor]:
    config = case.config
    network = Dinov2(
        Dinov2Config(
            image_size=config["img_size"],
            patch_size=config["patch_size"],
            width=config["embed_dim"],
            depth=config["depth"],
            num_heads=config["num_heads"],
            num_registers=config["num_register_tokens"],
            mlp_ratio=config["mlp_ratio"],
        )
    ).eval()
    load_state(network, case.params)
    outputs = {}
    with torch.no_grad():
        for number, given in case.numbered(case.inputs).items():
            outputs[f"x_prenorm__{number}"] = network.prenorm_tokens(imagenet_normalized(given["image"]))
            outputs[f"cond__{number}"] = network(given["image"])
    return outputs


def preprocess_image(case: Case) -> dict[str, Tensor]:
    outputs = {}
    for number, given in case.numbered(case.inputs).items():
        prepared = prepare_object(
            Image.fromarray(given["rgba"].numpy()), size=case.config["size"], margin=case.config["pad"]
        )
        pixels = torch.from_numpy(np.array(prepared))
        outputs[f"sub7__{number}"] = pixels[::7, ::7]
        outputs[f"row_mean__{number}"] = pixels.float().mean(dim=(1, 2))
        outputs[f"col_mean__{number}"] = pixels.float().mean(dim=(0, 2))
    return outputs


ENCODER_MODULES = {
    "DINOv2 ViT with registers + plain layer norm": dinov2_features,
    "preprocess_image (alpha given)": preprocess_image,
}
