"""Masks in NumPy files: a map of labels, a stack of masks, or an .npz with an array per object or one for all."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from scenewright.encoders.masks.label_map import whole_labels
from scenewright.encoders.masks.label_picture import masks_of_labels
from scenewright.encoders.masks.object_masks import Frame, NamedMask, has_shape
from scenewright.errors import InputError
from scenewright.io.archives import read_npy, read_npz_arrays
from scenewright.types import Mask

__all__ = ["read_mask_arrays"]


def read_mask_arrays(path: Path, frame: Frame) -> tuple[list[NamedMask], list[str]]:
    """The masks of an .npy or .npz file, at their own size, and warnings of arrays that are none.

    | array | read as |
    |---|---|
    | [height, width] of whole numbers | a mask per label above 0; less than 0 is background, too |
    | [height, width] of booleans or shares | one mask: True, or above a half |
    | [N, height, width] or [height, width, N] | N masks |
    | several in an .npz | those called `masks`, else the masks of each of the picture's size, named after the arrays |

    Raises:
        InputError: the file cannot be read, or its arrays have another form.
    """
    arrays: Mapping[str, np.ndarray] = (
        {path.stem: read_npy(path)} if path.suffix.lower() == ".npy" else read_npz_arrays(path)
    )
    arrays = {name: _finite(np.squeeze(array)) for name, array in arrays.items()}
    pictures = {name: array for name, array in arrays.items() if array.ndim in (2, 3) and array.dtype.kind in "buif"}
    if not pictures:
        shapes = ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in arrays.items())
        raise InputError(
            f"Expected labels [height, width] or masks [N, height, width] in '{path}', got {shapes or 'no array'}."
        )
    masks, notes = _of_the_picture(pictures, path, frame)
    found: list[NamedMask] = []
    for name, array in masks.items():
        if array.ndim == 2:
            found += _of_one(name, array, path, frame, is_alone=len(masks) == 1)
            continue
        stack = _stack(array, frame)
        start = "object" if len(masks) == 1 else name
        found += [NamedMask(f"{start}_{number}", Mask.of(_is_set(mask))) for number, mask in enumerate(stack, 1)]
    return found, notes


def _of_the_picture(
    arrays: Mapping[str, np.ndarray], path: Path, frame: Frame
) -> tuple[Mapping[str, np.ndarray], list[str]]:
    """Those arrays that are masks: files of SAM's results hold boxes, scores and logits beside them."""
    sizes = {name: array.shape if array.ndim == 2 else _stack(array, frame).shape[1:] for name, array in arrays.items()}
    size = next((size for size in (frame.size, frame.whole) if size in sizes.values()), None)
    size = size or max(sizes.values(), key=math.prod)
    chosen = [name for name in arrays if name.lower() == "masks"]
    chosen = chosen or [name for name in arrays if has_shape(sizes[name], size)]
    notes = [
        f"Array '{name}' of '{path.name}' has the shape {array.shape}, which is no mask of the picture, so it was left "
        "out."
        for name, array in arrays.items()
        if name not in chosen
    ]
    return {name: arrays[name] for name in chosen}, notes


def _of_one(name: str, array: np.ndarray, path: Path, frame: Frame, *, is_alone: bool) -> list[NamedMask]:
    is_whole = array.dtype.kind in "ui" or (array.dtype.kind == "f" and bool((array == np.round(array)).all()))
    if not is_whole or array.max(initial=0) <= 1:
        return [NamedMask(name, Mask.of(_is_set(array)))]
    masks = masks_of_labels(whole_labels(array), path, frame)
    if is_alone:
        return masks
    names = [name] if len(masks) == 1 else [f"{name}_{number}" for number in range(1, len(masks) + 1)]
    return [replace(item, name=own) for own, item in zip(names, masks, strict=True)]


def _finite(array: np.ndarray) -> np.ndarray:
    """The array with 0, background, for what is not finite."""
    return np.nan_to_num(array, nan=0, posinf=0, neginf=0) if array.dtype.kind == "f" else array


def _stack(array: np.ndarray, frame: Frame) -> np.ndarray:
    """The masks of an array along its first axis."""
    return array if _are_first(array.shape, frame) else np.moveaxis(array, 2, 0)


def _are_first(shape: tuple[int, ...], frame: Frame) -> bool:
    """Whether a stack's masks lie along its first axis: by the picture's size, else there are fewer than columns."""
    for size in (frame.size, frame.whole):
        if size is not None and (shape[1:] == size) != (shape[:2] == size):
            return shape[1:] == size
    return shape[0] <= shape[2]


def _is_set(array: np.ndarray) -> np.ndarray:
    """True, above a half of shares, above 0 of whole numbers."""
    return array > (0.5 if array.dtype.kind == "f" and array.max(initial=0) <= 1 else 0)
