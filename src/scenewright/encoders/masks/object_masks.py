"""The one result of every mask form: named boolean masks at the picture's size, checked, with what was repaired."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool

from scenewright.errors import InputError
from scenewright.types import ObjectMasks

__all__ = ["NamedMask", "checked_masks", "resized_nearest"]

logger = logging.getLogger(__name__)

# Below this share of the picture an object has too few pixels to be generated well (16 x 16 of 512 x 512).
_TINY_SHARE = 1e-3
_DUPLICATE_IOU = 0.98


@dataclass(frozen=True)
class NamedMask:
    """One mask as it was found, at its own size."""

    name: str
    mask: Bool[np.ndarray, "height width"]


def checked_masks(
    found: Sequence[NamedMask],
    image_size: tuple[int, int] | None = None,
    *,
    source: str = "the masks",
    warnings: Sequence[str] = (),
) -> ObjectMasks:
    """The usable ones of the masks `found`, at the picture's size, each repair told in `warnings` and the log.

    Masks of another size are resized; empty, one-pixel and duplicate masks are dropped; tiny ones are kept with a
    warning. Equal names are numbered.

    Args:
        image_size: (height, width) of the picture; None takes the first mask's size.

    Raises:
        InputError: nothing usable is left.
    """
    notes = list(warnings)
    kept: list[NamedMask] = []
    if image_size is None:
        image_size = found[0].mask.shape if found else (0, 0)
    resized_from: dict[tuple[int, ...], list[str]] = {}
    for candidate in found:
        mask = candidate.mask
        if mask.shape != image_size:
            resized_from.setdefault(mask.shape, []).append(candidate.name)
            mask = resized_nearest(mask, image_size)
        if reason := _unusable(mask, kept):
            notes.append(f"Mask '{candidate.name}' {reason}, so it was dropped.")
            continue
        share = mask.mean()
        if share < _TINY_SHARE:
            notes.append(
                f"Mask '{candidate.name}' covers only {int(mask.sum())} pixels ({share:.2%} of the picture); "
                "a closer picture of this object would give a better result."
            )
        kept.append(NamedMask(_free_name(candidate.name, kept), mask))
    notes[len(warnings) : len(warnings)] = [_size_note(names, size, image_size) for size, names in resized_from.items()]
    for note in notes:
        logger.warning("%s", note)
    if not kept:
        detail = f" ({notes[-1]})" if notes else ""
        raise InputError(
            f"Found no usable object mask in {source}{detail}; "
            "give masks whose background is black (0) and whose objects have other values."
        )
    masks = torch.from_numpy(np.stack([named.mask for named in kept]))
    return ObjectMasks(masks, tuple(named.name for named in kept), tuple(notes))


def resized_nearest(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture at (height, width) by taking the pixel at each new pixel's centre; no new values appear."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64) for new, old in zip(size, pixels.shape[:2], strict=True)
    )
    return pixels[rows[:, None], columns]


def _unusable(mask: np.ndarray, kept: Sequence[NamedMask]) -> str | None:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return "is empty"
    if max(rows[-1] - rows[0], columns[-1] - columns[0]) < 1:
        return "is a single pixel"
    area = np.count_nonzero(mask)
    for other in kept:
        other_area = np.count_nonzero(other.mask)
        if min(area, other_area) < _DUPLICATE_IOU * max(area, other_area):
            continue
        shared = np.count_nonzero(mask & other.mask)
        if shared >= _DUPLICATE_IOU * (area + other_area - shared):
            return f"is the same as '{other.name}'"
    return None


def _free_name(name: str, kept: Sequence[NamedMask]) -> str:
    taken = {named.name for named in kept}
    number, free = 2, name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _size_note(names: Sequence[str], size: tuple[int, ...], image_size: tuple[int, int]) -> str:
    which, verb = (f"Mask '{names[0]}'", "was") if len(names) == 1 else (f"{len(names)} masks", "were")
    wanted = f"{image_size[1]}x{image_size[0]}"
    note = f"{which} had {size[1]}x{size[0]} pixels for a picture of {wanted} and {verb} resized."
    if abs(size[0] * image_size[1] / (size[1] * image_size[0]) - 1) > 0.02:
        note += " The shapes differ too: check that the mask belongs to this picture and is not cropped or turned."
    return note
