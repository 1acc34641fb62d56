"""EfficientNet-Lite0's published weights with their batch norms folded in."""

from collections.abc import Mapping

import torch
from torch import Tensor

from scenewright.encoders.efficientnet_lite import STAGES

_BATCH_NORM_EPS = 1e-3


def folded_weights(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """This network's parameters from the published file (`efficientnet-lite0-57934424.pth`), without the classifier."""

    def folded(conv: str, norm: str) -> tuple[Tensor, Tensor]:
        gain = published[f"{norm}.weight"] / (published[f"{norm}.running_var"] + _BATCH_NORM_EPS).sqrt()
        bias = published[f"{norm}.bias"] - published[f"{norm}.running_mean"] * gain
        return published[f"{conv}.weight"] * gain.view(-1, 1, 1, 1), bias

    weights: dict[str, Tensor] = {}
    weights["stem.weight"], weights["stem.bias"] = folded("_conv_stem", "_bn0")
    names = (
        ("_expand_conv", "_bn0", "expand"),
        ("_depthwise_conv", "_bn1", "depthwise"),
        ("_project_conv", "_bn2", "project"),
    )
    for index in range(sum(repeats for repeats, *_ in STAGES)):
        for conv, norm, ours in names:
            source, name = f"_blocks.{index}", f"blocks.{index}.{ours}"
            if f"{source}.{conv}.weight" in published:
                weights[f"{name}.weight"], weights[f"{name}.bias"] = folded(f"{source}.{conv}", f"{source}.{norm}")
    return {name: tensor.detach().to(torch.float32).contiguous() for name, tensor in weights.items()}
