"""The small image encoder: sizes, folding of batch norms, and TensorFlow's padding."""

import torch
import torch.nn.functional as F
from scripts.mini_training.lite0 import folded_weights

from scenewright.encoders.efficientnet_lite import EfficientNetLite0

REPEATS = (1, 2, 2, 3, 3, 4, 1)
KERNELS = (3, 3, 5, 3, 5, 5, 3)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
WIDTHS = (16, 24, 40, 80, 112, 192, 320)


def published_weights(generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Random weights under the published names."""
    weights: dict[str, torch.Tensor] = {}

    def add(conv: str, norm: str, *shape: int) -> None:
        weights[f"{conv}.weight"] = torch.randn(shape, generator=generator) / (shape[1] * shape[2] ** 2) ** 0.5
        weights[f"{norm}.weight"] = 0.5 + torch.rand(shape[0], generator=generator)
        weights[f"{norm}.bias"] = torch.randn(shape[0], generator=generator)
        weights[f"{norm}.running_mean"] = torch.randn(shape[0], generator=generator)
        weights[f"{norm}.running_var"] = 0.5 + torch.rand(shape[0], generator=generator)

    add("_conv_stem", "_bn0", 32, 3, 3, 3)
    index, width = 0, 32
    for stage, repeats in enumerate(REPEATS):
        for _ in range(repeats):
            name, inner = f"_blocks.{index}", width * (1 if index == 0 else 6)
            if index:
                add(f"{name}._expand_conv", f"{name}._bn0", inner, width, 1, 1)
            add(f"{name}._depthwise_conv", f"{name}._bn1", inner, 1, KERNELS[stage], KERNELS[stage])
            add(f"{name}._project_conv", f"{name}._bn2", WIDTHS[stage], inner, 1, 1)
            index, width = index + 1, WIDTHS[stage]
    weights["_fc.weight"] = torch.zeros(1000, 1280)
    return weights


def by_definition(weights: dict[str, torch.Tensor], pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The published network written out: convolution, batch norm, ReLU6, "same" padding."""

    def layer(x: torch.Tensor, conv: str, norm: str, stride: int = 1, *, active: bool = True) -> torch.Tensor:
        kernel = weights[f"{conv}.weight"]
        total = max((-(-x.shape[-1] // stride) - 1) * stride + kernel.shape[-1] - x.shape[-1], 0)
        x = F.pad(x, (total // 2, total - total // 2) * 2)
        x = F.conv2d(x, kernel, stride=stride, groups=x.shape[1] // kernel.shape[1])
        norms = [weights[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        x = F.batch_norm(x, *norms, eps=1e-3)
        return F.relu6(x) if active else x

    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = layer((pixels - mean[:, None, None]) / std[:, None, None], "_conv_stem", "_bn0", 2)
    index, fine = 0, x
    for stage, repeats in enumerate(REPEATS):
        for repeat in range(repeats):
            name = f"_blocks.{index}"
            h = layer(x, f"{name}._expand_conv", f"{name}._bn0") if index else x
            h = layer(h, f"{name}._depthwise_conv", f"{name}._bn1", STRIDES[stage] if repeat == 0 else 1)
            h = layer(h, f"{name}._project_conv", f"{name}._bn2", active=False)
            x = x + h if repeat else h
            index += 1
        if stage == 4:
            fine = x
    return fine, x


def test_folded_network_equals_the_published_definition() -> None:
    weights = published_weights(torch.Generator().manual_seed(1))
    network = EfficientNetLite0()
    network.load_state_dict(folded_weights(weights), strict=True)
    pixels = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        told, true = network(pixels), by_definition(weights, pixels)
    assert told[0].shape == (2, 112, 4, 6)
    assert told[1].shape == (2, 320, 2, 3)
    for a, b in zip(told, true, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(b.abs().max()))
