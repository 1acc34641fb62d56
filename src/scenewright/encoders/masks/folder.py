"""Several files, one object each: black-and-white masks or RGBA cut-outs at the picture's full frame.

Understands the folder of the SceneGen demo (`scene.jpg`, `0.png`, `0_mask.png`, ...): where `_mask` files exist, they
are the masks, and where there is nothing but the scene and its `rgb_mask`, that one.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from scenewright.encoders.masks.label_map import stored_channels
from scenewright.encoders.masks.object_masks import Frame, NamedMask, has_shape, resized_nearest
from scenewright.errors import InputError
from scenewright.files import inside, name_of, reading, spend
from scenewright.io.images import PICTURE_SUFFIXES, load_label_image
from scenewright.types import Mask

__all__ = ["mask_files", "read_mask_files", "reject_cropped"]

_MASK_SUFFIX = "_mask"
_LABEL_PICTURES = ("rgb_mask", "masks", "labels")
_WHOLE_PICTURES = ("scene", "masked_scene", "image", "input", "rgb", "photo", *_LABEL_PICTURES)
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
    single = [path for path in pictures if path.stem.lower() not in _WHOLE_PICTURES]
    chosen = [path for path in single if path.stem.lower().endswith(_MASK_SUFFIX)] or single
    if not chosen:
        chosen = [path for path in pictures if path.stem.lower() in _LABEL_PICTURES][:1]
    if not chosen:
        raise InputError(f"Expected mask pictures ({', '.join(PICTURE_SUFFIXES)}) in '{folder}', found none.")
    return sorted(chosen, key=_natural)


def read_mask_files(paths: Sequence[Path], frame: Frame) -> tuple[list[NamedMask], list[str]]:
    """One mask per file, named after it, and warnings of files that are no masks.

    Raises:
        InputError: a file cannot be read, or is a cut-out that was cropped, so that its place is unknown.
    """
    found, notes = [], []
    for path in paths:
        image = load_label_image(path, reduce_to=None if frame.size is None else frame.size[::-1])
        spend(_BYTES_PER_PIXEL * image.width * image.height, f"the mask '{path.name}'")
        colour, opaque = stored_channels(image)
        if not opaque.all():
            reject_cropped(path, opaque.shape, frame)
            mask: np.ndarray | None = opaque
        else:
            mask = _thresholded(colour)
        if mask is None:
            notes.append(
                f"'{path.name}' is neither black and white nor a cut-out with transparency, so it was skipped."
            )
        else:
            stem, size = name_of(path.stem), (image.height, image.width)
            name = stem[: -len(_MASK_SUFFIX)] if stem.lower().endswith(_MASK_SUFFIX) else stem
            found.append(NamedMask(name or stem, Mask.of(resized_nearest(mask, frame.fitted(size))), size))
    return found, notes


def _thresholded(colour: np.ndarray) -> Bool[np.ndarray, "height width"] | None:
    """Pixels brighter than half of the brightest; None where the picture is not nearly two-valued."""
    grey = colour.max(-1) if colour.ndim == 3 else colour
    brightest = grey.max(initial=0)
    near_ends = (grey <= 0.2 * brightest) | (grey >= 0.8 * brightest)
    if near_ends.mean() < _TWO_VALUED_SHARE:
        return None
    return grey > brightest / 2


def reject_cropped(path: Path, size: tuple[int, ...], frame: Frame) -> None:
    """Refuses a cut-out of `size` (height, width) whose shape is not the picture's.

    Raises:
        InputError: so it is.
    """
    if frame.size is None or has_shape(size, frame.size) or frame.lies_on_its_side(size):
        return
    raise InputError(
        f"Cut-out '{path}' has {size[1]}x{size[0]} pixels for a picture of {frame.size[1]}x{frame.size[0]}, so its "
        "place in the picture is unknown; give a cut-out of the full frame, or a mask."
    )


def _natural(path: Path) -> list[tuple[int, str]]:
    """A sort key under which runs of digits compare as numbers."""
    parts = re.findall(r"\d{1,18}|\D+", path.stem.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
