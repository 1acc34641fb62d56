"""Several files, one object each: black-and-white masks or RGBA cut-outs at the picture's full frame.

Understands the folder of the SceneGen demo (`scene.jpg`, `0.png`, `0_mask.png`, ...): where `_mask` files exist, they
are the masks.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from scenewright.encoders.masks.label_map import stored_channels
from scenewright.encoders.masks.object_masks import NamedMask, resized_nearest
from scenewright.errors import InputError
from scenewright.files import inside, reading, spend
from scenewright.io.images import load_label_image

__all__ = ["PICTURE_SUFFIXES", "mask_files", "read_mask_files", "reject_cropped"]

PICTURE_SUFFIXES = (".png", ".bmp", ".webp", ".jpg", ".jpeg")
_MASK_SUFFIX = "_mask"
_WHOLE_PICTURES = ("scene", "masked_scene", "rgb_mask", "image", "input", "rgb", "photo")
# The share of pixels near black or near white from which on an opaque picture counts as a mask.
_TWO_VALUED_SHARE = 0.8
# What one mask of a folder takes while it is read; afterwards only the mask is kept.
_BYTES_PER_PIXEL = 2


def mask_files(folder: Path) -> list[Path]:
    """The mask files of a folder, numbers in their names in numerical order ("2" before "10").

    Raises:
        InputError: the folder holds none.
    """
    pictures = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.name[0] != "."]
    for path in pictures:
        with reading(path, "a mask in its folder", "copy it there"):
            inside(folder, path.name)
    chosen = [path for path in pictures if path.stem.endswith(_MASK_SUFFIX) and path.stem not in _WHOLE_PICTURES]
    chosen = chosen or [path for path in pictures if path.stem not in _WHOLE_PICTURES]
    if not chosen:
        raise InputError(f"Expected mask pictures ({', '.join(PICTURE_SUFFIXES)}) in '{folder}', found none.")
    return sorted(chosen, key=_natural)


def read_mask_files(
    paths: Sequence[Path], image_size: tuple[int, int] | None = None
) -> tuple[list[NamedMask], list[str]]:
    """One mask per file, named after it, and warnings of files that are no masks.

    Raises:
        InputError: a file cannot be read, or is a cut-out that was cropped, so that its place is unknown.
    """
    found, notes = [], []
    for path in paths:
        image = load_label_image(path)
        spend(_BYTES_PER_PIXEL * image.width * image.height, f"the mask '{path.name}'")
        colour, opaque = stored_channels(image)
        if not opaque.all():
            reject_cropped(path, opaque.shape, image_size)
            mask: np.ndarray | None = opaque
        else:
            mask = _thresholded(colour)
        if mask is None:
            notes.append(
                f"'{path.name}' is neither black and white nor a cut-out with transparency, so it was skipped."
            )
        else:
            name = path.stem.removesuffix(_MASK_SUFFIX) or path.stem
            found.append(NamedMask(name, mask if image_size is None else resized_nearest(mask, image_size), mask.shape))
    return found, notes


def _thresholded(colour: np.ndarray) -> Bool[np.ndarray, "height width"] | None:
    """Pixels brighter than half of the brightest; None where the picture is not nearly two-valued."""
    grey = colour.max(-1) if colour.ndim == 3 else colour
    brightest = grey.max(initial=0)
    near_ends = (grey <= 0.2 * brightest) | (grey >= 0.8 * brightest)
    if near_ends.mean() < _TWO_VALUED_SHARE:
        return None
    return grey > brightest / 2


def reject_cropped(path: Path, size: tuple[int, ...], image_size: tuple[int, int] | None) -> None:
    """Refuses a cut-out of `size` (height, width) whose shape is not the picture's.

    Raises:
        InputError: so it is.
    """
    if image_size is None:
        return
    ratio = size[0] * image_size[1] / (size[1] * image_size[0])
    if abs(ratio - 1) > 0.02:
        raise InputError(
            f"Cut-out '{path}' has {size[1]}x{size[0]} pixels for a picture of {image_size[1]}x{image_size[0]}, so its "
            "place in the picture is unknown; give a cut-out of the full frame, or a mask."
        )


def _natural(path: Path) -> list[tuple[int, str]]:
    """A sort key under which runs of digits compare as numbers."""
    parts = re.findall(r"\d{1,18}|\D+", path.stem.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
