"""EfficientNet-Lite0 as a small image encoder: features at strides 16 and 32 of a picture on black.

Inverted residual blocks without squeeze-and-excitation, ReLU6, and TensorFlow's "same" padding (one more pixel at the
right and bottom where a stride needs it). Batch norms are folded into the convolutions when published weights are read
(`scripts/mini_training/lite0.py`): the network is convolutions with bias only. Pictures have sides that are multiples
of 32. Source: EfficientNet (Tan and Le, 2019), Lite variant of the TensorFlow TPU models.

Legend: B pictures, H/W picture size, h/w size at stride 32.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.encoders.normalisation import imagenet_normalized

__all__ = ["EfficientNetLite0"]

# (repeats, kernel, stride of the first, expansion, width) of each stage.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM = 32


class _SameConv(nn.Conv2d):
    """A convolution with bias that pads as TensorFlow does for even sides."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups)
        total = kernel - stride
        self._pads = (total // 2, total - total // 2) * 2

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.pad(input, self._pads) if any(self._pads) else input)


class _InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = _SameConv(inputs, width, 1) if expansion > 1 else None
        self.depthwise = _SameConv(width, width, kernel, stride, groups=width)
        self.project = _SameConv(width, outputs, 1)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        h = x if self.expand is None else F.relu6(self.expand(x))
        h = self.project(F.relu6(self.depthwise(h)))
        return x + h if self.is_residual else h


class EfficientNetLite0(nn.Module):
    """The trunk without classifier; 2.9 million parameters."""

    channels = (112, 320)

    def __init__(self) -> None:
        super().__init__()
        self.stem = _SameConv(3, _STEM, 3, 2)
        blocks: list[nn.Module] = []
        width, self._fine = _STEM, 0
        for repeats, kernel, stride, expansion, outputs in STAGES:
            for index in range(repeats):
                blocks.append(_InvertedResidual(width, outputs, kernel, stride if index == 0 else 1, expansion))
                width = outputs
            if outputs == self.channels[0]:
                self._fine = len(blocks)
        self.blocks = nn.ModuleList(blocks)

    def forward(
        self, pixels: Float[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B 112 twice_h twice_w"], Float[Tensor, "B 320 h w"]]:
        """Features at strides 16 and 32 of pictures in [0, 1]."""
        if pixels.shape[-1] % 32 or pixels.shape[-2] % 32:
            raise ValueError(f"Expected sides that are multiples of 32, got {tuple(pixels.shape[-2:])}.")
        x = F.relu6(self.stem(imagenet_normalized(pixels)))
        fine = x
        for index, block in enumerate(self.blocks, 1):
            x = block(x)
            if index == self._fine:
                fine = x
        return fine, x
