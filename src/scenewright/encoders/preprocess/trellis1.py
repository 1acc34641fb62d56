"""TRELLIS v1's picture of one object: cropped square with a margin, 518 pixels, black background.

SceneGen prepares each asset in the same way. Source: microsoft/TRELLIS
trellis/pipelines/trellis_image_to_3d.py.
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
from scenewright.errors import InputError

__all__ = ["prepare_object"]


def prepare_object(
    image: Image.Image, *, remove_background: BackgroundRemover | None = None, size: int = 518, margin: float = 1.2
) -> Image.Image:
    """The object of a picture, as the network expects it: RGB, `size` x `size`.

    A picture with a cut-out (alpha not opaque everywhere) is used as it is; any other is shrunk to 1024 pixels and
    given to `remove_background`, which returns it with alpha (see `encoders.background`).

    Raises:
        InputError: the picture has no cut-out and there is no remover, or nothing in it is opaque.
    """
    image = with_alpha(image)
    if not has_cut_out(image):
        image = required(remove_background)(shrunk_to(image.convert("RGB"), 1024)).convert("RGBA")
    extent = opaque_extent(np.asarray(image.getchannel("A")) > ALPHA_THRESHOLD)
    crop = image.crop(square_box(extent, margin=margin))
    return on_black(crop.resize((size, size), Image.Resampling.LANCZOS))


def required(remove_background: BackgroundRemover | None) -> BackgroundRemover:
    """The remover.

    Raises:
        InputError: there is none.
    """
    if remove_background is None:
        raise InputError(
            "The picture is opaque everywhere, so its object is not cut out. "
            "Give a picture with transparency, or let the background be removed (scenewright[background])."
        )
    return remove_background
