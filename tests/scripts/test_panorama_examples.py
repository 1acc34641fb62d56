"""Training samples of the box network."""

import math

import numpy as np
import pytest
import torch
from scripts.mini_training.panorama_examples import folded

from scenewright.metrics.box_detection import box_iou


def test_folded_boxes_are_the_same_volumes() -> None:
    yaw = torch.tensor([0.0, 0.3, 1.2, math.pi / 2, -1.7, 3.0, -math.pi])
    boxes = torch.cat([torch.rand(7, 3), torch.rand(7, 3) + 0.2, yaw[:, None]], 1)
    turned = folded(boxes)
    assert float(turned[:, 6].abs().max()) <= math.pi / 4 + 1e-6
    assert np.diag(box_iou(turned.numpy(), boxes.numpy())) == pytest.approx(1, abs=1e-3)
