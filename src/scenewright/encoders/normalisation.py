"""The two normalisations every image encoder here shares: ImageNet statistics in, a plain layer norm out.

The backbones were trained on tokens taken before the encoder's own final norm, then layer-normed without parameters
(eps 1e-5), not on the encoder's normed output.
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "imagenet_normalized", "plain_layer_norm"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def imagenet_normalized(images: Float[Tensor, "... 3 height width"]) -> Float[Tensor, "... 3 height width"]:
    """Images in [0, 1] (RGB) with ImageNet's mean subtracted and divided by its deviation."""
    mean = images.new_tensor(IMAGENET_MEAN)[:, None, None]
    std = images.new_tensor(IMAGENET_STD)[:, None, None]
    return (images - mean) / std


def plain_layer_norm(tokens: Float[Tensor, "*batch channels"]) -> Float[Tensor, "*batch channels"]:
    """Layer norm over channels without affine parameters, eps 1e-5 (not the encoders' own 1e-6)."""
    return F.layer_norm(tokens, tokens.shape[-1:], eps=1e-5)
