"""The one result of every mask form: named boolean masks at the picture's size, checked, with what was repaired."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64

from scenewright.errors import InputError
from scenewright.files import spend, work
from scenewright.types import ObjectMasks

__all__ = ["MOST_MASKS", "NamedMask", "checked_masks", "nearest_indices", "resized_nearest"]

logger = logging.getLogger(__name__)

MOST_MASKS = 4096
"""The most masks of one picture."""

# Below this share of the picture an object has too few pixels to be generated well (16 x 16 of 512 x 512).
_TINY_SHARE = 1e-3
_DUPLICATE_IOU = 0.98


@dataclass(frozen=True)
class NamedMask:
    """One mask as it was found; `stored_size` (height, width) is that of the file where reading changed it."""

    name: str
    mask: Bool[np.ndarray, "height width"]
    stored_size: tuple[int, int] | None = None


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
    kept = _Kept()
    if image_size is None:
        image_size = found[0].mask.shape if found else (0, 0)
    resized_from: dict[tuple[int, ...], list[str]] = {}
    for candidate in found:
        mask = candidate.mask
        stored_size = candidate.stored_size or mask.shape
        if stored_size != image_size:
            resized_from.setdefault(stored_size, []).append(candidate.name)
        if mask.shape != image_size:
            spend(image_size[0] * image_size[1], "its masks")
            mask = resized_nearest(mask, image_size)
        if reason := kept.refused(mask):
            notes.append(f"Mask '{candidate.name}' {reason}, so it was dropped.")
            continue
        share = mask.mean()
        if share < _TINY_SHARE:
            notes.append(
                f"Mask '{candidate.name}' covers only {int(mask.sum())} pixels ({share:.2%} of the picture); "
                "a closer picture of this object would give a better result."
            )
        kept.add(candidate.name, mask)
    notes[len(warnings) : len(warnings)] = [_size_note(names, size, image_size) for size, names in resized_from.items()]
    for note in notes:
        logger.warning("%s", note)
    if not kept.names:
        detail = f" ({notes[-1]})" if notes else ""
        raise InputError(
            f"Found no usable object mask in {source}{detail}; "
            "give masks whose background is black (0) and whose objects have other values."
        )
    masks = torch.from_numpy(np.stack(kept.masks))
    return ObjectMasks(masks, tuple(kept.names), tuple(notes))


def resized_nearest(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture at (height, width) by taking the pixel at each new pixel's centre; no new values appear."""
    rows, columns = (nearest_indices(new, old) for new, old in zip(size, pixels.shape[:2], strict=True))
    return pixels[rows[:, None], columns]


def nearest_indices(new: int, old: int) -> Int64[np.ndarray, " new"]:
    """Of a row of `old` pixels, the ones at the centres of `new` pixels of the same length."""
    return ((np.arange(new) + 0.5) * old / new).astype(np.int64)


class _Kept:
    """The masks kept so far, with what is needed to compare the next one with them quickly."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.masks: list[np.ndarray] = []
        self._areas: list[int] = []
        self._taken: dict[str, int] = {}

    def refused(self, mask: np.ndarray) -> str | None:
        """A reason to drop a mask: it is empty, a single pixel, or one that is kept already."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            return "is empty"
        if max(rows[-1] - rows[0], columns[-1] - columns[0]) < 1:
            return "is a single pixel"
        area = np.count_nonzero(mask)
        areas = np.array(self._areas)
        alike = np.minimum(area, areas) >= _DUPLICATE_IOU * np.maximum(area, areas)
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        for index in np.flatnonzero(alike):
            work(mask[box].size // 256 + 16, "comparing its masks")
            shared = np.count_nonzero(mask[box] & self.masks[index][box])
            if shared >= _DUPLICATE_IOU * (area + areas[index] - shared):
                return f"is the same as '{self.names[index]}'"
        return None

    def add(self, name: str, mask: np.ndarray) -> None:
        """Keeps a mask; a name that is taken gets a number."""
        number, free = self._taken.get(name, 1), name
        while free in self._taken:
            number += 1
            free = f"{name}_{number}"
        self._taken[name] = number
        self._taken.setdefault(free, 1)
        self.names.append(free)
        self.masks.append(mask)
        self._areas.append(int(np.count_nonzero(mask)))


def _size_note(names: Sequence[str], size: tuple[int, ...], image_size: tuple[int, int]) -> str:
    which, verb = (f"Mask '{names[0]}'", "was") if len(names) == 1 else (f"{len(names)} masks", "were")
    wanted = f"{image_size[1]}x{image_size[0]}"
    note = f"{which} had {size[1]}x{size[0]} pixels for a picture of {wanted} and {verb} resized."
    if abs(size[0] * image_size[1] / (size[1] * image_size[0]) - 1) > 0.02:
        note += " The shapes differ too: check that the mask belongs to this picture and is not cropped or turned."
    return note
