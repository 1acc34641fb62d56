"""Prepared pictures to the tokens that a network is conditioned on.

Legend: K pictures, L tokens, C channels.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from scenewright.io.images import pixels_of

__all__ = ["encode_pictures"]


@torch.no_grad()
def encode_pictures(pictures: Sequence[Image.Image], encoder: nn.Module) -> Float[Tensor, "K L C"]:
    """Tokens of pictures of one size, one row per picture, on the encoder's device."""
    device = next(encoder.parameters()).device
    pixels = torch.stack([pixels_of(picture, "RGB") for picture in pictures]).to(device)
    return encoder(pixels.movedim(-1, 1).float() / 255)
