"""TRELLIS.2's picture of one object: cropped square without a margin, black background; resized for the encoder later.

Source: microsoft/TRELLIS.2 trellis2/pipelines/trellis2_image_to_3d.py.
"""

import numpy as np
from PIL import Image

from scenewright.encoders.preprocess.crop import (
    ALPHA_THRESHOLD,
    BackgroundRemover,
    has_cut_out,
    on_black,
    opaque_extent,
    shrunk_to,
    square_box,
    with_alpha,
)
from scenewright.encoders.preprocess.trellis1 import required

__all__ = ["prepare_object", "resized_for_encoder"]


def prepare_object(image: Image.Image, *, remove_background: BackgroundRemover | None = None) -> Image.Image:
    """The object of a picture on black, RGB, square, at its own resolution (from at most 1024 pixels).

    A picture with a cut-out (alpha not opaque everywhere) is used as it is; any other is given to `remove_background`.

    Raises:
        InputError: the picture has no cut-out and there is no remover, or nothing in it is opaque.
    """
    image = with_alpha(image)
    is_cut_out = has_cut_out(image)
    image = shrunk_to(image, 1024)
    if not is_cut_out:
        image = required(remove_background)(image.convert("RGB")).convert("RGBA")
    extent = opaque_extent(np.asarray(image.getchannel("A")) > ALPHA_THRESHOLD)
    return on_black(image.crop(square_box(extent)))


def resized_for_encoder(image: Image.Image, size: int) -> Image.Image:
    """The picture at `size` x `size` (Lanczos): 512 for the 512 models, 1024 for the others."""
    return image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
