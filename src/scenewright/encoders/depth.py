"""Depth of one perspective picture, with Depth Anything V2 through transformers.

    network = load_depth_network()                          # metric, indoors, Apache-2.0, from the hub on first use
    inverse = network.inverse_depth(pictures)               # one number per pixel

A relative network gives the inverse of the depth along the camera's axis up to a factor and a shift that differ from
picture to picture; a metric one gives 1 / metres, whose factor errs from picture to picture all the same.

Legend: B pictures, S side in pixels.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from scenewright.encoders.normalisation import imagenet_normalized
from scenewright.encoders.records import DEPTH_ANYTHING_METRIC, RECORDS
from scenewright.weights.source import WeightsSource
from scenewright.weights.transformers_format import load_transformers

__all__ = ["DepthNetwork", "load_depth_network"]

_NEAREST_M = 0.05


class DepthNetwork:
    """A Depth Anything network with the preparation of its inputs; use `load_depth_network`."""

    def __init__(self, model: Any) -> None:
        """Takes a transformers `DepthAnythingForDepthEstimation`."""
        self.model = model.eval().requires_grad_(False)
        self.is_metric = model.config.depth_estimation_type == "metric"
        self.side_px = int(model.config.backbone_config.image_size)

    @torch.no_grad()
    def inverse_depth(self, pictures: UInt8[Tensor, "B S S 3"]) -> Float[Tensor, "B S S"]:
        """Inverse depth of square pictures at their size, on the CPU: 1 / metres of a metric network."""
        device, size = next(self.model.parameters()).device, pictures.shape[1]
        pixels = pictures.to(device).movedim(-1, 1).float() / 255
        sized = F.interpolate(pixels, (self.side_px,) * 2, mode="bicubic", antialias=True, align_corners=False)
        depth = self.model(imagenet_normalized(sized.clamp(0, 1))).predicted_depth[:, None]
        inverse = 1 / depth.clamp(min=_NEAREST_M) if self.is_metric else depth
        return F.interpolate(inverse, (size, size), mode="bilinear", align_corners=False)[:, 0].float().cpu()


def load_depth_network(
    source: str | Path = DEPTH_ANYTHING_METRIC.repository,
    *,
    device: torch.device | str = "cpu",
    offline: bool = False,
) -> DepthNetwork:
    """Depth Anything (V1 or V2, relative or metric, any size) from a folder or hub repository in transformers' format.

    Raises:
        WeightsError: nothing can be read there, or it is another kind of network.
    """
    from transformers import DepthAnythingForDepthEstimation

    classes = {"depth_anything": DepthAnythingForDepthEstimation}
    model = load_transformers(WeightsSource(source, offline), classes, "a Depth Anything network", records=RECORDS)
    return DepthNetwork(model.to(device))
