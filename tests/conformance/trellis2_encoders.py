"""TRELLIS.2 goldens of image preparation and conditioning."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scenewright.encoders.dinov3 import Dinov3, Dinov3Config
from scenewright.encoders.preprocess.crop import image_to_tensor
from scenewright.encoders.preprocess.trellis2 import prepare_object, resized_for_encoder
from scenewright.weights.load import load_state
from tests.conformance.case import Case


def dinov3_features(case: Case) -> dict[str, Tensor]:
    config = case.config
    network = Dinov3(
        Dinov3Config(
            patch_size=config["patch_size"],
            width=config["hidden_size"],
            mlp_width=config["intermediate_size"],
            depth=config["num_hidden_layers"],
            num_heads=config["num_attention_heads"],
            num_registers=config["num_register_tokens"],
            layer_norm_eps=config["layer_norm_eps"],
            rope_theta=config["rope_theta"],
        )
    ).eval()
    load_state(network, case.params)
    if "image_uint8" in case.inputs:
        picture = Image.fromarray(case.inputs["image_uint8"].byte().numpy())
        image = image_to_tensor(resized_for_encoder(picture, config["image_size"]))[None]
    else:
        image = case.inputs["image"]
    with torch.no_grad():
        return {"features": network(image)}


def preprocess_image(case: Case) -> dict[str, Tensor]:
    prepared = prepare_object(Image.fromarray(case.inputs["rgba"].byte().numpy()))
    return {"rgb": torch.from_numpy(np.array(prepared))}


ENCODER_MODULES = {"dinov3_features": dinov3_features, "preprocess_image": preprocess_image}
